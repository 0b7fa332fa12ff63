import { Option, Schema } from "effect"
import { PaymentId } from "../../domain/Ids.ts"
import type { PaymentStatus } from "../../domain/Payments.ts"
import type { ProviderCharge, ProviderDispute, ProviderPayout, ProviderRefund } from "../../services/Gateway.ts"

// Paystack's answers drift: amounts are numbers or strings of digits, ids too, times have either spelling.
const Amount = Schema.Union([Schema.Int, Schema.String.check(Schema.isPattern(/^\d{1,15}$/))])
const Id = Schema.Union([Schema.Int, Schema.String])
const optional = <S extends Schema.Codec<unknown, unknown>>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))
const times = { createdAt: optional(Schema.String), created_at: optional(Schema.String) }

export const Transaction = Schema.Struct({
  id: Id,
  reference: Schema.String,
  status: Schema.String,
  amount: Amount,
  currency: Schema.String,
  domain: Schema.String,
  fees: optional(Amount),
  authorization_url: optional(Schema.String),
  /** 0, "", null, an object, or an object as text. */
  metadata: Schema.optionalKey(Schema.Unknown),
  ...times
})
export const Initialized = Schema.Struct({ authorization_url: Schema.String, reference: Schema.String })
export const Refund = Schema.Struct({
  id: Id,
  status: Schema.String,
  amount: Amount,
  currency: Schema.String,
  merchant_note: optional(Schema.String),
  transaction_reference: optional(Schema.String),
  transaction: Schema.optionalKey(
    Schema.Union([Schema.Null, Id, Schema.Struct({ reference: Schema.optionalKey(Schema.String) })])
  )
})
export const Recipient = Schema.Struct({ recipient_code: Schema.String })
export const Transfer = Schema.Struct({
  reference: Schema.String,
  status: Schema.String,
  amount: Amount,
  currency: Schema.String,
  reason: optional(Schema.String)
})
export const Dispute = Schema.Struct({
  id: Id,
  status: Schema.String,
  resolution: optional(Schema.String),
  refund_amount: optional(Amount),
  currency: optional(Schema.String),
  transaction: Schema.Struct({ reference: Schema.String, amount: Amount, currency: optional(Schema.String) })
})

const paymentIdOf = Schema.decodeUnknownOption(PaymentId)

const transactionStatus: Record<string, PaymentStatus> = {
  success: "succeeded",
  failed: "failed",
  // The money went back before it was ours to credit; what was credited stays so and is taken back as a refund.
  reversed: "failed",
  abandoned: "requires_action",
  ongoing: "processing",
  pending: "processing",
  processing: "processing",
  queued: "processing"
}
const dayMillis = 86_400_000

const createdAt = (object: { readonly createdAt?: string | null; readonly created_at?: string | null }): number =>
  Date.parse(object.created_at ?? object.createdAt ?? "")
export const ageOf = (transaction: typeof Transaction.Type, now: number): number => now - createdAt(transaction)

/** Undefined when Paystack names a status that nobody has heard of. */
export const chargeOf = (transaction: typeof Transaction.Type, now: number): ProviderCharge | undefined => {
  const known = transactionStatus[transaction.status]
  if (known === undefined) return undefined
  // Paystack calls a checkout abandoned from its first second; after a day nobody will come back to it.
  const status = known === "requires_action" && ageOf(transaction, now) > dayMillis ? "canceled" : known
  return {
    reference: transaction.reference,
    paymentId: paymentIdOf(transaction.reference),
    status,
    amount: BigInt(transaction.amount),
    currency: transaction.currency.toUpperCase(),
    livemode: transaction.domain === "live",
    nextAction: Option.none(),
    fee: status === "succeeded" ? Option.map(Option.fromNullishOr(transaction.fees), BigInt) : Option.none()
  }
}

const refundStatus: Record<string, ProviderRefund["status"]> = {
  pending: "pending",
  processing: "pending",
  // A person must give Paystack the payer's account.
  "needs-attention": "pending",
  processed: "succeeded",
  failed: "failed"
}
const notePrefix = "midnight refund "
export const noteOf = (refundId: string): string => notePrefix + refundId

export const refundOf = (refund: typeof Refund.Type): ProviderRefund | undefined => {
  const status = refundStatus[refund.status]
  if (status === undefined) return undefined
  const { merchant_note: note, transaction, transaction_reference } = refund
  const nested = typeof transaction === "object" ? transaction?.reference : undefined
  return {
    reference: String(refund.id),
    operationId: note?.startsWith(notePrefix) === true
      ? Option.some(note.slice(notePrefix.length))
      : Option.none(),
    chargeReference: Option.fromNullishOr(transaction_reference ?? nested),
    status,
    amount: BigInt(refund.amount),
    currency: refund.currency.toUpperCase(),
    failureReason: Option.none()
  }
}

const transferStatus: Record<string, ProviderPayout["status"]> = {
  otp: "requires_action",
  pending: "processing",
  received: "processing",
  queued: "processing",
  processing: "processing",
  success: "paid",
  failed: "failed",
  abandoned: "failed",
  blocked: "failed",
  rejected: "failed",
  reversed: "failed"
}

export const payoutOf = (transfer: typeof Transfer.Type): ProviderPayout | undefined => {
  const status = transferStatus[transfer.status]
  return status === undefined ? undefined : {
    reference: transfer.reference,
    operationId: Option.some(transfer.reference),
    status,
    amount: BigInt(transfer.amount),
    currency: transfer.currency.toUpperCase(),
    failureReason: status === "failed" ? Option.some(transfer.status) : Option.none()
  }
}

export const disputeOf = (dispute: typeof Dispute.Type): ProviderDispute => {
  const { resolution, transaction } = dispute
  const status = resolution === "merchant-accepted" ? "lost" : resolution === "declined" ? "won" : "open"
  return {
    reference: String(dispute.id),
    paymentId: paymentIdOf(transaction.reference),
    status,
    // Mostly not said before it is decided, and of a declined one nothing is refunded.
    amount: BigInt((status === "won" ? null : dispute.refund_amount) ?? transaction.amount),
    currency: (dispute.currency ?? transaction.currency ?? "").toUpperCase()
  }
}
