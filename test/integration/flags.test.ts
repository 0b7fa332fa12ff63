import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { PayoutId, UserId } from "../../src/domain/Ids.ts"
import { Amount } from "../../src/domain/Money.ts"
import { Flags } from "../../src/services/Flags.ts"
import { newId } from "../../src/services/NewId.ts"
import {
  decide,
  look,
  refundBecomes,
  refunding,
  run,
  sent,
  standing,
  transferBecomes,
  wallet
} from "../layers/Flagging.ts"
import { payoutOf, posted, refund } from "../layers/MoneyOut.ts"
import { checkout, confirm, find, owner, transfersOf } from "../layers/PaymentsBench.ts"
import { pay, ProvidersBench } from "../layers/ProvidersBench.ts"

const refusedWith = <A, E extends { readonly _tag: string }, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(effect), ({ _tag }) => _tag)
const told = (subject: string) =>
  Effect.map(
    owner(`SELECT kind, reason FROM identity.security_events WHERE subject = $1`, [subject]),
    (rows) => rows.map((row) => [...row])
  )

layer(ProvidersBench, { timeout: "120 seconds", excludeTestServices: true })(
  "what a provider says differently",
  (it) => {
    it.effect("of a payout is shown, and settled as the provider has it, once by however many", () =>
      Effect.gen(function*() {
        const { id, reference, user } = yield* sent
        yield* transferBecomes(reference, { amount: 600, status: "success" })
        yield* run
        assert.deepStrictEqual(yield* standing(id), ["processing", "amount_mismatch", null, false])
        assert.deepStrictEqual(yield* wallet(user), [10_000, 1_000])
        const seen = yield* look("payout", id)
        assert.deepInclude(seen.says, { reference, status: "paid", amount: 600n, currency: "NGN" })
        const open = yield* Effect.flatMap(Flags, (flags) => flags.list("payout", { cursor: undefined, limit: 100 }))
        assert.include(open.items.map((one) => one.id), id)

        assert.strictEqual(yield* refusedWith(decide("payout", id, "release")), "FlagNotDecidable")
        const all = yield* Effect.all(Array.from({ length: 4 }, () => Effect.result(decide("payout", id, "settle"))), {
          concurrency: "unbounded"
        })
        assert.isTrue(all.some(({ _tag }) => _tag === "Success"))
        assert.deepInclude(yield* decide("payout", id, "settle"), {
          status: "paid",
          flag: null,
          decision: "settle",
          amount: Amount.make(600n)
        })
        assert.deepStrictEqual(yield* wallet(user), [9_400, 0])
        assert.strictEqual(yield* posted(`payout:${id}`), 1)
        assert.strictEqual((yield* payoutOf(user, PayoutId.make(id))).amount, 600n)
        assert.deepStrictEqual(yield* told(`payout/${id}`), [["flag_settled", "a ticket of the support desk"]])
        // And what the bank returns later is what was booked.
        yield* transferBecomes(reference, { status: "reversed" })
        yield* run
        assert.deepStrictEqual(yield* wallet(user), [10_000, 0])
        assert.strictEqual(yield* posted(`payout:${id}`), 2)
      }))

    it.effect("of a payout never costs its owner more than was held", () =>
      Effect.gen(function*() {
        for (const change of [{ amount: 1_500 }, { currency: "USD" }]) {
          const { id, reference, user } = yield* sent
          yield* transferBecomes(reference, { ...change, status: "success" })
          yield* run
          yield* decide("payout", id, "settle")
          assert.deepStrictEqual(yield* standing(id), ["done", null, "settle", true])
          assert.deepStrictEqual(yield* wallet(user), [9_000, 0])
        }
      }))

    it.effect("of a payout is released where the provider did not pay, and not while it still may", () =>
      Effect.gen(function*() {
        const { id, reference, user } = yield* sent
        yield* transferBecomes(reference, { amount: 600, status: "failed" })
        yield* run
        assert.deepStrictEqual(yield* standing(id), ["processing", "amount_mismatch", null, false])
        yield* transferBecomes(reference, { status: "pending" })
        assert.strictEqual(yield* refusedWith(decide("payout", id, "release")), "FlagNotDecidable")
        yield* transferBecomes(reference, { status: "failed" })
        assert.deepInclude(yield* decide("payout", id, "release"), {
          status: "failed",
          flag: null,
          decision: "release"
        })
        assert.deepStrictEqual(yield* wallet(user), [10_000, 0])
        assert.strictEqual(yield* posted(`payout:${id}`), 0)
      }))

    it.effect("of a payout that had failed and was paid all the same is debited, or borne", () =>
      Effect.gen(function*() {
        const paidAfterAll = Effect.gen(function*() {
          const payout = yield* sent
          yield* transferBecomes(payout.reference, { status: "failed" })
          yield* run
          assert.deepStrictEqual(yield* wallet(payout.user), [10_000, 0])
          yield* transferBecomes(payout.reference, { status: "success" })
          yield* run
          assert.deepStrictEqual(yield* standing(payout.id), ["failed", "done_after_end", null, true])
          return payout
        })
        const settled = yield* paidAfterAll
        assert.deepInclude(yield* decide("payout", settled.id, "settle"), { status: "paid", decision: "settle" })
        assert.deepStrictEqual(yield* wallet(settled.user), [9_000, 0])

        const borne = yield* paidAfterAll
        yield* decide("payout", borne.id, "release")
        assert.deepStrictEqual(yield* standing(borne.id), ["failed", "done_after_end", "release", true])
        assert.strictEqual(yield* refusedWith(decide("payout", borne.id, "settle")), "FlagNotDecidable")
        assert.deepStrictEqual(yield* wallet(borne.user), [10_000, 0])
        const { differences } = yield* run
        assert.deepStrictEqual(differences.filter((one) => one.id === borne.id), [])

        const poor = yield* paidAfterAll
        yield* owner(`UPDATE payments.outgoing SET amount = 10001 WHERE id = $1`, [poor.id])
        yield* transferBecomes(poor.reference, { amount: 10_001 })
        assert.deepInclude(yield* decide("payout", poor.id, "settle"), {
          status: "paid",
          flag: "hold_lost",
          decision: null
        })
        assert.deepStrictEqual(yield* wallet(poor.user), [10_000, 0])
        yield* decide("payout", poor.id, "release")
        assert.deepStrictEqual(yield* standing(poor.id), ["done", "hold_lost", "release", true])
        assert.strictEqual(yield* posted(`payout:${poor.id}`), 0)
      }))

    it.effect("of a refund counts on its payment as it was paid", () =>
      Effect.gen(function*() {
        const { id, payment, reference, user } = yield* refunding
        yield* refundBecomes(reference, { amount: 1_500, status: "processed" })
        yield* run
        assert.deepStrictEqual(yield* standing(id), ["processing", "amount_mismatch", null, false])
        yield* decide("refund", id, "settle")
        assert.deepStrictEqual(yield* wallet(user), [8_500, 0])
        assert.strictEqual((yield* find(user, payment.id)).amountRefunded, 1_500n)
        assert.strictEqual(yield* refusedWith(refund(user, payment.id, 8_501)), "RefundExceeded")
        assert.strictEqual((yield* refund(user, payment.id, 8_500)).status, "pending")
      }))

    const charged = Effect.gen(function*() {
      const user = yield* newId(UserId)
      const payment = yield* pay(user, "NGN", 10_000, "paystack")
      return { user, payment }
    })
    const asked = (id: string, change: string) => owner(`UPDATE payments.payments SET ${change} WHERE id = $1`, [id])

    it.effect("of a charge is credited as the provider has it, once, and can be refunded to that", () =>
      Effect.gen(function*() {
        const { payment, user } = yield* charged
        const { id } = payment
        yield* asked(id, "amount = 9000")
        assert.strictEqual(yield* checkout(payment, "succeed"), 200)
        yield* confirm(user, id)
        assert.strictEqual((yield* look("charge", id)).flag, "amount_mismatch")
        yield* Effect.all(Array.from({ length: 4 }, () => Effect.result(decide("charge", id, "settle"))), {
          concurrency: "unbounded"
        })
        assert.deepInclude(yield* decide("charge", id, "settle"), {
          status: "succeeded",
          flag: null,
          amount: Amount.make(10_000n)
        })
        assert.deepStrictEqual([yield* wallet(user), yield* transfersOf(id)], [[10_000, 0], 1])
        assert.deepStrictEqual(yield* told(`charge/${id}`), [["flag_settled", "a ticket of the support desk"]])
        assert.strictEqual((yield* refund(user, id)).amount, 10_000n)
      }))

    it.effect("of a charge that is released is never credited, whatever is heard of it later", () =>
      Effect.gen(function*() {
        const { payment, user } = yield* charged
        const { id } = payment
        yield* asked(id, "amount = 9000")
        yield* checkout(payment, "succeed")
        yield* confirm(user, id)
        assert.deepInclude(yield* decide("charge", id, "release"), { status: "failed", decision: "release" })
        yield* asked(id, "amount = 10000")
        yield* confirm(user, id)
        yield* run
        assert.strictEqual(yield* refusedWith(decide("charge", id, "settle")), "FlagNotDecidable")
        assert.deepStrictEqual([yield* wallet(user), yield* transfersOf(id)], [[0, 0], 0])
      }))

    it.effect("of a charge is not settled when it is of the other mode", () =>
      Effect.gen(function*() {
        const { payment, user } = yield* charged
        const { id } = payment
        yield* asked(id, "livemode = true")
        yield* checkout(payment, "succeed")
        yield* confirm(user, id)
        assert.strictEqual((yield* look("charge", id)).flag, "mode_mismatch")
        assert.strictEqual(yield* refusedWith(decide("charge", id, "settle")), "FlagNotDecidable")
        assert.strictEqual(yield* transfersOf(id), 0)
      }))

    it.effect("is accepted by the database only where there is a flag", () =>
      Effect.gen(function*() {
        const { payment: { id } } = yield* charged
        const accept = asked(id, "accepted_amount = 1, accepted_currency = 'NGN'")
        const failed = yield* Effect.exit(accept)
        assert.strictEqual(failed._tag, "Failure")
        assert.include(String(failed), "only what is flagged")
      }))
  }
)
