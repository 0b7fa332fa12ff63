import { randomUUID } from "node:crypto"
import type { Fault } from "./Faults.ts"
import { call, type Stage } from "./Stage.ts"

const afterMillis = (millis: number) => new Promise<void>((settle) => setTimeout(settle, millis))

/** How often a second somebody asks Stripe for a charge, answered or not. */
const rate = 5
// Beside those who pay, those who submit videos, and the pattern's: with limits of their own.
const firstMember = 4_000

const charge = async (stage: Stage, member: number) =>
  call({
    port: stage.ports.api,
    method: "POST",
    path: "/api/payment/charge",
    headers: {
      ...await stage.heads(member),
      "content-type": "application/json",
      "idempotency-key": `"${randomUUID()}"`
    },
    body: JSON.stringify({ amount: 1_000, currency: "USD", provider: "stripe" }),
    millis: 60_000
  }).then(({ status }) => String(status), () => "silent")

/** Charges at Stripe for as long as payments are made, and what their members were answered. */
const charges = async (stage: Stage, seconds: number) => {
  const answers = new Map<string, number>()
  const running: Array<Promise<void>> = []
  const count = async (answer: Promise<string>) => {
    const status = await answer
    answers.set(status, (answers.get(status) ?? 0) + 1)
  }
  for (let n = 0; n < seconds * rate; n++) {
    running.push(count(charge(stage, firstMember + n % 500)))
    await afterMillis(1_000 / rate)
  }
  await Promise.all(running)
  return [...answers].map(([status, times]) => `${times} × ${status}`).join(", ")
}

const switched = async (stage: Stage, switches: Readonly<Record<string, number>>) => {
  const { status } = await call({
    port: stage.ports.stripe,
    method: "PUT",
    path: "/_fake/switches",
    body: JSON.stringify(switches)
  })
  if (status !== 200) throw new Error(`the provider took no switches: ${status}`)
}

/** Of those who asked Stripe every one must have had a 503: one that went well was asked while it was well. */
const refused: Fault["proof"] = ({ notes }) => {
  const said = notes.filter((note) => note !== "").join("; ")
  return /^\d+ × 503$/.test(said) ? `charges at it: ${said}` : undefined
}

const trouble = (says: string, name: string): Fault => ({
  says,
  video: {},
  films: 2,
  begin: async (stage) => {
    await switched(stage, { [name]: 1 })
    return { note: "", end: () => switched(stage, { [name]: 0 }) }
  },
  during: charges,
  proof: refused
})

export const providerFaults: Readonly<Record<string, Fault>> = {
  "provider-hangs": trouble("a payment provider takes every call and never answers", "hang"),
  "provider-resets": trouble("a payment provider cuts every connection after accepting", "resetAfterAccepting"),
  "provider-down": {
    ...trouble("nobody listens where a payment provider was", ""),
    begin: async (stage) => {
      await stage.fakes.stop()
      return { note: "", end: stage.fakes.start }
    }
  }
}
