import { assert, layer } from "@effect/vitest"
import { Context, DateTime, Effect, Layer, Schedule } from "effect"
import { UserId } from "../../src/domain/Ids.ts"
import { Fakes } from "../../src/layers/fakes/Fakes.ts"
import { newId } from "../../src/services/NewId.ts"
import { Reconciliation } from "../../src/services/Reconciliation.ts"
import { refundBecomes, refunding, run, silence, standing, wallet } from "../layers/Flagging.ts"
import { secrets } from "../layers/Gateways.ts"
import { posted, refund, untilPayout, untilWallet } from "../layers/MoneyOut.ts"
import { checkout, owner } from "../layers/PaymentsBench.ts"
import { balance, pay, ProvidersBench, put } from "../layers/ProvidersBench.ts"
import { paidBy, payout, referenceOf, settleThere, untilBalance } from "../layers/ProvidersMoney.ts"

const paystackPost = Effect.fnUntraced(function*(path: string, body: object) {
  const { paystack } = yield* Fakes
  const headers = { authorization: `Bearer ${secrets.paystack}`, "content-type": "application/json" }
  const answer = yield* Effect.promise(() =>
    fetch(`${paystack.url}${path}`, { method: "POST", headers, body: JSON.stringify(body) }).then((it) => it.json())
  )
  return String(answer.data.id)
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

  it.effect("goes on behind a row that cannot be read, and tells of it", () =>
    Effect.gen(function*() {
      const first = yield* refunding
      const second = yield* refunding
      yield* refundBecomes(first.reference, { amount: 0.5 })
      yield* settleThere("paystack", "refund", second.reference, "processed")
      const { differences } = yield* run
      const told = differences.filter(({ says }) => says.startsWith("A row of its list cannot be read"))
      assert.deepStrictEqual(told.map(({ kind, reference, says }) => [kind, reference, says.includes(first.id)]), [
        ["refund", first.reference, true]
      ])
      assert.deepStrictEqual(yield* wallet(second.user), [6_000, 0])
      assert.deepStrictEqual(yield* wallet(first.user), [10_000, 4_000])
      yield* refundBecomes(first.reference, { amount: 4_000 })
    }))

  it.effect("goes on behind a charge that cannot be asked about, and tells of it", () =>
    Effect.gen(function*() {
      yield* silence
      const { paystack } = yield* Fakes
      const user = yield* newId(UserId)
      const [lost, found] = [yield* pay(user, "NGN", 10_000, "paystack"), yield* pay(user, "NGN", 5_000, "paystack")]
      const route = `GET /transaction/verify/${lost.id}`
      yield* put(`${paystack.url}/_fake/trouble`, { route, status: 200, times: 1_000 })
      for (const payment of [lost, found]) yield* checkout(payment, "succeed")
      const report = yield* run
      assert.strictEqual(yield* balance(user, "NGN"), 5_000)
      const told = report.differences.filter(({ reference }) => reference === lost.id)
      assert.deepStrictEqual(told.map(({ says }) => says.slice(0, 27)), ["It could not be asked about"])
      yield* put(`${paystack.url}/_fake/trouble`, { route, status: 200, times: 0 })
      yield* run
      assert.strictEqual(yield* balance(user, "NGN"), 15_000)
    }))

  it.effect("does not take a payout for missing while a row that may be it cannot be read", () =>
    Effect.gen(function*() {
      const { paystack } = yield* Fakes
      const user = yield* newId(UserId)
      yield* paidBy(user, "paystack", "NGN")
      const { transfers } = paystack.fake.book
      transfers.set("somebody", {
        id: 1,
        // Of a row with a name it could be told that it is not ours.
        reference: "",
        transfer_code: "TRF_somebody",
        amount: 0.5,
        currency: "NGN",
        recipient: "RCP_somebody",
        reason: null,
        createdAt: DateTime.formatIso(yield* DateTime.now),
        status: "pending"
      })
      yield* put(`${paystack.url}/_fake/trouble`, { route: "POST /transfer", status: 400, times: 1_000 })
      const before = paystack.calls.length
      const lookedFor = Effect.sync(() =>
        paystack.calls.slice(before).filter(({ method, path }) => method === "GET" && path === "/transfer").length
      )
      const { id } = yield* payout(user, "paystack", "NGN", 1_000)
      // The second look comes only after all of the first was done.
      yield* lookedFor.pipe(
        Effect.repeat({ schedule: Schedule.spaced("20 millis"), until: (looks) => looks >= 2 }),
        Effect.timeout("30 seconds")
      )
      assert.strictEqual((yield* standing(id))[0], "processing")
      assert.deepStrictEqual(yield* wallet(user), [10_000, 1_000])
      transfers.delete("somebody")
      yield* untilPayout(user, id, "failed")
      yield* untilWallet(user, 10_000, 0)
      yield* put(`${paystack.url}/_fake/trouble`, { route: "POST /transfer", status: 400, times: 0 })
    }))

  it.effect("repairs each thing once, also when two processes compare at the same time", () =>
    Effect.gen(function*() {
      yield* silence
      const another = Context.get(yield* Layer.build(Layer.fresh(Reconciliation.layer)), Reconciliation)
      const user = yield* newId(UserId)
      const charges = yield* Effect.forEach([1, 2, 3, 4], () => pay(user, "NGN", 10_000, "paystack"))
      for (const one of charges) yield* checkout(one, "succeed")
      const both = Effect.all([run, another.run(1)], { concurrency: "unbounded" })
      const reports = yield* both
      assert.deepStrictEqual(yield* wallet(user), [40_000, 0])
      const made = yield* Effect.forEach(charges, ({ id }) => refund(user, id, 1_000))
      for (const { id } of made) yield* settleThere("paystack", "refund", yield* referenceOf(id), "processed")
      reports.push(...(yield* both))
      assert.deepStrictEqual(yield* wallet(user), [36_000, 0])
      for (const { id } of charges) assert.strictEqual(yield* posted(`charge:${id}`), 1)
      for (const { id } of made) assert.strictEqual(yield* posted(`refund:${id}`), 1)
      assert.deepStrictEqual(reports.flatMap(({ unavailable }) => unavailable), [])
    }).pipe(Effect.scoped))

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
