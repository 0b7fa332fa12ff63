import { type DateTime, Option, Schema } from "effect"
import { PaymentId, type TransferId, type UserId } from "./Ids.ts"
import { Amount, Currency, SignedAmount } from "./Money.ts"
import type { FlagDecision } from "./Outgoing.ts"
import { Problem } from "./Problem.ts"

export const Provider = Schema.Literals(["stripe", "paystack", "sandbox"]).annotate({ identifier: "Provider" })
export type Provider = typeof Provider.Type

export const PaymentStatus = Schema.Literals(["requires_action", "processing", "succeeded", "failed", "canceled"])
export type PaymentStatus = typeof PaymentStatus.Type

export const NextAction = Schema.Struct({ type: Schema.Literal("redirect"), url: Schema.String })
export type NextAction = typeof NextAction.Type

/** Why a payment that the provider calls successful was not credited. A person decides; nothing else moves it. */
export const Flag = Schema.Literals(["amount_mismatch", "currency_mismatch", "mode_mismatch", "balance_limit"])
export type Flag = typeof Flag.Type

/**
 * A payment as Midnight keeps it. What was asked (amount, currency, mode) never changes after it was recorded, but that a person
 * may accept another amount and currency of one that is flagged, which count from then on.
 */
export interface Payment {
  readonly id: PaymentId
  readonly userId: UserId
  readonly provider: Provider
  readonly amount: Amount
  readonly currency: Currency
  /** True for real money. What a provider says in the other mode is never believed. */
  readonly livemode: boolean
  readonly status: PaymentStatus
  /** None until the provider has answered: the charge may exist there or not. */
  readonly providerReference: Option.Option<string>
  readonly nextAction: Option.Option<NextAction>
  readonly returnUrl: Option.Option<string>
  readonly amountRefunded: bigint
  /** What is refunded, and what is about to be. */
  readonly refundReserved: bigint
  readonly disputed: boolean
  /** What the provider kept for itself, once that is known and booked. */
  readonly fee: Option.Option<bigint>
  readonly flag: Option.Option<Flag>
  /** None while a flag waits for a person. */
  readonly flagDecision: Option.Option<FlagDecision>
  /** The ledger's transfer that credited it, when it succeeded. */
  readonly transferId: Option.Option<TransferId>
  readonly createdAt: DateTime.Utc
}

/** What the provider says about a charge, asked directly over an authenticated connection. */
export interface ChargeReport {
  readonly status: PaymentStatus
  readonly amount: bigint
  /** ISO 4217 in upper case; may be one that Midnight does not know. */
  readonly currency: string
  readonly livemode: boolean
}

/** What a report means for a payment. */
export type Decision =
  | { readonly _tag: "Keep" }
  | { readonly _tag: "Move"; readonly to: "requires_action" | "processing" | "failed" | "canceled" }
  | { readonly _tag: "Credit" }
  | { readonly _tag: "Flag"; readonly flag: Flag }

// Reports come late and out of order, so a payment only moves up. Failed and canceled share a rank: the first one stays.
// Succeeded is above them: money that a provider took after a first refusal is money that the member paid.
const rank: Record<PaymentStatus, number> = { requires_action: 0, processing: 1, failed: 2, canceled: 2, succeeded: 3 }

const mismatch = (payment: Payment, report: ChargeReport): Flag | undefined => {
  if (report.livemode !== payment.livemode) return "mode_mismatch"
  if (report.currency !== payment.currency) return "currency_mismatch"
  return report.amount === payment.amount ? undefined : "amount_mismatch"
}

/**
 * The whole state machine of a payment. Total and pure: in whatever order and number reports come, a payment is credited
 * at most once, and never on a report that disagrees with what was asked.
 */
export const decide = (payment: Payment, report: ChargeReport): Decision => {
  if (Option.isSome(payment.flag) || payment.status === "succeeded") return { _tag: "Keep" }
  if (report.status === "succeeded") {
    const flag = mismatch(payment, report)
    return flag === undefined ? { _tag: "Credit" } : { _tag: "Flag", flag }
  }
  return rank[report.status] > rank[payment.status] ? { _tag: "Move", to: report.status } : { _tag: "Keep" }
}

/** The permanent key of a payment's one credit. */
export const creditKey = (id: PaymentId): string => `charge:${id}`

