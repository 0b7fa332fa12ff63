import { assert, layer } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { UserId } from "../../src/domain/Ids.ts"
import { Fakes } from "../../src/layers/fakes/Fakes.ts"
import { newId } from "../../src/services/NewId.ts"
import { Reconciliation } from "../../src/services/Reconciliation.ts"
import { secrets } from "../layers/Gateways.ts"
import { posted, refund } from "../layers/MoneyOut.ts"
import { owner } from "../layers/PaymentsBench.ts"
import { balance, ProvidersBench, put } from "../layers/ProvidersBench.ts"
import { paidBy, payout, referenceOf, settleThere, untilBalance } from "../layers/ProvidersMoney.ts"

const run = Effect.flatMap(Reconciliation, ({ run }) => run(1))
const paystackPost = Effect.fnUntraced(function*(path: string, body: object) {
  const { paystack } = yield* Fakes
  const headers = { authorization: `Bearer ${secrets.paystack}`, "content-type": "application/json" }
  const answer = yield* Effect.promise(() =>
    fetch(`${paystack.url}${path}`, { method: "POST", headers, body: JSON.stringify(body) }).then((it) => it.json())
  )
  return String(answer.data.id)
})
const silence = Effect.gen(function*() {
  const { paystack } = yield* Fakes
  yield* put(`${paystack.url}/_fake/switches`, { webhookLose: 1 })
  yield* Effect.addFinalizer(() => put(`${paystack.url}/_fake/switches`, { webhookLose: 0 }))
})

layer(ProvidersBench, { timeout: "60 seconds", excludeTestServices: true })("reading a provider's lists", (it) => {
  it.effect("lets the refund that was asked for decide, and not a second one under its name", () =>
    Effect.gen(function*() {
      yield* silence
      const user = yield* newId(UserId)
      const payment = yield* paidBy(user, "paystack", "NGN")
      const made = yield* refund(user, payment.id, 4_000)
      const first = yield* referenceOf(made.id)
      const same = {
        transaction: payment.providerReference,
        amount: 4_000,
        merchant_note: `midnight refund ${made.id}`
      }
      const second = yield* paystackPost("/refund", same)
      assert.strictEqual(yield* settleThere("paystack", "refund", second, "processed"), 200)
      const { differences } = yield* run
      assert.deepStrictEqual(differences.map(({ id, says }) => [id, says]), [
        [made.id, `It was made twice; the other is ${first}.`]
      ])
      const [row] = yield* owner(`SELECT status, provider_reference FROM payments.outgoing WHERE id = $1`, [made.id])
      assert.deepStrictEqual(row, ["processing", first])
      assert.strictEqual(yield* posted(`refund:${made.id}`), 0)
      assert.strictEqual(yield* balance(user, "NGN"), 10_000)
    }))

  it.effect("compares refunds also while the list of charges cannot be read", () =>
    Effect.gen(function*() {
      yield* silence
      const { paystack } = yield* Fakes
      const user = yield* newId(UserId)
      const payment = yield* paidBy(user, "paystack", "NGN")
      const made = yield* refund(user, payment.id, 4_000)
      yield* settleThere("paystack", "refund", yield* referenceOf(made.id), "processed")
      yield* put(`${paystack.url}/_fake/trouble`, { route: "GET /transaction", status: 200, times: 1 })
      const report = yield* run
      assert.deepStrictEqual(report.unavailable.map(({ provider }) => provider), ["paystack"])
      assert.strictEqual(yield* balance(user, "NGN"), 6_000)
    }))

  it.effect("asks about all that has not moved, also beside a payout whose destination nothing opens any more", () =>
    Effect.gen(function*() {
      const { paystack } = yield* Fakes
      const user = yield* newId(UserId)
      yield* paidBy(user, "paystack", "NGN")
      yield* put(`${paystack.url}/_fake/trouble`, { route: "POST /transferrecipient", status: 500, times: 1_000 })
      const { id } = yield* payout(user, "paystack", "NGN", 1_000)
      // Its command has asked and will ask again in a second, so both in one statement.
      yield* owner(
        `UPDATE payments.outgoing SET destination = '\\x00', updated_at = now() - interval '1 hour'
          WHERE id = $1 AND begun_at IS NOT NULL AND sending_until IS NULL RETURNING id`,
        [id]
      ).pipe(
        Effect.repeat({ schedule: Schedule.spaced("20 millis"), until: (rows) => rows.length > 0 }),
        Effect.timeout("20 seconds")
      )
      yield* Effect.flatMap(Reconciliation, ({ askAboutStuck }) => askAboutStuck)
      const [row] = yield* owner(`SELECT status FROM payments.outgoing WHERE id = $1`, [id])
      assert.deepStrictEqual(row, ["processing"])
      yield* put(`${paystack.url}/_fake/trouble`, { route: "POST /transferrecipient", status: 500, times: 0 })
    }))

  it.effect("is not needed for two refunds of one amount, whose events are the same to the byte", () =>
    Effect.gen(function*() {
      const user = yield* newId(UserId)
      const payment = yield* paidBy(user, "paystack", "NGN")
      for (const left of [7_000, 4_000]) {
        const made = yield* refund(user, payment.id, 3_000)
        yield* settleThere("paystack", "refund", yield* referenceOf(made.id), "processed")
        yield* untilBalance(user, "NGN", left)
      }
    }))
})
