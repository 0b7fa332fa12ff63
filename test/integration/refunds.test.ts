import { assert, layer } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { OperationId, PaymentId, UserId } from "../../src/domain/Ids.ts"
import { newId } from "../../src/services/NewId.ts"
import { paid, payout, posted, refund, untilWallet, waits, wallet } from "../layers/MoneyOut.ts"
import { charge, find, owner, PaymentsBench } from "../layers/PaymentsBench.ts"

/** Of the request and the command that was left with the intent, one asks the provider: the other answers `pending` meanwhile. */
const done = <A extends { readonly status: string }, E, R>(repeated: Effect.Effect<A, E, R>) =>
  Effect.repeat(repeated, { schedule: Schedule.spaced("20 millis"), until: ({ status }) => status === "succeeded" })

layer(PaymentsBench, { timeout: "60 seconds", excludeTestServices: true })("a refund", (it) => {
  it.effect("takes the money from the wallet, in parts and then the rest, and never more than was paid", () =>
    Effect.gen(function*() {
      const user = yield* newId(UserId)
      const payment = yield* paid(user)
      const key = yield* newId(OperationId)
      const part = yield* refund(user, payment.id, 1_000, key)
      assert.deepStrictEqual([part.paymentId, BigInt(part.amount), part.currency], [payment.id, 1_000n, "NGN"])
      yield* done(refund(user, payment.id, 1_000, key))
      yield* untilWallet(user, 1_500, 0)
      const more = yield* Effect.flip(refund(user, payment.id, 1_501))
      assert.deepInclude(more, { _tag: "RefundExceeded", available: 1_500n })
      const rest = yield* refund(user, payment.id)
      assert.strictEqual(rest.amount, 1_500n)
      yield* untilWallet(user, 0, 0)
      const whole = yield* find(user, payment.id)
      assert.deepStrictEqual([whole.status, whole.amountRefunded], ["succeeded", 2_500n])
      assert.strictEqual((yield* Effect.flip(refund(user, payment.id)))._tag, "RefundExceeded")
    }))

  it.effect("is one, however often its request is repeated", () =>
    Effect.gen(function*() {
      const user = yield* newId(UserId)
      const payment = yield* paid(user)
      const key = yield* newId(OperationId)
      const answers = yield* Effect.all(
        Array.from({ length: 10 }, () => refund(user, payment.id, undefined, key).pipe(Effect.option)),
        { concurrency: "unbounded" }
      )
      assert.isAbove(answers.filter(({ _tag }) => _tag === "Some").length, 0)
      const again = yield* done(refund(user, payment.id, undefined, key))
      assert.deepStrictEqual([String(again.id), BigInt(again.amount), again.status], [key, 2_500n, "succeeded"])
      yield* untilWallet(user, 0, 0)
      assert.strictEqual(yield* posted(`refund:${key}`), 1)
      assert.strictEqual((yield* find(user, payment.id)).amountRefunded, 2_500n)
    }))

  it.effect("is refused when the wallet does not cover it, and leaves nothing reserved", () =>
    Effect.gen(function*() {
      const user = yield* newId(UserId)
      const payment = yield* paid(user)
      yield* payout(user, 2_000, waits)
      const refusal = yield* Effect.flip(refund(user, payment.id, 600))
      assert.deepInclude(refusal, { _tag: "InsufficientFunds", available: 500n })
      yield* refund(user, payment.id, 500)
      yield* untilWallet(user, 2_000, 2_000)
      const rows = yield* owner(
        `SELECT refund_reserved::int, amount_refunded::int FROM payments.payments WHERE id = $1`,
        [payment.id]
      )
      assert.deepStrictEqual([...rows[0] ?? []], [500, 500])
    }))

  it.effect("of which twenty race for the same money leave the wallet once", () =>
    Effect.gen(function*() {
      const user = yield* newId(UserId)
      const payment = yield* paid(user)
      const tags = yield* Effect.all(
        Array.from({ length: 20 }, () =>
          refund(user, payment.id, 500).pipe(Effect.match({
            onSuccess: () => "refunded" as const,
            onFailure: ({ _tag }) => _tag
          }))),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(tags.filter((tag) => tag === "refunded").length, 5)
      assert.deepStrictEqual(new Set(tags), new Set(["refunded", "RefundExceeded"]))
      yield* untilWallet(user, 0, 0)
    }))

  it.effect("is for its payer alone, and for what was paid", () =>
    Effect.gen(function*() {
      const [user, other] = [yield* newId(UserId), yield* newId(UserId)]
      const payment = yield* paid(user)
      yield* paid(other)
      assert.strictEqual((yield* Effect.flip(refund(other, payment.id)))._tag, "NotFound")
      assert.strictEqual((yield* Effect.flip(refund(user, yield* newId(PaymentId))))._tag, "NotFound")
      const open = yield* charge(user)
      assert.deepInclude(yield* Effect.flip(refund(user, open.id)), {
        _tag: "PaymentNotPaid",
        payment_status: "requires_action"
      })
      assert.deepStrictEqual(yield* wallet(user), [2_500, 0])
    }))
})