// What parsers read differently from one another: a provider or a browser might find another host in it than we do.
const plainUrl = /^https?:\/\/[^\s\\/\p{C}][^\s\\\p{C}]*$/iu

/** A return URL is allowed when its origin is on the list: anything else would make the checkout an open redirect. */
export const isReturnUrlAllowed = (returnUrl: string, origins: ReadonlyArray<string>): boolean => {
  if (!plainUrl.test(returnUrl) || !URL.canParse(returnUrl)) return false
  const { origin, password, protocol, username } = new URL(returnUrl)
  return (protocol === "https:" || protocol === "http:") && username === "" && password === ""
    && origins.some((allowed) => URL.canParse(allowed) && new URL(allowed).origin === origin)
}

export const ChargeRequest = Schema.Struct({
  amount: Amount,
  currency: Currency,
  provider: Schema.optionalKey(Provider),
  returnUrl: Schema.optionalKey(Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(2048)))
}).annotate({ identifier: "ChargeRequest" })
export type ChargeRequest = typeof ChargeRequest.Type

/** A payment as its owner sees it. `nextAction` is there only while there is something to do. */
export const PaymentView = Schema.Struct({
  id: PaymentId,
  status: PaymentStatus,
  amount: Amount,
  currency: Currency,
  amountRefunded: SignedAmount,
  disputed: Schema.Boolean,
  provider: Provider,
  providerReference: Schema.NullOr(Schema.String),
  nextAction: Schema.optionalKey(NextAction),
  createdAt: Schema.DateTimeUtcFromString
}).annotate({ identifier: "Payment" })
export type PaymentView = typeof PaymentView.Type

export const viewOf = (payment: Payment): PaymentView => ({
  id: payment.id,
  status: payment.status,
  amount: payment.amount,
  currency: payment.currency,
  amountRefunded: payment.amountRefunded,
  disputed: payment.disputed,
  provider: payment.provider,
  providerReference: Option.getOrNull(payment.providerReference),
  ...(payment.status === "requires_action" && Option.isSome(payment.nextAction)
    ? { nextAction: payment.nextAction.value }
    : {}),
  createdAt: payment.createdAt
})

export class ReturnUrlNotAllowed extends Problem<ReturnUrlNotAllowed>()("ReturnUrlNotAllowed", {
  type: "/problems/return-url-not-allowed",
  status: 400,
  title: "The return URL is not on an allowed origin"
}, { code: Schema.tag("ReturnUrlNotAllowed") }) {}

export class ProviderNotConfigured extends Problem<ProviderNotConfigured>()("ProviderNotConfigured", {
  type: "/problems/provider-not-configured",
  status: 400,
  title: "This deployment does not take payments through that provider"
}, { code: Schema.tag("ProviderNotConfigured"), allowed: Schema.Array(Provider) }) {}

/** The provider takes the currency, but not this amount of it. */
export class AmountNotAccepted extends Problem<AmountNotAccepted>()("AmountNotAccepted", {
  type: "/problems/amount-not-accepted",
  status: 400,
  title: "The payment provider does not take that amount"
}, {
  code: Schema.tag("AmountNotAccepted"),
  provider: Provider,
  currency: Currency,
  minimum: SignedAmount,
  maximum: SignedAmount,
  multiple_of: SignedAmount
}) {}

/** The provider did not answer in time or could not. The charge may exist there; repeating finds it. */
export class ProviderUnavailable extends Problem<ProviderUnavailable>()("ProviderUnavailable", {
  type: "/problems/provider-unavailable",
  status: 503,
  title: "The payment provider cannot answer now"
}, { code: Schema.tag("ProviderUnavailable"), provider: Provider, retry_after: Schema.Int }) {}

export class WebhookForged extends Problem<WebhookForged>()("WebhookForged", {
  type: "/problems/webhook-forged",
  status: 400,
  title: "The event is not signed by the provider, or was signed too long ago"
}, { code: Schema.tag("WebhookForged") }) {}

export class WebhookOtherMode extends Problem<WebhookOtherMode>()("WebhookOtherMode", {
  type: "/problems/webhook-other-mode",
  status: 400,
  title: "The event is of the provider's other mode, live or test"
}, { code: Schema.tag("WebhookOtherMode") }) {}
