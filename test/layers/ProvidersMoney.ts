import { assert } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { OperationId, type UserId } from "../../src/domain/Ids.ts"
import { Amount, type Currency } from "../../src/domain/Money.ts"
import { MoneyRequest } from "../../src/domain/MoneyRequest.ts"
import type { Destination } from "../../src/domain/Payouts.ts"
import { Fakes } from "../../src/layers/fakes/Fakes.ts"
import { newId } from "../../src/services/NewId.ts"
import { Payouts } from "../../src/services/Payouts.ts"
import { moneyRequest } from "./moneyRequest.ts"
import { checkout, confirm, owner } from "./PaymentsBench.ts"
import { balance, pay } from "./ProvidersBench.ts"

export type Name = "stripe" | "paystack"

const post = (url: string, body: object) =>
  Effect.promise(() => fetch(url, { method: "POST", body: JSON.stringify(body) }).then(({ status }) => status))
export const settleThere = (name: Name, kind: "payout" | "refund" | "dispute", id: string, outcome: string) =>
  Effect.flatMap(Fakes, (fakes) => post(`${fakes[name].url}/_fake/settle`, { kind, id, outcome }))

export const paidBy = Effect.fnUntraced(function*(user: UserId, name: Name, currency: Currency, amount = 10_000) {
  const made = yield* pay(user, currency, amount, name)
  yield* checkout(made, "succeed")
  return yield* confirm(user, made.id)
})

const destinations: Record<Name, Destination> = {
  stripe: { type: "bank", country: "US", bankCode: "110000000", accountNumber: "000123456789", accountName: "Ada Obi" },
  paystack: { type: "bank", country: "NG", bankCode: "058", accountNumber: "0001234567", accountName: "Ada Obi" }
}
export const payout = Effect.fnUntraced(function*(user: UserId, name: Name, currency: Currency, amount: number) {
  const payouts = yield* Payouts
  const request = { amount: Amount.make(BigInt(amount)), currency, destination: destinations[name] }
  return yield* payouts.create(request).pipe(
    Effect.provideService(MoneyRequest, moneyRequest(user, yield* newId(OperationId)))
  )
})
export const referenceOf = (id: string) =>
  owner(`SELECT provider_reference FROM payments.outgoing WHERE id = $1`, [id]).pipe(
    Effect.repeat({ schedule: Schedule.spaced("20 millis"), until: (rows) => rows[0]?.[0] !== null }),
    Effect.timeout("20 seconds"),
    Effect.map((rows) => String(rows[0]?.[0]).split("/").at(-1) ?? "")
  )
export const untilBalance = (user: UserId, currency: Currency, amount: number) =>
  balance(user, currency).pipe(
    Effect.repeat({ schedule: Schedule.spaced("20 millis"), until: (now) => now === amount }),
    Effect.timeoutOrElse({ duration: "20 seconds", orElse: () => Effect.flatMap(balance(user, currency), Effect.fail) })
  )

/** Opens a dispute at the provider, and answers its reference once its money is held here. */
export const dispute = Effect.fnUntraced(
  function*(name: Name, payment: { readonly id: string; readonly reference: string }) {
    assert.strictEqual(yield* settleThere(name, "dispute", payment.reference, "opened"), 200)
    const rows = yield* owner(
      `SELECT reference FROM payments.disputes WHERE payment_id = $1 AND updated_at > created_at`,
      [payment.id]
    ).pipe(
      Effect.repeat({ schedule: Schedule.spaced("20 millis"), until: (found) => found.length > 0 }),
      Effect.timeout("20 seconds")
    )
    return String(rows[0]?.[0])
  }
)
