import { NodeCrypto, NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, Redacted } from "effect"
import { Headers } from "effect/http"
import { TestClock } from "effect/testing"
import { createHmac } from "node:crypto"
import { makePaystackGateway } from "../../src/layers/paystack/PaystackGateway.ts"
import { makeStripeGateway } from "../../src/layers/stripe/StripeGateway.ts"

const vendors = Layer.mergeAll(NodeHttpClient.layerUndici, NodeCrypto.layerMac, NodeCrypto.layerDigest)
const bytes = (text: string) => new TextEncoder().encode(text)
const apiBase = "http://127.0.0.1:1"
const paymentId = "0198c0de-0000-7000-8000-000000000001"
const refundId = "0198c0de-0000-7000-8000-000000000002"

const stripe = (secretKey: string) =>
  makeStripeGateway({
    apiBase,
    secretKey: Redacted.make(secretKey),
    webhookSecrets: [Redacted.make("whsec_test_secret"), Redacted.make("whsec_connected")],
    returnUrl: undefined
  })
const stripeSigned = (body: string, t: number, secret = "whsec_test_secret") =>
  Headers.fromInput({
    "stripe-signature": `t=${t},v1=${createHmac("sha256", secret).update(`${t}.${body}`).digest("hex")}`
  })
const session = (more: object = {}) =>
  JSON.stringify({
    id: "evt_1",
    object: "event",
    type: "checkout.session.completed",
    livemode: false,
    data: { object: { id: "cs_1", object: "checkout.session", client_reference_id: paymentId } },
    ...more
  })

const now = 1_700_000_000
const at = (seconds: number) => TestClock.setTime(seconds * 1_000)

describe("an event of Stripe", () => {
  it.effect("passes its signature on the published vector, and is then refused as no event of ours", () =>
    Effect.gen(function*() {
      yield* at(now)
      const gateway = yield* stripe("sk_test_1")
      const v1 = "d95c6b7477fbd7e9f90b1b0ef5f9c7ac25abca5382460e0d988c2b2a5b71b990"
      const body = bytes(`{"id":"evt_test_webhook","object":"event"}`)
      const good = Headers.fromInput({ "stripe-signature": `t=${now},v1=${v1}` })
      assert.strictEqual((yield* Effect.flip(gateway.verifyWebhook(body, good)))._tag, "InvalidRequest")
      const bad = Headers.fromInput({ "stripe-signature": `t=${now},v1=${v1.replace("d", "e")}` })
      assert.strictEqual((yield* Effect.flip(gateway.verifyWebhook(body, bad)))._tag, "WebhookForged")
    }).pipe(Effect.provide(vendors)))

  it.effect("is refused when forged, 301 s old or 301 s ahead, and taken up to 300 s", () =>
    Effect.gen(function*() {
      yield* at(now)
      const gateway = yield* stripe("sk_test_1")
      const body = session()
      const outcome = (headers: Headers.Headers) =>
        gateway.verifyWebhook(bytes(body), headers).pipe(
          Effect.match({ onFailure: ({ _tag }) => _tag, onSuccess: ({ facts }) => facts.eventId })
        )
      assert.deepStrictEqual(
        [
          yield* outcome(stripeSigned(body, now)),
          // Stripe has a secret for each endpoint, and tells of connected accounts at another one.
          yield* outcome(stripeSigned(body, now, "whsec_connected")),
          yield* outcome(stripeSigned(body, now - 300)),
          yield* outcome(stripeSigned(body, now - 301)),
          yield* outcome(stripeSigned(body, now + 301)),
          yield* outcome(stripeSigned(body, now, "whsec_other")),
          yield* outcome(stripeSigned(`${body} `, now)),
          yield* outcome(Headers.empty)
        ],
        ["evt_1", "evt_1", "evt_1", ...Array.from({ length: 5 }, () => "WebhookForged")]
      )
    }).pipe(Effect.provide(vendors)))

  it.effect("of a connected account in test mode is taken at the live endpoint, where Stripe sends it too, and leads to nothing", () =>
    Effect.gen(function*() {
      yield* at(now)
      const body = session({ livemode: false, account: "acct_1" })
      const live = yield* stripe("sk_live_1")
      const { facts } = yield* live.verifyWebhook(bytes(body), stripeSigned(body, now))
      assert.deepStrictEqual([facts.eventId, facts.about], ["evt_1", "other"])
      assert.isTrue([facts.reference, facts.operationId, facts.paymentId].every(Option.isNone))
      // Nothing live comes to a test endpoint.
      const test = yield* stripe("sk_test_1")
      const other = session({ livemode: true, account: "acct_1" })
      const error = yield* Effect.flip(test.verifyWebhook(bytes(other), stripeSigned(other, now)))
      assert.strictEqual(error._tag, "WebhookOtherMode")
    }).pipe(Effect.provide(vendors)))

  it.effect("of the other mode is refused, whichever mode the key is in", () =>
    Effect.gen(function*() {
      yield* at(now)
      for (const [key, livemode] of [["sk_test_1", true], ["sk_live_1", false], ["rk_live_1", false]] as const) {
        const body = session({ livemode })
        const error = yield* Effect.flip((yield* stripe(key)).verifyWebhook(bytes(body), stripeSigned(body, now)))
        assert.strictEqual(error._tag, "WebhookOtherMode")
      }
    }).pipe(Effect.provide(vendors)))

  it.effect("says which of our payments, refunds, payouts it is about", () =>
    Effect.gen(function*() {
      yield* at(now)
      const gateway = yield* stripe("sk_test_1")
      const facts = Effect.fnUntraced(function*(object: object, more: object = {}) {
        const body = session({ data: { object }, ...more })
        const { about, operationId, paymentId, reference } =
          (yield* gateway.verifyWebhook(bytes(body), stripeSigned(body, now))).facts
        return [about, ...[reference, operationId, paymentId].map(Option.getOrNull)]
      })
      assert.deepStrictEqual(
        yield* facts({ id: "pi_1", object: "payment_intent", metadata: { payment_id: paymentId } }),
        [
          "charge",
          "pi_1",
          null,
          paymentId
        ]
      )
      const refund = { id: "re_1", object: "refund", metadata: { refund_id: refundId } }
      assert.deepStrictEqual(yield* facts(refund), ["refund", "re_1", refundId, null])
      const payout = { id: "po_1", object: "payout", metadata: { payout_id: refundId } }
      assert.deepStrictEqual(yield* facts(payout, { account: "acct_1" }), ["payout", "acct_1/po_1", refundId, null])
      assert.deepStrictEqual(yield* facts({ id: "dp_1", object: "dispute" }), ["dispute", "dp_1", null, null])
      assert.deepStrictEqual(yield* facts({ object: "balance" }), ["other", null, null, null])
    }).pipe(Effect.provide(vendors)))
})

