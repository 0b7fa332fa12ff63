import { Effect, Option, Schema } from "effect"
import { PaymentId } from "../../domain/Ids.ts"
import type { PaymentStatus } from "../../domain/Payments.ts"
import {
  type ProviderCharge,
  type ProviderDispute,
  ProviderNonsense,
  type ProviderPayout,
  type ProviderRefund
} from "../../services/Gateway.ts"
import { fromStripe } from "./StripeMoney.ts"

// The package's types say what Stripe should answer; these say what Midnight relies on, and are checked.
const Metadata = Schema.NullOr(Schema.Record(Schema.String, Schema.String))
const Balance = Schema.Struct({ fee: Schema.Int, currency: Schema.String })
const expandable = <S extends Schema.Codec<unknown, unknown>>(object: S) =>
  Schema.NullOr(Schema.Union([Schema.String, object]))

const Intent = Schema.Struct({
  id: Schema.String,
  status: Schema.String,
  latest_charge: Schema.optionalKey(
    expandable(Schema.Struct({ balance_transaction: Schema.optionalKey(expandable(Balance)) }))
  )
})
export const Session = Schema.Struct({
  id: Schema.String,
  status: Schema.NullOr(Schema.Literals(["open", "complete", "expired"])),
  payment_status: Schema.Literals(["paid", "unpaid", "no_payment_required"]),
  amount_total: Schema.NullOr(Schema.Int),
  currency: Schema.NullOr(Schema.String),
  livemode: Schema.Boolean,
  url: Schema.optionalKey(Schema.NullOr(Schema.String)),
  client_reference_id: Schema.NullOr(Schema.String),
  payment_intent: expandable(Intent)
})
export const Refund = Schema.Struct({
  id: Schema.String,
  status: Schema.NullOr(Schema.String),
  amount: Schema.Int,
  currency: Schema.String,
  metadata: Metadata,
  failure_reason: Schema.optionalKey(Schema.NullOr(Schema.String))
})
export const Payout = Schema.Struct({
  id: Schema.String,
  status: Schema.String,
  amount: Schema.Int,
  currency: Schema.String,
  metadata: Metadata,
  failure_code: Schema.optionalKey(Schema.NullOr(Schema.String))
})
export const Transfer = Schema.Struct({
  id: Schema.String,
  amount: Schema.Int,
  currency: Schema.String,
  destination: expandable(Schema.Struct({ id: Schema.String })),
  reversed: Schema.Boolean,
  metadata: Metadata
})
export const Dispute = Schema.Struct({
  id: Schema.String,
  status: Schema.String,
  amount: Schema.Int,
  currency: Schema.String,
  payment_intent: expandable(Schema.Struct({ metadata: Metadata }))
})
export const Identified = Schema.Struct({ id: Schema.String })

export const nonsense = (detail: string) => new ProviderNonsense({ provider: "stripe", detail })
const paymentIdOf = Schema.decodeUnknownOption(PaymentId)
const code = (currency: string) => currency.toUpperCase()

const amountOf = (amount: number, currency: string) =>
  Effect.mapError(
    Effect.fromOption(fromStripe(amount, currency)),
    () => nonsense(`There is no amount of ${amount} in ${currency}.`)
  )

const object = <A>(value: string | A | null | undefined): A | undefined =>
  typeof value === "string" || value === null ? undefined : value

const statusOf = ({ payment_intent, payment_status, status }: typeof Session.Type): PaymentStatus => {
  if (payment_status === "paid") return "succeeded"
  if (status === "open") return "requires_action"
  if (status === "expired") return "canceled"
  // Completed, but the bank has yet to say: transfers and debits take days, and end in a new try or in failure.
  const intent = object(payment_intent)?.status
  return intent === "requires_payment_method" || intent === "canceled" ? "failed" : "processing"
}

