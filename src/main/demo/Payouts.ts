import { Effect, Schema } from "effect"
import { expect, newKey, Unexpected } from "./Client.ts"
import { available, type Member, until } from "./Members.ts"

const Payout = Schema.Struct({
  id: Schema.String,
  status: Schema.String,
  destination: Schema.Struct({ type: Schema.String, last4: Schema.String })
})

/** Pays the member out to a bank account, and waits until the provider has paid and the wallet shows it. */
export const payOut = Effect.fnUntraced(function*(api: string, member: Member, amount: number, currency: string) {
  const before = yield* available(api, member, currency)
  const { body } = yield* expect(`${api}/api/payment/payouts`, 201, Payout, {
    token: member.token,
    key: newKey(),
    json: {
      amount,
      currency,
      destination: {
        type: "bank",
        country: "NG",
        bankCode: "058",
        accountNumber: "0123456789",
        accountName: "Demo Member"
      }
    }
  })
  const ask = expect(`${api}/api/payment/payouts/${body.id}`, 200, Payout, { token: member.token })
  const { status } = yield* until(
    "The payout",
    Effect.map(ask, ({ body }) => body),
    ({ status }) => status !== "processing",
    30
  )
  const left = yield* available(api, member, currency)
  if (status !== "paid" || left !== before - amount) {
    return yield* new Unexpected({
      message: `The payout ended ${status}, and the wallet has ${left} instead of ${before - amount}.`
    })
  }
  return body.destination
})
