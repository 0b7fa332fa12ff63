import { Effect, Option, Redacted } from "effect"
import { Mac } from "effect/crypto"
import type { Headers } from "effect/http"
import type { Stripe } from "stripe"
import { type Gateway, VerifiedEvent } from "../../services/Gateway.ts"
import { readTimestamped } from "../TimestampedSignature.ts"
import { ask, listed, paged, refused, rowOf, stripeClient, type StripeSettings } from "./StripeCalls.ts"
import { decodeStripeEvent } from "./StripeEvents.ts"
import { stripeBounds, toStripe } from "./StripeMoney.ts"
import * as Objects from "./StripeObjects.ts"
import { payouts } from "./StripePayouts.ts"

const provider = "stripe" as const
type Page = Parameters<Gateway["listCharges"]>[0]

/** Charges are Checkout Sessions: the page that Stripe hosts, over a PaymentIntent that it makes when the payer pays. */
const charges = (stripe: Stripe, settings: StripeSettings) => {
  // Stripe says what it keeps up to an hour after the payment, so the list has to tell it too: four levels are the most it takes.
  const expand = ["payment_intent.latest_charge.balance_transaction"]
  const retrieve = (id: string) => ask(Objects.Session, () => stripe.checkout.sessions.retrieve(id, { expand }))
  const create: Gateway["createCharge"] = ({ amount, currency, email, paymentId, returnUrl }) => {
    const url = Option.getOrUndefined(returnUrl) ?? settings.returnUrl
    const metadata = { payment_id: paymentId }
    const price = {
      currency: currency.toLowerCase(),
      unit_amount: toStripe(amount, currency),
      product_data: { name: "Wallet top-up" }
    }
    const params: Stripe.Checkout.SessionCreateParams = {
      mode: "payment",
      client_reference_id: paymentId,
      line_items: [{ quantity: 1, price_data: price }],
      metadata,
      payment_intent_data: { metadata },
      ...(url === undefined ? {} : { success_url: url, cancel_url: url }),
      ...(Option.isSome(email) ? { customer_email: email.value } : {})
    }
    return Effect.flatMap(
      ask(Objects.Session, () => stripe.checkout.sessions.create(params, { idempotencyKey: paymentId })),
      Objects.chargeOf
    )
  }
  const cancel = (id: string) =>
    ask(Objects.Session, () => stripe.checkout.sessions.expire(id)).pipe(
      // Only an open session can expire; any other is answered as it is.
      Effect.catchTag("ProviderRefused", () => retrieve(id)),
      Effect.flatMap(Objects.chargeOf)
    )
  const list = (page: Page) =>
    listed(
      () => stripe.checkout.sessions.list({ ...paged(page, 100), expand: expand.map((path) => `data.${path}`) }),
      rowOf(Objects.Session, Objects.chargeOf)
    )
  return { create, retrieve, cancel, list }
}

const refunds = (stripe: Stripe, session: ReturnType<typeof charges>["retrieve"]) => {
  const create = Effect.fnUntraced(function*(refund: Parameters<Gateway["createRefund"]>[0]) {
    const { amount, chargeReference, currency, refundId } = refund
    const intent = Objects.intentOf(yield* session(chargeReference))
    if (intent === undefined) return yield* refused("not_paid", "Nobody has paid that session.")
    const params = {
      payment_intent: intent,
      amount: toStripe(amount, currency),
      metadata: { refund_id: refundId, charge_reference: chargeReference }
    }
    const made = yield* ask(Objects.Refund, () => stripe.refunds.create(params, { idempotencyKey: refundId }))
    return yield* Objects.refundOf(made)
  })
  const retrieve = (id: string) =>
    Effect.flatMap(ask(Objects.Refund, () => stripe.refunds.retrieve(id)), Objects.refundOf)
  const list = (page: Page) =>
    listed(() => stripe.refunds.list(paged(page, 100)), rowOf(Objects.Refund, Objects.refundOf))
  return { create, retrieve, list }
}

const disputes = (stripe: Stripe) => {
  const retrieve = (id: string) =>
    Effect.flatMap(
      ask(Objects.Dispute, () => stripe.disputes.retrieve(id, { expand: ["payment_intent"] })),
      Objects.disputeOf
    )
  const list = (page: Page) =>
    listed(
      () => stripe.disputes.list({ ...paged(page, 100), expand: ["data.payment_intent"] }),
      rowOf(Objects.Dispute, Objects.disputeOf)
    )
  return { retrieve, list }
}

/**
 * The adapter to Stripe. A payment's reference is its Checkout Session, a payout's `<account>/<payout>`, and
 * `<account>/<transfer>` while it has none.
 */
export const makeStripeGateway = Effect.fnUntraced(function*(settings: StripeSettings) {
  const mac = yield* Mac.Mac
  const keys = yield* Effect.forEach(
    settings.webhookSecrets,
    (secret) => Effect.orDie(Mac.key(Mac.hmacSha256, new TextEncoder().encode(Redacted.value(secret))))
  )
  const stripe = stripeClient(settings)
  const livemode = /^[rs]k_live_/.test(Redacted.value(settings.secretKey))
  const decode = decodeStripeEvent(livemode)
  const charge = charges(stripe, settings)
  const refund = refunds(stripe, charge.retrieve)
  const payout = payouts(stripe)
  const dispute = disputes(stripe)

  const gateway: Gateway = {
    provider,
    livemode,
    needsEmail: false,
    keyedRefunds: true,
    bounds: stripeBounds,
    reaches: ({ type }) => type === "bank",
    createCharge: Effect.fn("StripeGateway.createCharge")(charge.create),
    retrieveCharge: Effect.fn("StripeGateway.retrieveCharge")((reference) =>
      Effect.flatMap(charge.retrieve(reference), Objects.chargeOf)
    ),
    cancelCharge: Effect.fn("StripeGateway.cancelCharge")(charge.cancel),
    createRefund: Effect.fn("StripeGateway.createRefund")(refund.create),
    retrieveRefund: Effect.fn("StripeGateway.retrieveRefund")(refund.retrieve),
    createRecipient: Effect.fn("StripeGateway.createRecipient")(payout.createRecipient),
    createPayout: Effect.fn("StripeGateway.createPayout")(payout.create),
    resumePayout: Effect.fn("StripeGateway.resumePayout")(payout.resume),
    retrievePayout: Effect.fn("StripeGateway.retrievePayout")(payout.retrieve),
    retrieveDispute: Effect.fn("StripeGateway.retrieveDispute")(dispute.retrieve),
    listCharges: Effect.fn("StripeGateway.listCharges")(charge.list),
    listRefunds: Effect.fn("StripeGateway.listRefunds")(refund.list),
    listPayouts: Effect.fn("StripeGateway.listPayouts")(payout.list),
    listDisputes: Effect.fn("StripeGateway.listDisputes")(dispute.list),
    verifyWebhook: Effect.fn("StripeGateway.verifyWebhook")(function*(rawBody, headers: Headers.Headers) {
      const proof = yield* readTimestamped({ provider, keys, rawBody, header: headers["stripe-signature"] })
      return yield* VerifiedEvent.authenticate(proof, decode).pipe(Effect.provideService(Mac.Mac, mac))
    })
  }
  return gateway
})
