import { PgConnection } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { Effect, Fiber, Layer, Option, Schedule } from "effect"
import { OutgoingId, UserId } from "../../src/domain/Ids.ts"
import { Amount, type Currency } from "../../src/domain/Money.ts"
import { Unavailable } from "../../src/domain/Problem.ts"
import type { ReconciliationReport } from "../../src/domain/Reconciliation.ts"
import { type Account, between, clearingOf, walletOf } from "../../src/domain/Wallet.ts"
import { Fakes } from "../../src/layers/fakes/Fakes.ts"
import { Disputes } from "../../src/services/Disputes.ts"
import { Ledger } from "../../src/services/Ledger.ts"
import { newId } from "../../src/services/NewId.ts"
import { Outgoings } from "../../src/services/Outgoings.ts"
import { OutgoingStore } from "../../src/services/OutgoingStore.ts"
import { Reconciliation } from "../../src/services/Reconciliation.ts"
import { refund } from "../layers/MoneyOut.ts"
import { find, owner } from "../layers/PaymentsBench.ts"
import { PgTest } from "../layers/PgTest.ts"
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

/** A refund that was recorded and whose money is held, and that the provider has heard nothing of. */
const recordedRefund = Effect.gen(function*() {
  yield* unheard("paystack")
  const { paystack } = yield* Fakes
  const user = yield* newId(UserId)
  const payment = yield* paidBy(user, "paystack", "NGN")
  yield* put(`${paystack.url}/_fake/trouble`, { route: "POST /refund", status: 500, times: 1_000 })
  yield* Effect.addFinalizer(() =>
    put(`${paystack.url}/_fake/trouble`, { route: "POST /refund", status: 500, times: 0 })
  )
  // After a refund that may have been made nobody asks again for a minute.
  return { user, payment, made: yield* refund(user, payment.id, 4_000) }
})

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

  it.effect("that was lost over an empty wallet is owed, and taken when there is money", () =>
    Effect.gen(function*() {
      const user = yield* newId(UserId)
      const payment = yield* paidBy(user, "paystack", "NGN")
      const ledger = yield* Ledger
      const move = (key: string, from: Account, to: Account, units: bigint) =>
        ledger.post(between({ key, kind: "charge", from, to, amount: Amount.make(units), currency: "NGN" }))
      yield* move(`spent:${user}`, walletOf(user), clearingOf("elsewhere"), 10_000n)
      const reference = yield* dispute("paystack", { id: payment.id, reference: payment.providerReference ?? "" })
      yield* unheard("paystack")
      yield* settleThere("paystack", "dispute", reference, "lost")
      yield* work("paystack", reference)
      assert.deepStrictEqual(yield* standing(user, "NGN"), [0, 0])
      yield* move(`found:${user}`, clearingOf("elsewhere"), walletOf(user), 12_000n)
      yield* work("paystack", reference)
      assert.deepStrictEqual(yield* standing(user, "NGN"), [2_000, 0])
    }))

  it.effect("that comes before a refund was sent ends the refund, whose money is free again", () =>
    Effect.gen(function*() {
      const { paystack } = yield* Fakes
      const { made, payment, user } = yield* recordedRefund
      assert.deepStrictEqual(yield* standing(user, "NGN"), [10_000, 4_000])
      const before = paystack.calls.length
      yield* owner(
        `WITH disputed AS (UPDATE payments.payments SET disputed = true WHERE id = $2)
         UPDATE payments.outgoing SET begun_at = NULL, sending_until = NULL, updated_at = now() - interval '1 hour' WHERE id = $1`,
        [made.id, payment.id]
      )
      yield* Effect.flatMap(Reconciliation, ({ askAboutStuck }) => askAboutStuck)
      const [row] = yield* owner(`SELECT status, failure_reason FROM payments.outgoing WHERE id = $1`, [made.id])
      assert.deepStrictEqual(row, ["failed", "payment_disputed"])
      assert.deepStrictEqual(yield* standing(user, "NGN"), [10_000, 0])
      const counted = yield* owner(`SELECT refund_reserved::int FROM payments.payments WHERE id = $1`, [payment.id])
      assert.deepStrictEqual(counted, [[0]])
      const asked = paystack.calls.slice(before).filter(({ body, path }) =>
        path === "/refund" && body.includes(made.id)
      )
      assert.deepStrictEqual(asked, [])
    }))

  it.effect("that comes while somebody else sends the refund leaves it to the provider", () =>
    Effect.gen(function*() {
      const { made, payment, user } = yield* recordedRefund
      const store = yield* OutgoingStore
      // As read before the other began, who has the right to ask for as long as this test takes.
      const read = { ...Option.getOrThrow(yield* store.find(OutgoingId.make(made.id))), begunAt: Option.none() }
      yield* owner(
        `WITH disputed AS (UPDATE payments.payments SET disputed = true WHERE id = $2)
         UPDATE payments.outgoing SET begun_at = now(), sending_until = now() + interval '1 hour' WHERE id = $1`,
        [made.id, payment.id]
      )
      const { advance } = yield* Outgoings
      assert.strictEqual((yield* Effect.flip(advance(read)))._tag, "ProviderUnavailable")
      const [row] = yield* owner(`SELECT status, failure_reason FROM payments.outgoing WHERE id = $1`, [made.id])
      assert.deepStrictEqual(row, ["processing", null])
      assert.deepStrictEqual(yield* standing(user, "NGN"), [10_000, 4_000])
    }))

  it.effect("that comes while a refund is recorded refuses it", () =>
    Effect.gen(function*() {
      yield* unheard("paystack")
      const user = yield* newId(UserId)
      const { id } = yield* paidBy(user, "paystack", "NGN")
      const holder = yield* PgConnection.make({ url: (yield* PgTest).ownerUrl })
      yield* holder.queryValues("BEGIN", [])
      yield* holder.queryValues("SELECT id FROM payments.payments WHERE id = $1 FOR UPDATE", [id])
      // It has looked at the payment before it waits for it.
      const asked = yield* Effect.forkScoped(Effect.flip(refund(user, id, 4_000)))
      const waiting = owner(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
      )
      yield* waiting.pipe(
        Effect.repeat({ schedule: Schedule.spaced("10 millis"), until: (rows) => rows.length > 0 }),
        Effect.timeout("20 seconds")
      )
      yield* holder.queryValues("UPDATE payments.payments SET disputed = true WHERE id = $1", [id])
      yield* holder.queryValues("COMMIT", [])
      assert.strictEqual((yield* Fiber.join(asked))._tag, "PaymentDisputed")
      assert.deepStrictEqual(yield* standing(user, "NGN"), [10_000, 0])
    }).pipe(Effect.scoped))

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
