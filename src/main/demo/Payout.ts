import { Effect, Schema } from "effect"
import { expect, newKey } from "./Client.ts"
import { available, type Member, until } from "./Members.ts"

const Payout = Schema.Struct({
  id: Schema.String,
  status: Schema.String,
  destination: Schema.Struct({ type: Schema.String, last4: Schema.String })
})

/** The member's money out to a bank account of the sandbox, which pays every account but a few at once. */
export const payOut = Effect.fnUntraced(function*(api: string, member: Member, amount: number, currency: string) {
  const before = yield* available(api, member, currency)
  const url = `${api}/api/payment/payouts`
  const destination = {
    type: "bank",
    country: "NG",
    bankCode: "058",
    accountNumber: "0123456789",
    accountName: "Demo Member"
  }
  const { body: made } = yield* expect(url, 201, Payout, {
    token: member.token,
    key: newKey(),
    json: { amount, currency, destination }
  })
  const now = Effect.map(expect(`${url}/${made.id}`, 200, Payout, { token: member.token }), ({ body }) => body)
  const paid = yield* until("The payout", now, ({ status }) => status === "paid", 60)
  return { ...paid, left: (yield* available(api, member, currency)) === before - amount }
})
