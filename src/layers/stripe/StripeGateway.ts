import { DateTime, Effect, Option, Redacted } from "effect"
import { Mac } from "effect/crypto"
import type { Headers } from "effect/http"
import type { Stripe } from "stripe"
import type { PayoutId } from "../../domain/Ids.ts"
import type { Currency } from "../../domain/Money.ts"
import { type Gateway, type PayoutDestination, ProviderRefused, VerifiedEvent } from "../../services/Gateway.ts"
import { readTimestamped } from "../TimestampedSignature.ts"
import { ask, stripeClient, type StripeSettings } from "./StripeCalls.ts"
import { decodeStripeEvent } from "./StripeEvents.ts"
import { stripeBounds, toStripe } from "./StripeMoney.ts"
import * as Objects from "./StripeObjects.ts"

const provider = "stripe" as const
const refused = (code: string, detail: string) => new ProviderRefused({ provider, code, detail })

type Page = Parameters<Gateway["listCharges"]>[0]
const paged = ({ cursor, since }: Page, limit: number) => ({
  created: { gte: Math.floor(DateTime.toEpochMillis(since) / 1_000) },
  limit,
  ...(Option.isSome(cursor) ? { starting_after: cursor.value } : {})
})
const nextOf = (list: { readonly data: ReadonlyArray<{ readonly id: string }>; readonly has_more: boolean }) =>
  Option.map(
    Option.filter(Option.fromUndefinedOr(list.data.at(-1)), () => list.has_more),
    ({ id }) => id
  )

/** Charges are Checkout Sessions: the page that Stripe hosts, over a PaymentIntent that it makes when the payer pays. */
const charges = (stripe: Stripe, settings: StripeSettings) => {
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
  const list = Effect.fnUntraced(function*(page: Page) {
    const found = yield* ask(
      Objects.listOf(Objects.Session),
      () => stripe.checkout.sessions.list({ ...paged(page, 100), expand: ["data.payment_intent"] })
    )
    return { items: yield* Effect.forEach(found.data, Objects.chargeOf), next: nextOf(found) }
  })
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
  const list = Effect.fnUntraced(function*(page: Page) {
    const found = yield* ask(Objects.listOf(Objects.Refund), () => stripe.refunds.list(paged(page, 100)))
    return { items: yield* Effect.forEach(found.data, Objects.refundOf), next: nextOf(found) }
  })
  return { create, retrieve, list }
}

const bankToken = (
  destination: Extract<PayoutDestination, { readonly type: "bank" }>,
  currency: Currency
): Stripe.TokenCreateParams => ({
  bank_account: {
    country: destination.country,
    currency: currency.toLowerCase(),
    account_holder_name: destination.accountName,
    account_holder_type: "individual",
    account_number: destination.accountNumber,
    routing_number: destination.bankCode
  }
})

const recipientParams = (country: string, token: string, payoutId: PayoutId): Stripe.AccountCreateParams => ({
  type: "custom",
  country,
  business_type: "individual",
  capabilities: { transfers: { requested: true } },
  tos_acceptance: { service_agreement: "recipient" },
  settings: { payouts: { schedule: { interval: "manual" } } },
  external_account: token,
  metadata: { payout_id: payoutId }
})

/**
 * Stripe pays others only through a connected account: the recipient is one, the money is transferred to it and paid out
 * from there. A payout that fails leaves the money on that account, so its transfer is reversed before failure is told.
 */
