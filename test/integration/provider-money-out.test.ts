import { assert, layer } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { UserId } from "../../src/domain/Ids.ts"
import { Fakes } from "../../src/layers/fakes/Fakes.ts"
import { newId } from "../../src/services/NewId.ts"
import { Reconciliation } from "../../src/services/Reconciliation.ts"
import { posted, refund, untilPayout } from "../layers/MoneyOut.ts"
import { find, owner } from "../layers/PaymentsBench.ts"
import { balance, ProvidersBench, put } from "../layers/ProvidersBench.ts"
import { dispute, paidBy, payout, referenceOf, settleThere, untilBalance } from "../layers/ProvidersMoney.ts"

const untilDispute = (reference: string, status: string) =>
  owner(`SELECT status, settled FROM payments.disputes WHERE reference = $1`, [reference]).pipe(
    Effect.repeat({ schedule: Schedule.spaced("20 millis"), until: (rows) => rows[0]?.[0] === status }),
    Effect.timeout("20 seconds")
  )
/** Each with the calls that a payout takes. */
const providers = [
  ["stripe", "USD", "paid", ["POST /v1/tokens", "POST /v1/accounts", "POST /v1/transfers", "POST /v1/payouts"]],
  ["paystack", "NGN", "success", ["POST /transferrecipient", "POST /transfer"]]
] as const

