import type { Answer, FakeRequest } from "./FakeServer.ts"

const outcomes = ["succeed", "fail", "abandon"] as const
export type Outcome = typeof outcomes[number]

const escape = (text: string): string => text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`)

/** The page on which a person plays the payer. */
export const checkoutPage = (title: string, status: string): string =>
  `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${escape(title)}</title>`
  + `<meta name="viewport" content="width=device-width,initial-scale=1"></head>`
  + `<body style="font:16px/1.5 system-ui;max-width:24rem;margin:3rem auto;padding:0 1rem"><h1>${escape(title)}</h1>`
  + `<p>Status: ${escape(status)}. No real money moves here.</p><form method="post">`
  + outcomes.map((outcome) => `<button name="outcome" value="${outcome}">${outcome}</button> `).join("")
  + `</form></body></html>`

/** The outcome that was posted, by the form or as JSON. */
export const outcomeOf = ({ body, headers }: FakeRequest): Outcome | undefined => {
  const given = (headers["content-type"] ?? "").startsWith("application/x-www-form-urlencoded")
    ? new URLSearchParams(body).get("outcome")
    : /"outcome"\s*:\s*"(\w+)"/.exec(body)?.[1]
  return outcomes.find((outcome) => outcome === given)
}

/** After the choice: on to the application where the caller is a form, the status where it is a program. */
export const chosen = ({ headers }: FakeRequest, status: string, next: string | undefined): Answer =>
  (headers["content-type"] ?? "").startsWith("application/json") || next === undefined
    ? { status: 200, body: { status } }
    : { status: 303, body: "", headers: { location: next } }