const payouts = (stripe: Stripe) => {
  const createRecipient: Gateway["createRecipient"] = Effect.fnUntraced(function*(recipient) {
    const { currency, destination, payoutId } = recipient
    if (destination.type !== "bank") {
      return yield* refused("unsupported_destination", "Stripe pays to bank accounts only.")
    }
    const token = yield* ask(
      Objects.Identified,
      () => stripe.tokens.create(bankToken(destination, currency), { idempotencyKey: `${payoutId}:token` })
    )
    const params = recipientParams(destination.country, token.id, payoutId)
    const account = yield* ask(
      Objects.Identified,
      () => stripe.accounts.create(params, { idempotencyKey: `${payoutId}:recipient` })
    )
    return account.id
  })

  const takeBack = (transfer: string, payoutId: string) =>
    ask(
      Objects.Identified,
      () => stripe.transfers.createReversal(transfer, {}, { idempotencyKey: `${payoutId}:reversal` })
    ).pipe(
      Effect.catchTag(
        "ProviderRefused",
        ({ detail }) => Effect.fail(Objects.nonsense(`The payout failed, but its transfer stays: ${detail}`))
      )
    )

  const create = Effect.fnUntraced(function*(payout: Parameters<Gateway["createPayout"]>[0]) {
    const { payoutId, recipient } = payout
    const money = { amount: toStripe(payout.amount, payout.currency), currency: payout.currency.toLowerCase() }
    const transfer = yield* ask(Objects.Identified, () =>
      stripe.transfers.create(
        { ...money, destination: recipient, transfer_group: payoutId, metadata: { payout_id: payoutId } },
        { idempotencyKey: `${payoutId}:transfer` }
      ))
    const made = yield* ask(Objects.Payout, () =>
      stripe.payouts.create(
        { ...money, metadata: { payout_id: payoutId, transfer: transfer.id } },
        { idempotencyKey: `${payoutId}:payout`, stripeAccount: recipient }
      )).pipe(Effect.tapErrorTag("ProviderRefused", () => takeBack(transfer.id, payoutId)))
    return yield* Objects.payoutOf(recipient, made)
  })

  const settled = Effect.fnUntraced(function*(account: string, payout: typeof Objects.Payout.Type) {
    const report = yield* Objects.payoutOf(account, payout)
    const transfer = payout.metadata?.["transfer"]
    if (report.status === "failed" && transfer !== undefined) {
      yield* takeBack(transfer, Option.getOrElse(report.operationId, () => payout.id))
    }
    return report
  })

  const retrieve = Effect.fnUntraced(function*(reference: string) {
    const [account = "", id = ""] = reference.split("/", 2)
    if (id === "") return yield* refused("not_found", "That is no payout's reference.")
    const found = yield* ask(Objects.Payout, () => stripe.payouts.retrieve(id, {}, { stripeAccount: account }))
    return yield* settled(account, found)
  })

  const ofTransfer = Effect.fnUntraced(function*(transfer: typeof Objects.Transfer.Type) {
    const account = typeof transfer.destination === "string" ? transfer.destination : transfer.destination?.id
    const id = transfer.metadata?.["payout_id"]
    if (account === undefined || id === undefined) return []
    const { data } = yield* ask(
      Objects.listOf(Objects.Payout),
      () => stripe.payouts.list({ limit: 100 }, { stripeAccount: account })
    )
    const payout = data.find(({ metadata }) => metadata?.["payout_id"] === id)
    return [payout === undefined ? yield* Objects.begunOf(account, transfer) : yield* settled(account, payout)]
  })

  /** Each is on an account of its own, so the transfers lead to them. */
  const list = Effect.fnUntraced(function*(page: Page) {
    const found = yield* ask(Objects.listOf(Objects.Transfer), () => stripe.transfers.list(paged(page, 20)))
    const items = yield* Effect.forEach(found.data, ofTransfer, { concurrency: 5 })
    return { items: items.flat(), next: nextOf(found) }
  })
  return { create, createRecipient, retrieve, list }
}

/** The adapter to Stripe. A payment's reference is its Checkout Session, a payout's `<account>/<payout>`. */
export const makeStripeGateway = Effect.fnUntraced(function*(settings: StripeSettings) {
  const mac = yield* Mac.Mac
  const secret = new TextEncoder().encode(Redacted.value(settings.webhookSecret))
  const key = yield* Effect.orDie(Mac.key(Mac.hmacSha256, secret))
  const stripe = stripeClient(settings)
  const livemode = /^[rs]k_live_/.test(Redacted.value(settings.secretKey))
  const decode = decodeStripeEvent(livemode)
  const charge = charges(stripe, settings)
  const refund = refunds(stripe, charge.retrieve)
  const payout = payouts(stripe)

  const gateway: Gateway = {
    provider,
    livemode,
    needsEmail: false,
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
    retrievePayout: Effect.fn("StripeGateway.retrievePayout")(payout.retrieve),
    retrieveDispute: Effect.fn("StripeGateway.retrieveDispute")((reference) =>
      Effect.flatMap(
        ask(Objects.Dispute, () => stripe.disputes.retrieve(reference, { expand: ["payment_intent"] })),
        Objects.disputeOf
      )
    ),
    listCharges: Effect.fn("StripeGateway.listCharges")(charge.list),
    listRefunds: Effect.fn("StripeGateway.listRefunds")(refund.list),
    listPayouts: Effect.fn("StripeGateway.listPayouts")(payout.list),
    verifyWebhook: Effect.fn("StripeGateway.verifyWebhook")(function*(rawBody, headers: Headers.Headers) {
      const proof = yield* readTimestamped({ provider, key, rawBody, header: headers["stripe-signature"] })
      return yield* VerifiedEvent.authenticate(proof, decode).pipe(Effect.provideService(Mac.Mac, mac))
    })
  }
  return gateway
})
