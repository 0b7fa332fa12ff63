import { judge } from "../layers/OpenApiJudge.ts"
import type { Wanted } from "./Requests.ts"
import { type Json, objectOf } from "./Values.ts"
import type { Answer } from "./Wire.ts"

const parsed = (text: string): Json => {
  try {
    return objectOf(JSON.parse(text))
  } catch {
    return {}
  }
}

/** What the edge answers where no operation does: a whole problem of the answer's own status. */
const atEdge = ({ headers, status, text }: Answer): ReadonlyArray<string> => {
  const problem = parsed(text)
  const whole = headers.get("content-type")?.startsWith("application/problem+json") === true
    && problem["status"] === status
    && ["type", "title", "code", "request_id"].every((name) => typeof problem[name] === "string")
  return whole ? [] : [`${status} is no problem: ${text.slice(0, 200)}`]
}

const everywhere = ({ headers }: Answer): ReadonlyArray<string> =>
  ["x-request-id", "x-content-type-options", "strict-transport-security"]
    .filter((name) => !headers.has(name)).map((name) => `${name} is missing`)

const byDocument = (
  { operation }: Wanted,
  { headers, status, text }: Answer,
  document: Json
): ReadonlyArray<string> => {
  const contentType = headers.get("content-type") ?? ""
  return contentType.includes("json") && Object.keys(parsed(text)).length === 0 && text !== "{}" && text !== "[]"
    ? [`${status} says it is JSON and is not: ${text.slice(0, 200)}`]
    : judge(document, { method: operation.method, path: operation.template, status, contentType, text })
}

/** What is wrong with an answer; empty when it is what the document promises. */
export const verdict = (wanted: Wanted, answer: Answer, document: Json): ReadonlyArray<string> => {
  if (answer.status >= 500) return [`${answer.status}: ${answer.text.slice(0, 300)}`]
  const always = everywhere(answer)
  if (wanted.strict) return [...always, ...byDocument(wanted, answer, document)]
  if (wanted.method === "HEAD" || answer.status < 400) {
    // Another method or path than the document's: only that a success of the same operation has the promised form.
    return answer.status === 200 && wanted.method === wanted.operation.method &&
        wanted.path.startsWith(wanted.operation.template)
      ? [...always, ...byDocument(wanted, answer, document)]
      : always
  }
  return [...always, ...atEdge(answer)]
}
