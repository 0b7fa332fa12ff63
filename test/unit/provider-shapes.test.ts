import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Schema } from "effect"
import { paystackBounds } from "../../src/layers/paystack/PaystackGateway.ts"
import * as Paystack from "../../src/layers/paystack/PaystackObjects.ts"
import { fromStripe, stripeBounds, toStripe } from "../../src/layers/stripe/StripeMoney.ts"
import * as Stripe from "../../src/layers/stripe/StripeObjects.ts"

const id = "0198c0de-0000-7000-8000-000000000001"
const now = Date.parse("2026-01-02T00:00:00Z")

describe("Paystack's shapes", () => {
  const transaction = {
    id: 1,
    reference: id,
    status: "success",
    amount: 20_000,
    currency: "NGN",
    domain: "test",
    fees: 300,
    createdAt: "2026-01-01T23:59:00.000Z"
  }
  const decode = Schema.decodeUnknownSync(Paystack.Transaction)

  it("mean the same in every drift: amounts as text, either time, metadata 0, empty or an object", () => {
    const drifts = [
      {},
      { amount: "20000" },
      { fees: "300" },
      { id: "1" },
      { metadata: 0 },
      { metadata: "" },
      { metadata: { payment_id: id } },
      { metadata: null },
      { createdAt: undefined, created_at: "2026-01-01T23:59:00.000Z" }
    ]
    const charges = drifts.map((drift) => {
      const given = { ...transaction, ...drift }
      if (given.createdAt === undefined) Reflect.deleteProperty(given, "createdAt")
      return Paystack.chargeOf(decode(given), now)
    })
    assert.strictEqual(charges[0]?.amount, 20_000n)
    assert.deepStrictEqual(charges[0]?.fee, Option.some(300n))
    for (const charge of charges) assert.deepStrictEqual(charge, charges[0])
  })

  it("leave no status unsaid, and an unknown one is nonsense, not a guess", () => {
    const statusOf = (status: string, createdAt = transaction.createdAt) =>
      Paystack.chargeOf(decode({ ...transaction, status, createdAt }), now)?.status
    assert.deepStrictEqual(
      ["success", "failed", "abandoned", "ongoing", "reversed", "paid"].map((status) => statusOf(status)),
      ["succeeded", "failed", "requires_action", "processing", "failed", undefined]
    )
    assert.strictEqual(statusOf("abandoned", "2025-12-31T00:00:00Z"), "canceled")
  })

  it("give a refund's charge from any of the three places it may stand in", () => {
    const refund = { id: 7, status: "processed", amount: "500", currency: "NGN", merchant_note: Paystack.noteOf(id) }
    const places = [{ transaction_reference: id }, { transaction: { reference: id } }, { transaction: 5 }]
    const found = places.map((place) =>
      Paystack.refundOf(Schema.decodeUnknownSync(Paystack.Refund)({ ...refund, ...place }))
    )
    assert.deepStrictEqual(found.map((one) => Option.getOrNull(one?.chargeReference ?? Option.none())), [id, id, null])
    assert.deepStrictEqual(found[0]?.operationId, Option.some(id))
    assert.strictEqual(found[0]?.amount, 500n)
  })

  it("tell every state of a transfer, the one-time password too", () => {
    const statusOf = (status: string) =>
      Paystack.payoutOf({ reference: id, status, amount: 1, currency: "NGN" })?.status
    assert.deepStrictEqual(
      ["otp", "pending", "success", "failed", "abandoned", "reversed", "huh"].map(statusOf),
      ["requires_action", "processing", "paid", "failed", "failed", "failed", undefined]
    )
  })
})

describe("amounts", () => {
  it("are the ledger's at Stripe too, but UGX in hundredths", () => {
    assert.deepStrictEqual(
      [toStripe(500n, "JPY"), toStripe(1_250n, "KWD"), toStripe(500n, "UGX"), toStripe(2_500n, "USD")],
      [500, 1_250, 50_000, 2_500]
    )
    assert.deepStrictEqual(
      [fromStripe(50_000, "ugx"), fromStripe(50_001, "ugx"), fromStripe(7, "chf"), fromStripe(500, "jpy")],
      [Option.some(500n), Option.none(), Option.some(7n), Option.some(500n)]
    )
  })

  it("have the provider's bounds and steps, and currencies that it does not take have none", () => {
    assert.deepStrictEqual(Option.getOrNull(stripeBounds("charge", "USD")), { min: 50n, max: 99_999_999n, step: 1n })
    assert.deepStrictEqual(Option.map(stripeBounds("charge", "KWD"), ({ step }) => step), Option.some(10n))
    assert.deepStrictEqual(Option.map(stripeBounds("charge", "UGX"), ({ max }) => max), Option.some(999_999n))
    assert.isTrue(Option.isNone(stripeBounds("charge", "GHS")))
    const taken = (["NGN", "GHS", "ZAR", "KES", "USD", "EUR", "GBP"] as const).map((currency) =>
      Option.isSome(paystackBounds("charge", currency))
    )
    assert.deepStrictEqual(taken, [true, true, true, true, true, false, false])
  })
})

describe("a session of Stripe", () => {
  const open = {
    id: "cs_1",
    status: "open" as const,
    payment_status: "unpaid" as const,
    amount_total: 2_500,
    currency: "usd",
    livemode: false,
    url: "https://checkout.example/cs_1",
    client_reference_id: id,
    payment_intent: null
  }

  it.effect("is in the state of its payment", () =>
    Effect.gen(function*() {
      const states = [
        open,
        { ...open, status: "expired" as const },
        { ...open, status: "complete" as const, payment_status: "paid" as const },
        { ...open, status: "complete" as const, payment_intent: { id: "pi_1", status: "processing" } },
        { ...open, status: "complete" as const, payment_intent: { id: "pi_1", status: "requires_payment_method" } },
        // Paid in the second in which it expired: the money counts.
        { ...open, status: "expired" as const, payment_status: "paid" as const }
      ]
      const charges = yield* Effect.forEach(states, Stripe.chargeOf)
      assert.deepStrictEqual(
        charges.map(({ status }) => status),
        ["requires_action", "canceled", "succeeded", "processing", "failed", "succeeded"]
      )
      assert.deepStrictEqual(charges.map(({ nextAction }) => Option.isSome(nextAction)), [
        true,
        ...Array.from({ length: 5 }, () => false)
      ])
    }))

  it.effect("counts a fee in the charge's currency only", () =>
    Effect.gen(function*() {
      const paid = (currency: string) => ({
        ...open,
        status: "complete" as const,
        payment_status: "paid" as const,
        payment_intent: {
          id: "pi_1",
          status: "succeeded",
          latest_charge: { balance_transaction: { fee: 103, currency } }
        }
      })
      const [own, other] = yield* Effect.forEach([paid("usd"), paid("eur")], Stripe.chargeOf)
      assert.deepStrictEqual([own?.fee, other?.fee], [Option.some(103n), Option.none()])
    }))

  it.effect("without an amount, or with one that does not exist, is nonsense", () =>
    Effect.gen(function*() {
      for (const wrong of [{ ...open, amount_total: null }, { ...open, currency: "ugx", amount_total: 101 }]) {
        assert.strictEqual((yield* Effect.flip(Stripe.chargeOf(wrong)))._tag, "ProviderNonsense")
      }
    }))
})