/** The fee counts only in the charge's own currency: in the account's, it is not part of this payment's books. */
const feeOf = ({ currency, payment_intent }: typeof Session.Type) => {
  const balance = object(object(object(payment_intent)?.latest_charge)?.balance_transaction)
  return balance === undefined || balance.currency !== currency
    ? Option.none()
    : fromStripe(balance.fee, balance.currency)
}

export const intentOf = ({ payment_intent }: typeof Session.Type): string | undefined =>
  typeof payment_intent === "string" ? payment_intent : payment_intent?.id

export const chargeOf = Effect.fnUntraced(function*(session: typeof Session.Type) {
  const { amount_total, client_reference_id, currency, id, livemode, url } = session
  if (amount_total === null || currency === null) return yield* nonsense("A session has no amount.")
  const status = statusOf(session)
  return {
    reference: id,
    paymentId: paymentIdOf(client_reference_id),
    status,
    amount: yield* amountOf(amount_total, currency),
    currency: code(currency),
    livemode,
    nextAction: status === "requires_action" && typeof url === "string"
      ? Option.some({ type: "redirect" as const, url })
      : Option.none(),
    fee: feeOf(session)
  } satisfies ProviderCharge
})

const refundStatus: Record<string, ProviderRefund["status"]> = {
  pending: "pending",
  requires_action: "pending",
  succeeded: "succeeded",
  failed: "failed",
  canceled: "failed"
}

export const refundOf = Effect.fnUntraced(function*(refund: typeof Refund.Type) {
  const status = refundStatus[refund.status ?? "pending"]
  if (status === undefined) return yield* nonsense(`A refund has status ${refund.status}.`)
  return {
    reference: refund.id,
    operationId: Option.fromUndefinedOr(refund.metadata?.["refund_id"]),
    chargeReference: Option.fromUndefinedOr(refund.metadata?.["charge_reference"]),
    status,
    amount: yield* amountOf(refund.amount, refund.currency),
    currency: code(refund.currency),
    failureReason: Option.fromNullishOr(refund.failure_reason)
  } satisfies ProviderRefund
})

const payoutStatus: Record<string, ProviderPayout["status"]> = {
  pending: "processing",
  in_transit: "processing",
  paid: "paid",
  failed: "failed",
  canceled: "failed"
}

export const payoutOf = Effect.fnUntraced(function*(account: string, payout: typeof Payout.Type) {
  const status = payoutStatus[payout.status]
  if (status === undefined) return yield* nonsense(`A payout has status ${payout.status}.`)
  return {
    reference: `${account}/${payout.id}`,
    operationId: Option.fromUndefinedOr(payout.metadata?.["payout_id"]),
    status,
    amount: yield* amountOf(payout.amount, payout.currency),
    currency: code(payout.currency),
    failureReason: Option.fromNullishOr(payout.failure_code)
  } satisfies ProviderPayout
})

/**
 * A transfer without a payout: the process that made it died before the second step, or has yet to come to it. Where it was
 * taken back there will be none.
 */
export const begunOf = Effect.fnUntraced(function*(account: string, transfer: typeof Transfer.Type) {
  return {
    reference: `${account}/${transfer.id}`,
    operationId: Option.fromUndefinedOr(transfer.metadata?.["payout_id"]),
    status: transfer.reversed ? "failed" : "begun",
    amount: yield* amountOf(transfer.amount, transfer.currency),
    currency: code(transfer.currency),
    failureReason: transfer.reversed ? Option.some("refused") : Option.none()
  } satisfies ProviderPayout
})

export const disputeOf = Effect.fnUntraced(function*(dispute: typeof Dispute.Type) {
  const { status } = dispute
  return {
    reference: dispute.id,
    paymentId: paymentIdOf(object(dispute.payment_intent)?.metadata?.["payment_id"]),
    status: status === "lost" ? "lost" : status === "won" || status === "warning_closed" ? "won" : "open",
    amount: yield* amountOf(dispute.amount, dispute.currency),
    currency: code(dispute.currency)
  } satisfies ProviderDispute
})
