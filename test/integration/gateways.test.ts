import { assert, layer } from "@effect/vitest"
import { Effect, Option } from "effect"
import type { ProviderError } from "../../src/services/Gateway.ts"
import { askFor, Benches, checkOut, everything, paidCharge, payoutTo, refundOf } from "../layers/Gateways.ts"

const providers = ["sandbox", "stripe", "paystack"] as const

// One contract for every provider. What a provider cannot do is said in its own line, and nowhere else.
layer(Benches.layer, { timeout: "60 seconds", excludeTestServices: true })("a gateway", (it) => {
  for (const provider of providers) {
    const bench = Effect.map(Benches, (all) => all[provider])

    it.effect(`makes a charge that can be paid, and reports what was asked once it is: ${provider}`, () =>
      Effect.gen(function*() {
        const { asked, made, paid } = yield* paidCharge(yield* bench)
        assert.strictEqual(made.status, "requires_action")
        assert.deepStrictEqual(Option.map(made.nextAction, ({ type }) => type), Option.some("redirect"))
        const { amount, currency, livemode, paymentId, reference, status } = paid
        assert.deepStrictEqual([status, amount, currency, livemode], ["succeeded", 25_000n, asked.currency, false])
        assert.deepStrictEqual([paymentId, reference], [Option.some(asked.paymentId), made.reference])
        assert.isTrue(Option.isNone(paid.nextAction))
      }))

    it.effect(`says what the provider keeps for itself, where it says so at all: ${provider}`, () =>
      Effect.gen(function*() {
        const { paid } = yield* paidCharge(yield* bench)
        const fee = { sandbox: Option.none(), stripe: Option.some(755n), paystack: Option.some(375n) }[provider]
        assert.deepStrictEqual(paid.fee, fee)
      }))

    it.effect(`finds the charge that a first attempt made: ${provider}`, () =>
      Effect.gen(function*() {
        const { gateway } = yield* bench
        const asked = yield* askFor(yield* bench)
        const first = yield* gateway.createCharge(asked)
        if (provider === "paystack") {
          // Its checkout's address is told once. Until that attempt is surely over, the charge is not given up.
          assert.strictEqual((yield* Effect.flip(gateway.createCharge(asked)))._tag, "ProviderUnavailable")
          yield* checkOut(first, "succeed")
          assert.strictEqual((yield* gateway.createCharge(asked)).status, "succeeded")
        } else assert.deepStrictEqual(yield* gateway.createCharge(asked), first)
        const all = yield* everything(gateway.listCharges)
        assert.strictEqual(all.filter(({ paymentId }) => Option.contains(paymentId, asked.paymentId)).length, 1)
      }))

    it.effect(`reports a charge that came to nothing: ${provider}`, () =>
      Effect.gen(function*() {
        const { gateway } = yield* bench
        const declined = yield* gateway.createCharge(yield* askFor(yield* bench))
        yield* checkOut(declined, "fail")
        assert.strictEqual((yield* gateway.retrieveCharge(declined.reference)).status, "failed")
        const open = yield* gateway.createCharge(yield* askFor(yield* bench))
        assert.strictEqual((yield* gateway.retrieveCharge(open.reference)).status, "requires_action")
        const canceled = yield* Effect.result(gateway.cancelCharge(open.reference))
        assert.strictEqual(
          canceled._tag === "Success" ? canceled.success.status : canceled.failure._tag,
          provider === "paystack" ? "ProviderRefused" : "canceled"
        )
      }))

    it.effect(`leaves a paid charge paid when it is asked to cancel: ${provider}`, () =>
      Effect.gen(function*() {
        const { gateway } = yield* bench
        const { made } = yield* paidCharge(yield* bench)
        yield* Effect.ignore(gateway.cancelCharge(made.reference))
        assert.strictEqual((yield* gateway.retrieveCharge(made.reference)).status, "succeeded")
      }))

    it.effect(`refuses what does not exist: ${provider}`, () =>
      Effect.gen(function*() {
        const { gateway } = yield* bench
        const unknown: ReadonlyArray<Effect.Effect<unknown, ProviderError>> = [
          gateway.retrieveCharge("cs_unknown"),
          gateway.retrieveRefund("re_unknown"),
          gateway.retrievePayout("acct_unknown/po_unknown"),
          gateway.retrieveDispute("dp_unknown")
        ]
        for (const call of unknown) assert.strictEqual((yield* Effect.flip(call))._tag, "ProviderRefused")
      }))

    it.effect(`refunds in parts, each once, and never more than was paid: ${provider}`, () =>
      Effect.gen(function*() {
        const { gateway, settleRefund } = yield* bench
        const { made } = yield* paidCharge(yield* bench, 10_000)
        const part = yield* refundOf(yield* bench, made.reference, 4_000)
        const first = yield* gateway.createRefund(part)
        assert.deepStrictEqual(yield* gateway.createRefund(part), first)
        yield* settleRefund(first.reference)
        const settled = yield* gateway.retrieveRefund(first.reference)
        assert.deepStrictEqual(
          [settled.status, settled.amount, settled.operationId],
          ["succeeded", 4_000n, Option.some<string>(part.refundId)]
        )
        assert.deepStrictEqual(settled.chargeReference, Option.some(made.reference))
        const over = yield* Effect.flip(gateway.createRefund(yield* refundOf(yield* bench, made.reference, 6_001)))
        assert.strictEqual(over._tag, "ProviderRefused")
        yield* gateway.createRefund(yield* refundOf(yield* bench, made.reference, 6_000))
        const all = yield* everything(gateway.listRefunds)
        const ours = all.filter(({ chargeReference }) => Option.contains(chargeReference, made.reference))
        assert.deepStrictEqual(ours.map(({ amount }) => amount).toSorted(), [4_000n, 6_000n])
      }))

    it.effect(`refuses to refund a charge that nobody paid: ${provider}`, () =>
      Effect.gen(function*() {
        const { gateway } = yield* bench
        const open = yield* gateway.createCharge(yield* askFor(yield* bench))
        const refund = yield* refundOf(yield* bench, open.reference, 100)
        assert.strictEqual((yield* Effect.flip(gateway.createRefund(refund)))._tag, "ProviderRefused")
      }))

    for (const outcome of ["paid", "failed"] as const) {
      it.effect(`pays out once, and reports how it ended: ${outcome}, ${provider}`, () =>
        Effect.gen(function*() {
          const { gateway, settlePayout } = yield* bench
          const asked = yield* payoutTo(yield* bench)
          const first = yield* gateway.createPayout(asked)
          assert.deepStrictEqual([first.status, first.amount], ["processing", 10_000n])
          assert.deepStrictEqual(yield* gateway.createPayout(asked), first)
          yield* settlePayout(first, outcome)
          const ended = yield* gateway.retrievePayout(first.reference)
          assert.deepStrictEqual([ended.status, ended.operationId], [outcome, Option.some<string>(asked.payoutId)])
          assert.strictEqual(Option.isSome(ended.failureReason), outcome === "failed")
          assert.deepStrictEqual(yield* gateway.retrievePayout(first.reference), ended)
          const all = yield* everything(gateway.listPayouts)
          const ours = all.filter(({ operationId }) => Option.contains(operationId, asked.payoutId))
          assert.deepStrictEqual(ours.map(({ status }) => status), [outcome])
        }))
    }
  }
})