layer(ProvidersBench, { timeout: "120 seconds", excludeTestServices: true })(
  "money out through real providers",
  (it) => {
    for (const [name, currency, paidWord, routes] of providers) {
      it.effect(`refunds once, its events doubled and late: ${name}`, () =>
        Effect.gen(function*() {
          const { url } = (yield* Fakes)[name]
          yield* put(`${url}/_fake/switches`, { webhookDuplicate: 1, webhookReorder: 0.5 })
          const user = yield* newId(UserId)
          const payment = yield* paidBy(user, name, currency)
          const made = yield* refund(user, payment.id, 4_000)
          if (name === "paystack") {
            const rows = yield* owner(`SELECT provider_reference FROM payments.outgoing WHERE id = $1`, [made.id])
            assert.strictEqual(made.status, "pending")
            yield* settleThere(name, "refund", String(rows[0]?.[0]), "processed")
          }
          yield* untilBalance(user, currency, 6_000)
          assert.strictEqual(yield* posted(`refund:${made.id}`), 1)
          assert.strictEqual((yield* find(user, payment.id)).amountRefunded, 4_000n)
        }))

      it.effect(`pays out, and books back what fails after it was paid: ${name}`, () =>
        Effect.gen(function*() {
          const user = yield* newId(UserId)
          yield* paidBy(user, name, currency)
          const made = yield* payout(user, name, currency, 3_000)
          const reference = yield* referenceOf(made.id)
          assert.strictEqual(yield* settleThere(name, "payout", reference, paidWord), 200)
          yield* untilPayout(user, made.id, "paid")
          yield* untilBalance(user, currency, 7_000)
          assert.strictEqual(
            yield* settleThere(name, "payout", reference, name === "stripe" ? "failed" : "reversed"),
            200
          )
          yield* untilPayout(user, made.id, "failed")
          yield* untilBalance(user, currency, 10_000)
          assert.strictEqual(yield* posted(`payout:${made.id}`), 2)
        }))

      it.effect(`sends one payout under one key, whose answer is lost each first time: ${name}`, () =>
        Effect.gen(function*() {
          const fake = (yield* Fakes)[name]
          const user = yield* newId(UserId)
          yield* paidBy(user, name, currency)
          // By count and not by dice, which other calls would throw too: five lost in a row close the circuit for half a minute.
          for (const route of routes) {
            assert.strictEqual(
              yield* put(`${fake.url}/_fake/trouble`, { route, status: 500, times: 0, cutFirst: 1 }),
              200
            )
          }
          const made = yield* payout(user, name, currency, 3_000)
          const reference = yield* referenceOf(made.id)
          const sent = fake.calls.map(({ method, path }) => `${method} ${path}`)
          for (const route of routes) assert.isAtLeast(sent.filter((one) => one === route).length, 2, route)
          yield* settleThere(name, "payout", reference, paidWord)
          yield* untilPayout(user, made.id, "paid")
          const report = yield* Effect.flatMap(Reconciliation, ({ run }) => run(1))
          assert.deepStrictEqual(report.differences, [])
          yield* untilBalance(user, currency, 7_000)
          assert.strictEqual(yield* posted(`payout:${made.id}`), 1)
        }))

      it.effect(`holds what is disputed, lets go of what was won, and takes back what was lost: ${name}`, () =>
        Effect.gen(function*() {
          const user = yield* newId(UserId)
          const [won, lost] = [yield* paidBy(user, name, currency), yield* paidBy(user, name, currency)]
          const first = yield* dispute(name, { id: won.id, reference: won.providerReference ?? "" })
          assert.isTrue((yield* find(user, won.id)).disputed)
          assert.strictEqual((yield* Effect.flip(refund(user, won.id)))._tag, "PaymentDisputed")
          yield* settleThere(name, "dispute", first, "won")
          yield* untilDispute(first, "won")
          const second = yield* dispute(name, { id: lost.id, reference: lost.providerReference ?? "" })
          // Half of the money leaves before the dispute is lost: what is held stays.
          const over = yield* Effect.flip(payout(user, name, currency, 10_001))
          assert.strictEqual(over._tag, "InsufficientFunds")
          yield* settleThere(name, "dispute", second, "lost")
          yield* untilDispute(second, "lost")
          yield* untilBalance(user, currency, 10_000)
          assert.isTrue((yield* find(user, lost.id)).disputed)
        }))
    }

    for (const [name, currency] of [["stripe", "USD"], ["paystack", "NGN"]] as const) {
      it.effect(`finds a dispute whose event was lost, in the provider's list: ${name}`, () =>
        Effect.gen(function*() {
          const user = yield* newId(UserId)
          const payment = yield* paidBy(user, name, currency)
          const { url } = (yield* Fakes)[name]
          yield* put(`${url}/_fake/switches`, { webhookLose: 1 })
          assert.strictEqual(yield* settleThere(name, "dispute", payment.providerReference ?? "", "opened"), 200)
          assert.isFalse((yield* find(user, payment.id)).disputed)
          yield* Effect.flatMap(Reconciliation, ({ run }) => run(1))
          assert.isTrue((yield* find(user, payment.id)).disputed)
          assert.strictEqual((yield* Effect.flip(payout(user, name, currency, 5_000)))._tag, "InsufficientFunds")
          yield* put(`${url}/_fake/switches`, { webhookLose: 0 })
        }))
    }

    it.effect("a lost dispute is owed by a wallet that is empty, and paid when money comes", () =>
      Effect.gen(function*() {
        const user = yield* newId(UserId)
        const payment = yield* paidBy(user, "paystack", "NGN")
        const gone = yield* payout(user, "paystack", "NGN", 9_000)
        yield* settleThere("paystack", "payout", yield* referenceOf(gone.id), "success")
        yield* untilBalance(user, "NGN", 1_000)
        const reference = yield* dispute("paystack", { id: payment.id, reference: payment.providerReference ?? "" })
        yield* settleThere("paystack", "dispute", reference, "lost")
        yield* untilDispute(reference, "lost")
        yield* untilBalance(user, "NGN", 0)
        yield* paidBy(user, "paystack", "NGN", 12_000)
        // Whoever is still at work on the dispute may have looked at it between the two: then it is not stuck.
        yield* owner(`UPDATE payments.disputes SET updated_at = now() - interval '5 minutes' WHERE reference = $1`, [
          reference
        ]).pipe(
          Effect.andThen(Effect.flatMap(Reconciliation, ({ askAboutStuck }) => askAboutStuck)),
          Effect.andThen(balance(user, "NGN")),
          Effect.repeat({ schedule: Schedule.spaced("20 millis"), until: (now) => now === 3_000 }),
          Effect.timeout("20 seconds")
        )
        const owed = yield* owner(`SELECT sum(balance)::int FROM wallet.accounts WHERE owner LIKE 'receivable:%'`)
        assert.strictEqual(owed[0]?.[0], 0)
      }))

    it.effect("a refund that was made behind our back is reported, and moves nothing", () =>
      Effect.gen(function*() {
        const user = yield* newId(UserId)
        const payment = yield* paidBy(user, "paystack", "NGN")
        const { paystack } = yield* Fakes
        yield* Effect.promise(() =>
          fetch(`${paystack.url}/refund`, {
            method: "POST",
            headers: { authorization: "Bearer sk_test_paystack", "content-type": "application/json" },
            body: JSON.stringify({ transaction: payment.providerReference, amount: 500, currency: "NGN" })
          })
        )
        const report = yield* Effect.flatMap(Reconciliation, ({ run }) => run(1))
        assert.deepStrictEqual(report.differences.map(({ kind, says }) => [kind, says]), [
          ["refund", "A refund of 500 NGN that was not asked for here."]
        ])
        assert.strictEqual(yield* balance(user, "NGN"), 10_000)
      }))
  }
)
