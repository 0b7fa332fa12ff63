import { Effect, Predicate, Schema } from "effect"
import { randomUUID } from "node:crypto"
import type { Customer } from "../bank/Clients.ts"
import type { Random } from "../bank/Random.ts"

/** What the people of a storm have asked for, and what they were told at last. */
export interface Tally {
  asked: number
  acknowledged: number
  refused: number
  givenUp: number
}

interface Answer {
  readonly status: number
  readonly body: Readonly<Record<PropertyKey, unknown>>
}

const call = (base: string, path: string, token: string, key: string, json: unknown) =>
  Effect.promise(async (): Promise<Answer> => {
    try {
      const answer = await fetch(`${base}${path}`, {
        method: "POST",
        headers: { "content-type": "application/json", authorization: `Bearer ${token}`, "idempotency-key": key },
        body: JSON.stringify(json),
        signal: AbortSignal.timeout(20_000)
      })
      const body: unknown = await answer.json()
      return { status: answer.status, body: Predicate.isObject(body) ? body : {} }
    } catch {
      return { status: 0, body: {} }
    }
  })

const isFinal = ({ status }: Answer) =>
  status === 201 || (status >= 400 && status < 500 && status !== 409 && status !== 429)

/** Asks under one key until there is an answer that stays, or the storm is long over. */
const insist = Effect.fnUntraced(function*(ask: Effect.Effect<Answer>, tally: Tally, over: () => boolean) {
  tally.asked++
  while (true) {
    const answer = yield* ask
    // A conflict of state is an answer; a key in flight is not.
    const isConflict = answer.status === 409 && answer.body["code"] !== "IdempotencyKeyInFlight"
    if (isFinal(answer) || isConflict) {
      if (answer.status === 201) tally.acknowledged++
      else tally.refused++
      return answer
    }
    if (over()) {
      tally.givenUp++
      return answer
    }
    yield* Effect.sleep("300 millis")
  }
})

const Charged = Schema.decodeUnknownOption(
  Schema.Struct({ id: Schema.String, nextAction: Schema.Struct({ url: Schema.String }) })
)

const checkout = (url: string, outcome: string) =>
  Effect.promise(() =>
    fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ outcome }) })
      .then(({ status }) => status, () => 0)
  )

const destinations = {
  NGN: { type: "bank", country: "NG", bankCode: "058", accountName: "Ada Obi" },
  EUR: { type: "bank", country: "DE", bankCode: "110000000", accountName: "Ada Obi" }
} as const

// In turn and not by chance, so that also a short storm has some of each.
const kinds = [
  "charge",
  "charge",
  "payout",
  "charge",
  "payout",
  "charge",
  "refund",
  "charge",
  "payout",
  "charge"
] as const

/** One person's next wish: mostly a charge, else a payout or a refund of something that was paid. */
export const wish = Effect.fnUntraced(function*(
  base: string,
  { token }: Customer,
  turn: number,
  paid: Array<string>,
  choices: Random,
  tally: Tally,
  over: () => boolean
) {
  const currency = choices.pick<"NGN" | "EUR">(["NGN", "EUR"])
  const key = randomUUID()
  const ask = (path: string, json: unknown) => insist(call(base, path, token, key, json), tally, over)
  const kind = paid.length === 0 ? "charge" : kinds[turn % kinds.length]
  if (kind === "charge") {
    const { body } = yield* ask("/api/payment/charge", { amount: choices.between(5_000, 50_000), currency })
    const charged = Charged(body)
    if (charged._tag === "None") return
    yield* checkout(charged.value.nextAction.url, choices.pick(["succeed", "succeed", "succeed", "fail", "abandon"]))
    paid.push(charged.value.id)
  } else if (kind === "payout") {
    const accountNumber = choices.chance(0.2) && currency === "EUR"
      ? "000111111116"
      : `00012345${choices.between(1000, 9999)}`
    const destination = { ...destinations[currency], accountNumber }
    yield* ask("/api/payment/payouts", { amount: choices.between(100, 20_000), currency, destination })
  } else {
    const id = paid[choices.between(0, paid.length - 1)]
    yield* ask(`/api/payment/${id}/refunds`, choices.chance(0.5) ? {} : { amount: choices.between(1, 5_000) })
  }
})
