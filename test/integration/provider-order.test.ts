import { assert, layer } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { createHmac } from "node:crypto"
import { OperationId, UserId } from "../../src/domain/Ids.ts"
import { Amount } from "../../src/domain/Money.ts"
import { MoneyRequest } from "../../src/domain/MoneyRequest.ts"
import { Fakes } from "../../src/layers/fakes/Fakes.ts"
import { newId } from "../../src/services/NewId.ts"
import { Payments } from "../../src/services/Payments.ts"
import { Reconciliation } from "../../src/services/Reconciliation.ts"
import { secrets } from "../layers/Gateways.ts"
import { refund } from "../layers/MoneyOut.ts"
import { moneyRequest } from "../layers/moneyRequest.ts"
import { checkout, confirm, find, owner, redelivered, transfersOf, until } from "../layers/PaymentsBench.ts"
import { balance, Hooked, pay, ProvidersBench, put } from "../layers/ProvidersBench.ts"

type Name = "stripe" | "paystack"
const providers = [["stripe", "USD"], ["paystack", "NGN"]] as const

const control = Effect.fnUntraced(function*(name: Name, path: string, body: object) {
  const { url } = (yield* Fakes)[name]
  assert.strictEqual(yield* put(`${url}/_fake/${path}`, body), 200)
})

/** Delivers an event of our own making under the provider's signature. */
const deliver = Effect.fnUntraced(function*(name: Name, event: object) {
  const { base } = yield* Hooked
  const body = JSON.stringify(event)
  const t = Math.floor(Date.now() / 1_000)
  const v1 = createHmac("sha256", secrets.stripeWebhook).update(`${t}.${body}`).digest("hex")
  const headers = name === "stripe"
    ? { "stripe-signature": `t=${t},v1=${v1}` }
    : { "x-paystack-signature": createHmac("sha512", secrets.paystack).update(body).digest("hex") }
  const { status } = yield* Effect.promise(() =>
    fetch(`${base}/api/webhooks/${name}`, {
      method: "POST",
      body,
      headers: { "content-type": "application/json", ...headers }
    })
  ).pipe(redelivered)
  assert.strictEqual(status, 200)
})

let events = 0
const stripeEvent = (type: string, object: object) => ({
  id: `evt_order_${++events}`,
  type,
  livemode: false,
  data: { object }
})
/** What each provider sends about a refund that it knows by our payment only, and about a charge that failed. */
const refunded = (name: Name, id: string): object =>
  name === "stripe"
    ? stripeEvent("refund.created", { id: "re_order", object: "refund", metadata: { payment_id: id } })
    : {
      event: "refund.processed",
      data: { status: "processed", transaction_reference: id, amount: "500", domain: "test" }
    }
const failed = (name: Name, id: string): object =>
  name === "stripe"
    ? stripeEvent("checkout.session.async_payment_failed", {
      id: "cs_order",
      object: "checkout.session",
      client_reference_id: id
    })
    : { event: "charge.failed", data: { id: 77, reference: id, domain: "test" } }

/** The queue has worked all that is due of it. */
const worked = (id: string) =>
  owner(
    `SELECT count(*)::int FROM queue.payment_commands WHERE id LIKE $1 || ':%' AND id NOT LIKE '%:created' AND state <> 'completed'`,
    [
      id
    ]
  ).pipe(
    Effect.repeat({ schedule: Schedule.spaced("20 millis"), until: (rows) => rows[0]?.[0] === 0 }),
    Effect.timeout("20 seconds")
  )

/** So many events about a payment have come. */
const heard = (id: string, events: number) =>
  owner(`SELECT event_id FROM payments.webhook_inbox WHERE payment_id = $1`, [id]).pipe(
    Effect.repeat({ schedule: Schedule.spaced("20 millis"), until: (rows) => rows.length >= events }),
    Effect.timeout("20 seconds")
  )

/** Paid, while none of the provider's events arrives. */
const paidUnheard = Effect.fnUntraced(function*(name: Name, currency: "USD" | "NGN") {
  const user = yield* newId(UserId)
  yield* control(name, "switches", { webhookLose: 1 })
  const payment = yield* pay(user, currency, 10_000, name)
  assert.strictEqual(yield* checkout(payment, "succeed"), 200)
  return { user, payment }
})

/** What the ledger has booked as the provider's fee for a payment: the postings and their amount. */
const feesOf = (id: string) =>
  Effect.map(
    owner(
      `SELECT count(*)::int, coalesce(sum(e.amount), 0)::int FROM wallet.transfers t
         JOIN wallet.entries e ON e.transfer_id = t.id AND e.amount > 0
         JOIN wallet.accounts a ON a.id = e.account_id AND a.kind = 'clearing'
        WHERE t.key = 'fee:' || $1 AND t.kind = 'fee'`,
      [id]
    ),
    (rows) => rows[0]
  )

