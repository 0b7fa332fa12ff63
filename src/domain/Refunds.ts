import { type DateTime, Option, Schema } from "effect"
import { PaymentId, RefundId, type TransferId, type UserId } from "./Ids.ts"
import { Amount, Currency, SignedAmount } from "./Money.ts"
import type { MoneyOut, OutFlag, Stage } from "./MoneyOut.ts"
import type { Provider } from "./Payments.ts"
import { Problem } from "./Problem.ts"

export const RefundStatus = Schema.Literals(["pending", "succeeded", "failed"])
export type RefundStatus = typeof RefundStatus.Type

/** A refund as Midnight keeps it. What was asked never changes after it was recorded. */
export interface Refund {
  readonly id: RefundId
  readonly paymentId: PaymentId
  readonly userId: UserId
  readonly provider: Provider
  /** The provider's name for the payment that is given back. */
  readonly chargeReference: string
  readonly amount: Amount
  readonly currency: Currency
  readonly reason: Option.Option<string>
  readonly status: RefundStatus
  readonly providerReference: Option.Option<string>
  readonly flag: Option.Option<OutFlag>
  readonly transferId: Option.Option<TransferId>
  readonly createdAt: DateTime.Utc
}

/** How each status stands in the state machine of money that leaves. */
export const stageOf: Record<RefundStatus, Stage> = { pending: "pending", succeeded: "done", failed: "failed" }

export const outOf = ({ amount, currency, flag, status }: Refund): MoneyOut => ({
  amount,
  currency,
  flag,
  stage: stageOf[status]
})

/** Without an amount: all that is left. */
export const RefundRequest = Schema.Struct({
  amount: Schema.optionalKey(Amount),
  reason: Schema.optionalKey(Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(280)))
}).annotate({ identifier: "RefundRequest" })
export type RefundRequest = typeof RefundRequest.Type

export const RefundView = Schema.Struct({
  id: RefundId,
  paymentId: PaymentId,
  amount: Amount,
  currency: Currency,
  status: RefundStatus,
  reason: Schema.NullOr(Schema.String),
  createdAt: Schema.DateTimeUtcFromString
}).annotate({ identifier: "Refund" })
export type RefundView = typeof RefundView.Type

export const viewOf = (refund: Refund): RefundView => ({
  id: refund.id,
  paymentId: refund.paymentId,
  amount: refund.amount,
  currency: refund.currency,
  status: refund.status,
  reason: Option.getOrNull(refund.reason),
  createdAt: refund.createdAt
})

export class RefundExceedsPayment extends Problem<RefundExceedsPayment>()("RefundExceedsPayment", {
  type: "/problems/refund-exceeds-payment",
  status: 422,
  title: "More than is left of the payment cannot be refunded"
}, { code: Schema.tag("RefundExceedsPayment"), refundable: SignedAmount, currency: Currency }) {}

export class PaymentNotRefundable extends Problem<PaymentNotRefundable>()("PaymentNotRefundable", {
  type: "/problems/payment-not-refundable",
  status: 409,
  title: "Only a payment that succeeded can be refunded"
}, { code: Schema.tag("PaymentNotRefundable") }) {}