const paystackSigned = (body: string, secret = "sk_test_1") =>
  Headers.fromInput({ "x-paystack-signature": createHmac("sha512", secret).update(body).digest("hex") })
const paystack = (secretKey = "sk_test_1") => makePaystackGateway({ apiBase, secretKey: Redacted.make(secretKey) })

describe("an event of Paystack", () => {
  const charge = (more: object = {}) =>
    JSON.stringify({ event: "charge.success", data: { id: 302961, domain: "test", reference: paymentId, ...more } })

  it.effect("is taken on the HMAC-SHA512 of its raw bytes, and refused on any other", () =>
    Effect.gen(function*() {
      const gateway = yield* paystack()
      const body = charge()
      const { facts } = yield* gateway.verifyWebhook(bytes(body), paystackSigned(body))
      assert.deepStrictEqual(
        [facts.eventId, facts.about, Option.getOrNull(facts.paymentId)],
        ["charge.success:302961", "charge", paymentId]
      )
      // The same object, written another way.
      const spaced = JSON.stringify(JSON.parse(body), null, 1)
      const forged = [
        gateway.verifyWebhook(bytes(spaced), paystackSigned(body)),
        gateway.verifyWebhook(bytes(body), paystackSigned(body, "sk_test_2")),
        gateway.verifyWebhook(bytes(body), Headers.fromInput({ "x-paystack-signature": "00" })),
        gateway.verifyWebhook(bytes(body), Headers.empty)
      ]
      for (const attempt of forged) assert.strictEqual((yield* Effect.flip(attempt))._tag, "WebhookForged")
    }).pipe(Effect.provide(vendors)))

  it.effect("of the other domain is refused", () =>
    Effect.gen(function*() {
      const body = charge({ domain: "live" })
      const error = yield* Effect.flip((yield* paystack()).verifyWebhook(bytes(body), paystackSigned(body)))
      assert.strictEqual(error._tag, "WebhookOtherMode")
    }).pipe(Effect.provide(vendors)))

  it.effect("without any id is told from others by its bytes", () =>
    Effect.gen(function*() {
      const gateway = yield* paystack()
      const idOf = Effect.fnUntraced(function*(amount: string) {
        const data = { status: "pending", transaction_reference: paymentId, refund_reference: null, amount }
        const body = JSON.stringify({ event: "refund.pending", data })
        return (yield* gateway.verifyWebhook(bytes(body), paystackSigned(body))).facts
      })
      const [one, again, other] = [yield* idOf("10000"), yield* idOf("10000"), yield* idOf("10001")]
      assert.strictEqual(one.eventId, again.eventId)
      assert.notStrictEqual(one.eventId, other.eventId)
      assert.deepStrictEqual([one.about, Option.getOrNull(one.paymentId)], ["refund", paymentId])
    }).pipe(Effect.provide(vendors)))

  it.effect("about a refund is told from others by the refund's reference, where it has one", () =>
    Effect.gen(function*() {
      const gateway = yield* paystack()
      const idOf = Effect.fnUntraced(function*(refund_reference: string, amount: string) {
        const data = { status: "processed", transaction_reference: paymentId, refund_reference, amount }
        const body = JSON.stringify({ event: "refund.processed", data })
        return (yield* gateway.verifyWebhook(bytes(body), paystackSigned(body))).facts.eventId
      })
      assert.notStrictEqual(yield* idOf("ref-1", "10000"), yield* idOf("ref-2", "10000"))
      assert.strictEqual(yield* idOf("ref-1", "10000"), "refund.processed:ref-1")
    }).pipe(Effect.provide(vendors)))
})