layer(ProvidersBench, { timeout: "60 seconds", excludeTestServices: true })(
  "what a provider says, in any order",
  (it) => {
    for (const [name, currency] of providers) {
      it.effect(`credits once when word of a refund comes before word of the payment: ${name}`, () =>
        Effect.gen(function*() {
          const { payment, user } = yield* paidUnheard(name, currency)
          yield* deliver(name, refunded(name, payment.id))
          yield* until(user, payment.id, "succeeded")
          const { url } = (yield* Fakes)[name]
          yield* Effect.promise(() => fetch(`${url}/_fake/redeliver`, { method: "POST" }))
          yield* heard(payment.id, 2)
          yield* worked(payment.id)
          assert.strictEqual(yield* transfersOf(payment.id), 1)
          assert.strictEqual(yield* balance(user, currency), 10_000)
          assert.strictEqual((yield* find(user, payment.id)).amountRefunded, 0n)
        }))

      it.effect(`leaves a payment that succeeded as it is when word of its failure comes later: ${name}`, () =>
        Effect.gen(function*() {
          const { payment, user } = yield* paidUnheard(name, currency)
          yield* confirm(user, payment.id)
          yield* deliver(name, failed(name, payment.id))
          yield* worked(payment.id)
          assert.strictEqual((yield* find(user, payment.id)).status, "succeeded")
          assert.strictEqual(yield* balance(user, currency), 10_000)
        }))

      it.effect(`books what the provider keeps, once, however often it is told: ${name}`, () =>
        Effect.gen(function*() {
          const { payment, user } = yield* paidUnheard(name, currency)
          yield* confirm(user, payment.id)
          const fee = name === "stripe" ? 320 : 150
          assert.deepStrictEqual(yield* feesOf(payment.id), [1, fee])
          yield* confirm(user, payment.id)
          yield* Effect.flatMap(Reconciliation, ({ run }) => run(1))
          assert.deepStrictEqual(yield* feesOf(payment.id), [1, fee])
          // The payer has all of it: the fee is the house's.
          assert.strictEqual(yield* balance(user, currency), 10_000)
        }))

      if (name === "stripe") {
        it.effect("books what Stripe keeps when it says so only after the payment was credited", () =>
          Effect.gen(function*() {
            const { book } = (yield* Fakes).stripe.fake
            book.isFeeLate = true
            const { payment, user } = yield* paidUnheard(name, currency)
            assert.strictEqual((yield* confirm(user, payment.id)).status, "succeeded")
            assert.deepStrictEqual(yield* feesOf(payment.id), [0, 0])
            book.isFeeLate = false
            const { run } = yield* Reconciliation
            yield* Effect.andThen(run(1), run(1))
            assert.deepStrictEqual(yield* feesOf(payment.id), [1, 320])
          }))
      }

      it.effect(`moves nothing on an answer that makes no sense, and goes on when it does: ${name}`, () =>
        Effect.gen(function*() {
          const user = yield* newId(UserId)
          const id = yield* newId(OperationId)
          const creates = name === "stripe" ? "POST /v1/checkout/sessions" : "POST /transaction/initialize"
          const attempt = Effect.flatMap(
            Payments,
            (payments) => payments.charge({ amount: Amount.make(10_000n), currency, provider: name })
          ).pipe(
            Effect.provideService(MoneyRequest, moneyRequest(user, id))
          )
          yield* control(name, "trouble", { route: creates, status: 200, times: 1 })
          assert.strictEqual((yield* Effect.flip(attempt))._tag, "ProviderUnavailable")
          const payment = yield* attempt
          yield* control(name, "switches", { webhookLose: 1 })
          yield* checkout(payment, "succeed")
          const reference = payment.providerReference ?? ""
          const reads = name === "stripe"
            ? `GET /v1/checkout/sessions/${reference}`
            : `GET /transaction/verify/${reference}`
          yield* control(name, "trouble", { route: reads, status: 200, times: 1 })
          assert.strictEqual((yield* Effect.flip(confirm(user, payment.id)))._tag, "ProviderUnavailable")
          assert.deepStrictEqual([yield* balance(user, currency), yield* transfersOf(payment.id)], [0, 0])
          assert.strictEqual((yield* confirm(user, payment.id)).status, "succeeded")
          assert.deepStrictEqual([yield* balance(user, currency), yield* transfersOf(payment.id)], [10_000, 1])
        }))
    }

    it.effect("books a refund back that fails after it succeeded", () =>
      Effect.gen(function*() {
        const { payment, user } = yield* paidUnheard("stripe", "USD")
        yield* confirm(user, payment.id)
        yield* control("stripe", "switches", { webhookLose: 0 })
        const made = yield* refund(user, payment.id, 4_000)
        yield* balance(user, "USD").pipe(
          Effect.repeat({ schedule: Schedule.spaced("20 millis"), until: (now) => now === 6_000 }),
          Effect.timeout("20 seconds")
        )
        const { stripe } = yield* Fakes
        const there = [...stripe.fake.book.refunds.values()].find(({ metadata }) => metadata["refund_id"] === made.id)
        assert.isTrue(stripe.fake.settle("refund", there?.id ?? "", "failed"))
        yield* balance(user, "USD").pipe(
          Effect.repeat({ schedule: Schedule.spaced("20 millis"), until: (now) => now === 10_000 }),
          Effect.timeout("20 seconds")
        )
        assert.strictEqual((yield* find(user, payment.id)).amountRefunded, 0n)
      }))
  }
)
