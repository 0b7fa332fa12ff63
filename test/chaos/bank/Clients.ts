import { Effect, Predicate, Schema } from "effect"
import type { Intent, Journal } from "./Journal.ts"
import type { Random } from "./Random.ts"

export interface Customer {
  readonly id: string
  readonly token: string
}
export type Customers = readonly [Customer, ...ReadonlyArray<Customer>]

const Registered = Schema.decodeUnknownSync(
  Schema.Struct({
    user: Schema.Struct({ id: Schema.String }),
    tokens: Schema.Struct({ accessToken: Schema.String })
  })
)

const mostTries = 50

/** Registers a customer over HTTP, from an address of their own; comes again when a server that has just started is too busy. */
export const register = (base: string, name: string, number: number) =>
  Effect.promise(async (): Promise<Customer> => {
    const ask = () =>
      fetch(`${base}/api/auth/register`, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          "x-forwarded-for": `198.51.${Math.floor(number / 250)}.${number % 250 + 1}`
        },
        body: JSON.stringify({ email: `${name}-${number}@example.com`, password: "a long enough passphrase" })
      })
    let answer = await ask()
    for (let tries = 0; answer.status === 503 && tries < mostTries; tries++) {
      await answer.body?.cancel()
      await new Promise((resume) => setTimeout(resume, 200))
      answer = await ask()
    }
    if (answer.status !== 201) throw new Error(`register answered ${answer.status}: ${await answer.text()}`)
    const { tokens, user } = Registered(await answer.json())
    return { id: user.id, token: tokens.accessToken }
  })

export interface Traffic {
  readonly bases: readonly [string, ...ReadonlyArray<string>]
  readonly customers: Customers
  readonly journal: Journal
  /** When the clients stop sending new transfers. What they have sent they retry until it is answered. */
  readonly over: () => boolean
  /** When they give up on retries too, which is a finding. */
  readonly givenUp: () => boolean
  /** Two acknowledgements of one key with different ids. */
  readonly onOtherTransfer: (what: string) => void
  /** Every answer of the 5xx class, for runs in which nothing excuses one. */
  readonly onServerError: (what: string) => void
}

type Answer =
  | { readonly _tag: "posted"; readonly id: string }
  | { readonly _tag: "refused" }
  | { readonly _tag: "unknown"; readonly retry: number }
  | { readonly _tag: "unexpected"; readonly what: string }

const bodyOf = async (answer: Response): Promise<Readonly<Record<PropertyKey, unknown>>> => {
  const body: unknown = await answer.json().catch(() => ({}))
  return Predicate.isObject(body) ? body : {}
}

const send = async (base: string, token: string, { amount, key, to }: Intent, traffic: Traffic): Promise<Answer> => {
  try {
    const answer = await fetch(`${base}/api/wallet/transfers`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${token}`, "idempotency-key": key },
      body: JSON.stringify({ toUserId: to, amount, currency: "NGN", memo: key }),
      signal: AbortSignal.timeout(15_000)
    })
    const body = await bodyOf(answer)
    const what = `${answer.status} ${String(body["code"] ?? "")} ${String(body["detail"] ?? "")}`
    if (answer.status >= 500) traffic.onServerError(what)
    if (answer.status === 201 && typeof body["id"] === "string") return { _tag: "posted", id: body["id"] }
    if (answer.status === 422 && body["code"] === "InsufficientFunds") return { _tag: "refused" }
    if (answer.status === 503 || answer.status === 429) return { _tag: "unknown", retry: 200 }
    if (answer.status === 409 && body["code"] === "IdempotencyKeyInFlight") return { _tag: "unknown", retry: 200 }
    return { _tag: "unexpected", what }
  } catch {
    // Refused, cut or silent: whether the transfer was made, only a retry with the same key will tell.
    return { _tag: "unknown", retry: 50 }
  }
}

/** One transfer, retried with its key until there is an answer; nothing when time ran out without one. */
const settle = Effect.fnUntraced(function*(intent: Intent, token: string, traffic: Traffic, random: Random) {
  while (!traffic.givenUp()) {
    const base = random.pick(traffic.bases)
    const answer = yield* Effect.promise(() => send(base, token, intent, traffic))
    if (answer._tag !== "unknown") return answer
    yield* Effect.sleep(answer.retry * (1 + random.between(0, 100) / 100))
  }
  return undefined
})

/** Writes down what a client was told about one intent. A refusal beside an acknowledgement came before the money did. */
const record = (journal: Journal, intent: Intent, answers: ReadonlyArray<Answer | undefined>) =>
  Effect.forEach(
    answers,
    (answer) =>
      answer?._tag === "posted"
        ? journal.write("acknowledged", intent, answer.id)
        : answer?._tag === "unexpected"
        ? journal.write("unexpected", intent, answer.what)
        : answer?._tag === "refused" && !answers.some((other) => other?._tag === "posted")
        ? journal.write("refused", intent, "InsufficientFunds")
        : Effect.void,
    { discard: true }
  )

/**
 * One client of the bank. Most transfers are small; some are larger than what the sender may have, and must be refused.
 * Now and then a key is sent twice at once, or again after its acknowledgement: the answer must be the same transfer.
 */
export const client = Effect.fnUntraced(function*(name: string, traffic: Traffic, random: Random) {
  const { customers, journal } = traffic
  for (let n = 0; !traffic.over(); n++) {
    const from = random.pick(customers)
    const to = random.pick(customers)
    if (from.id === to.id) continue
    const amount = random.chance(0.03) ? random.between(5_000, 20_000) : random.between(1, 300)
    const intent: Intent = { key: `${name}-${n}`, from: from.id, to: to.id, amount }
    yield* journal.write("sent", intent, "")
    const senders = random.chance(0.03) ? [1, 2] : [1]
    const attempt = (number: number) => settle(intent, from.token, traffic, random.fork(n * 3 + number))
    const answers = yield* Effect.forEach(senders, attempt, { concurrency: "unbounded" })
    if (answers[0]?._tag === "posted" && random.chance(0.05)) answers.push(yield* attempt(0))
    yield* record(journal, intent, answers)
    const ids = new Set(answers.flatMap((answer) => answer?._tag === "posted" ? [answer.id] : []))
    if (ids.size > 1) traffic.onOtherTransfer(`${intent.key} is ${[...ids].join(" and ")}`)
  }
})
