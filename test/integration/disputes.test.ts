import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { UserId } from "../../src/domain/Ids.ts"
import type { Currency } from "../../src/domain/Money.ts"
import { Unavailable } from "../../src/domain/Problem.ts"
import type { ReconciliationReport } from "../../src/domain/Reconciliation.ts"
import { walletOf } from "../../src/domain/Wallet.ts"
import { Fakes } from "../../src/layers/fakes/Fakes.ts"
import { Disputes } from "../../src/services/Disputes.ts"
import { Ledger } from "../../src/services/Ledger.ts"
import { newId } from "../../src/services/NewId.ts"
import { Reconciliation } from "../../src/services/Reconciliation.ts"
import { find, owner } from "../layers/PaymentsBench.ts"
import { ProvidersBench, put } from "../layers/ProvidersBench.ts"
import { dispute, type Name, paidBy, settleThere } from "../layers/ProvidersMoney.ts"

/** Nothing is heard of a provider, so that only the test asks it. */
const unheard = Effect.fnUntraced(function*(name: Name) {
  const { url } = (yield* Fakes)[name]
  assert.strictEqual(yield* put(`${url}/_fake/switches`, { webhookLose: 1 }), 200)
  yield* Effect.addFinalizer(() => put(`${url}/_fake/switches`, { webhookLose: 0 }))
})
const standing = (user: UserId, currency: Currency) =>
  Effect.flatMap(
    Ledger,
    (ledger) =>
      Effect.map(ledger.balance(walletOf(user), currency), ({ balance, held }) => [Number(balance), Number(held)])
  )
const work = (name: Name, reference: string) => Effect.flatMap(Disputes, (disputes) => disputes.work(name, reference))

/** Disputes over a ledger that cannot be reached the first time a hold is to end. */
const overAFlakyLedger = Layer.unwrap(Effect.gen(function*() {
  const ledger = yield* Ledger
  let failures = 1
  const flaky = Layer.succeed(Ledger, {
    ...ledger,
    void: (hold) => failures-- > 0 ? Effect.fail(new Unavailable({ retry_after: 1 })) : ledger.void(hold)
  })
  return Layer.fresh(Disputes.layer).pipe(Layer.provide(flaky))
}))

layer(ProvidersBench, { timeout: "60 seconds", excludeTestServices: true })("a dispute", (it) => {
  it.effect("that was won lets go of everything, also when the ledger was away in between", () =>
    Effect.gen(function*() {
      const user = yield* newId(UserId)
      const payment = yield* paidBy(user, "stripe", "USD")
      const reference = yield* dispute("stripe", { id: payment.id, reference: payment.providerReference ?? "" })
      assert.deepStrictEqual(yield* standing(user, "USD"), [10_000, 10_000])
      yield* unheard("stripe")
      yield* settleThere("stripe", "dispute", reference, "won")
      const failed = yield* Effect.flip(Effect.provide(work("stripe", reference), overAFlakyLedger))
      assert.strictEqual(failed._tag, "Unavailable")
      yield* work("stripe", reference)
      assert.deepStrictEqual(yield* standing(user, "USD"), [10_000, 0])
    }))

  it.effect("that was lost in part takes that part, and lets go of the rest", () =>
    Effect.gen(function*() {
      const user = yield* newId(UserId)
      const payment = yield* paidBy(user, "paystack", "NGN")
      const reference = yield* dispute("paystack", { id: payment.id, reference: payment.providerReference ?? "" })
      assert.deepStrictEqual(yield* standing(user, "NGN"), [10_000, 10_000])
      yield* unheard("paystack")
      assert.strictEqual(yield* settleThere("paystack", "dispute", reference, "lost_half"), 200)
      yield* work("paystack", reference)
      yield* work("paystack", reference)
      assert.deepStrictEqual(yield* standing(user, "NGN"), [5_000, 0])
    }))

  it.effect("over more than its payment, or in another currency, is kept for a person and holds nothing", () =>
    Effect.gen(function*() {
      yield* unheard("stripe")
      const { run } = yield* Reconciliation
      for (
        const [outcome, flag] of [["opened_above", "amount_mismatch"], ["opened_in_gbp", "currency_mismatch"]] as const
      ) {
        const user = yield* newId(UserId)
        const payment = yield* paidBy(user, "stripe", "USD")
        assert.strictEqual(yield* settleThere("stripe", "dispute", payment.providerReference ?? "", outcome), 200)
        const says = (differences: ReconciliationReport["differences"]) =>
          differences.filter(({ id }) => id === payment.id).map(({ kind, says }) => [kind, says])
        const expected = [["dispute", `It needs a decision: ${flag}.`]]
        assert.deepStrictEqual(says((yield* run(1)).differences), expected)
        assert.isTrue((yield* find(user, payment.id)).disputed)
        assert.deepStrictEqual(yield* standing(user, "USD"), [10_000, 0])
        const [row] = yield* owner(`SELECT reference FROM payments.disputes WHERE payment_id = $1`, [payment.id])
        yield* settleThere("stripe", "dispute", String(row?.[0]), "lost")
        assert.deepStrictEqual(says((yield* run(1)).differences), expected)
        assert.deepStrictEqual(yield* standing(user, "USD"), [10_000, 0])
      }
    }))
})
