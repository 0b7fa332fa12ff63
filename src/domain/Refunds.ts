import { Option, Schema } from "effect"
import { PaymentId, RefundId } from "./Ids.ts"
import { Amount, Currency, SignedAmount } from "./Money.ts"
import { bookedOf, type Outgoing, type OutgoingStatus } from "./Outgoing.ts"
import { PaymentStatus } from "./Payments.ts"
import { Problem } from "./Problem.ts"

const RefundStatus = Schema.Literals(["pending", "succeeded", "failed"])

export const RefundRequest = Schema.Struct({
  amount: Schema.optionalKey(Amount),
  reason: Schema.optionalKey(Schema.String.check(Schema.isPattern(/^\P{C}{1,280}$/u)))
}).annotate({ identifier: "RefundRequest" })
export type RefundRequest = typeof RefundRequest.Type

export const RefundView = Schema.Struct({
  id: RefundId,
  paymentId: PaymentId,
  amount: Amount,
  currency: Currency,
  status: RefundStatus,
  reason: Schema.NullOr(Schema.String),
  failureReason: Schema.optionalKey(Schema.String),
  createdAt: Schema.DateTimeUtcFromString
}).annotate({ identifier: "Refund" })
export type RefundView = typeof RefundView.Type

const statusOf: Record<OutgoingStatus, typeof RefundStatus.Type> = {
  reserving: "pending",
  pending_approval: "pending",
  processing: "pending",
  done: "succeeded",
  failed: "failed",
  canceled: "failed",
  refused: "failed"
}

export const refundView = (row: Outgoing, paymentId: PaymentId): RefundView => ({
  id: RefundId.make(row.id),
  paymentId,
  amount: bookedOf(row),
  currency: row.currency,
  status: statusOf[row.status],
  reason: Option.getOrNull(row.reason),
  ...(Option.isSome(row.failureReason) ? { failureReason: row.failureReason.value } : {}),
  createdAt: row.createdAt
})

export class PaymentNotPaid extends Problem<PaymentNotPaid>()("PaymentNotPaid", {
  type: "/problems/payment-not-paid",
  status: 409,
  title: "Only a payment that succeeded can be refunded"
}, { code: Schema.tag("PaymentNotPaid"), payment_status: PaymentStatus }) {}

/** The provider may be about to give the same money back. */
export class PaymentDisputed extends Problem<PaymentDisputed>()("PaymentDisputed", {
  type: "/problems/payment-disputed",
  status: 409,
  title: "A disputed payment cannot be refunded"
}, { code: Schema.tag("PaymentDisputed") }) {}

export class RefundExceeded extends Problem<RefundExceeded>()("RefundExceeded", {
  type: "/problems/refund-exceeded",
  status: 422,
  title: "No more can be refunded than was paid"
}, { code: Schema.tag("RefundExceeded"), available: SignedAmount, currency: Currency }) {}
