import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { OutgoingId, UserId } from "../../src/domain/Ids.ts"
import { Fakes } from "../../src/layers/fakes/Fakes.ts"
import { newId } from "../../src/services/NewId.ts"
import { Outgoings } from "../../src/services/Outgoings.ts"
import { Reconciliation } from "../../src/services/Reconciliation.ts"
import { posted, refund, untilPayout } from "../layers/MoneyOut.ts"
import { owner } from "../layers/PaymentsBench.ts"
import { balance, ProvidersBench, put } from "../layers/ProvidersBench.ts"
import { type Name, paidBy, payout, referenceOf, settleThere, untilBalance } from "../layers/ProvidersMoney.ts"

/** The next call of the route is done, its answer lost, and the repetition answered with a refusal of its own, or by what is there. */
const takenAndCut = Effect.fnUntraced(function*(name: Name, route: string, refusals: number) {
  const { url } = (yield* Fakes)[name]
  assert.strictEqual(yield* put(`${url}/_fake/trouble`, { route, status: 400, times: refusals, cutFirst: 1 }), 200)
})
const providers = [["stripe", "USD", "paid", "POST /v1/transfers"], [
  "paystack",
  "NGN",
  "success",
  "POST /transfer"
]] as const

layer(ProvidersBench, { timeout: "60 seconds", excludeTestServices: true })(
  "a refusal of what was taken before",
  (it) => {
    for (const [name, currency, paidWord, route] of providers) {
      for (const [how, refusals] of [["as a repetition", 0], ["for another reason", 1]] as const) {
        it.effect(`leaves a payout under way that the provider has, refused ${how}: ${name}`, () =>
          Effect.gen(function*() {
            const user = yield* newId(UserId)
            yield* paidBy(user, name, currency)
            yield* takenAndCut(name, route, refusals)
            const made = yield* payout(user, name, currency, 3_000)
            yield* settleThere(name, "payout", yield* referenceOf(made.id), paidWord)
            yield* untilPayout(user, made.id, "paid")
            yield* untilBalance(user, currency, 7_000)
            assert.strictEqual(yield* posted(`payout:${made.id}`), 1)
            assert.deepStrictEqual((yield* Effect.flatMap(Reconciliation, ({ run }) => run(1))).differences, [])
          }))
      }
    }

    it.effect("takes a refund from the wallet that the provider made, refused for another reason: stripe", () =>
      Effect.gen(function*() {
        const user = yield* newId(UserId)
        const payment = yield* paidBy(user, "stripe", "USD")
        yield* takenAndCut("stripe", "POST /v1/refunds", 1)
        const made = yield* refund(user, payment.id, 4_000)
        assert.strictEqual(made.status, "succeeded")
        assert.strictEqual(yield* balance(user, "USD"), 6_000)
        assert.strictEqual(yield* posted(`refund:${made.id}`), 1)
      }))

    it.effect("is not needed for a refund that the provider cannot express: it is refused before anything is written", () =>
      Effect.gen(function*() {
        const { calls } = (yield* Fakes).stripe
        const user = yield* newId(UserId)
        const payment = yield* paidBy(user, "stripe", "KWD")
        const before = calls.length
        for (const amount of [5, 1_005, 9_999]) {
          const refused = yield* Effect.flip(refund(user, payment.id, amount))
          assert.deepInclude(refused, { _tag: "AmountNotAccepted", provider: "stripe", multiple_of: 10n, minimum: 10n })
        }
        assert.lengthOf(calls.slice(before).filter(({ path }) => path === "/v1/refunds"), 0)
        const rows = yield* owner(`SELECT 1 FROM payments.outgoing WHERE payment_id = $1`, [payment.id])
        assert.lengthOf(rows, 0)
        assert.strictEqual((yield* refund(user, payment.id, 1_010)).status, "succeeded")
        assert.strictEqual(yield* balance(user, "KWD"), 8_990)
      }))

    it.effect("makes one refund, also where it has no key, its answer is lost and the list is late: paystack", () =>
      Effect.gen(function*() {
        const { calls, fake: { book } } = (yield* Fakes).paystack
        const user = yield* newId(UserId)
        const payment = yield* paidBy(user, "paystack", "NGN")
        yield* takenAndCut("paystack", "POST /refund", 0)
        book.areRefundsLate = true
        const made = yield* refund(user, payment.id, 4_000)
        assert.strictEqual(made.status, "pending")
        const { work } = yield* Outgoings
        const again = yield* Effect.flip(work(OutgoingId.make(made.id)))
        assert.strictEqual(again._tag, "ProviderUnavailable")
        book.areRefundsLate = false
        yield* owner(`UPDATE payments.outgoing SET sending_until = now() - interval '1 second' WHERE id = $1`, [
          made.id
        ])
        yield* work(OutgoingId.make(made.id))
        yield* settleThere("paystack", "refund", yield* referenceOf(made.id), "processed")
        yield* untilBalance(user, "NGN", 6_000)
        assert.lengthOf(calls.filter(({ method, path }) => method === "POST" && path === "/refund"), 1)
      }))
  }
)
