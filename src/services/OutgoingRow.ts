import { type Option, Schema } from "effect"
import { OutgoingId, PaymentId, UserId } from "../domain/Ids.ts"
import { Amount, Currency } from "../domain/Money.ts"
import { FlagDecision, type Outgoing, OutgoingFlag, OutgoingStatus } from "../domain/Outgoing.ts"
import { Provider } from "../domain/Payments.ts"

/** A row of `payments.outgoing`. */
export const Row = Schema.Struct({
  id: OutgoingId,
  kind: Schema.Literals(["refund", "payout"]),
  userId: UserId,
  paymentId: Schema.OptionFromNullOr(PaymentId),
  provider: Provider,
  amount: Schema.toType(Amount),
  currency: Currency,
  status: OutgoingStatus,
  needsApproval: Schema.Boolean,
  reason: Schema.OptionFromNullOr(Schema.String),
  destinationType: Schema.OptionFromNullOr(Schema.Literals(["bank", "mobile_money"])),
  last4: Schema.OptionFromNullOr(Schema.String),
  destination: Schema.OptionFromNullOr(Schema.Uint8Array),
  recipient: Schema.OptionFromNullOr(Schema.String),
  providerReference: Schema.OptionFromNullOr(Schema.String),
  needsAction: Schema.Boolean,
  failureReason: Schema.OptionFromNullOr(Schema.String),
  flag: Schema.OptionFromNullOr(OutgoingFlag),
  flagDecision: Schema.OptionFromNullOr(FlagDecision),
  acceptedAmount: Schema.OptionFromNullOr(Schema.toType(Amount)),
  acceptedCurrency: Schema.OptionFromNullOr(Currency),
  begunAt: Schema.OptionFromNullOr(Schema.DateTimeUtcFromDate),
  doneAt: Schema.OptionFromNullOr(Schema.DateTimeUtcFromDate),
  settled: Schema.Boolean,
  createdAt: Schema.DateTimeUtcFromDate
})
export const columns = `id, kind, user_id AS "userId", payment_id AS "paymentId", provider, amount, currency, status,
  needs_approval AS "needsApproval", reason, destination_type AS "destinationType", last4, destination, recipient,
  provider_reference AS "providerReference", needs_action AS "needsAction", failure_reason AS "failureReason", flag,
  flag_decision AS "flagDecision", accepted_amount AS "acceptedAmount", accepted_currency AS "acceptedCurrency",
  begun_at AS "begunAt", done_at AS "doneAt", settled, created_at AS "createdAt"`

type Asked = Pick<Outgoing, "id" | "userId" | "provider" | "amount" | "currency">
export type RefundIntent = Asked & { readonly paymentId: PaymentId; readonly reason: Option.Option<string> }
/** What one member may be paid out: so much in 24 hours of one currency, and so often. */
interface MostPayouts {
  readonly daily: bigint
  readonly atOnce: { readonly limit: number; readonly windowSeconds: number }
}

export type PayoutIntent = Asked & {
  readonly needsApproval: boolean
  readonly destinationType: "bank" | "mobile_money"
  readonly last4: string
  readonly destination: Uint8Array
  readonly most: MostPayouts
}

/** The row as it stands then, and whether this call is what made it so. */
export interface Written {
  readonly row: Outgoing
  readonly changed: boolean
}

/** `left`: what may still be paid out today. `retryAfter`: so many seconds until there is room for another. */
export type PayoutInserted = Outgoing | { readonly left: bigint } | { readonly retryAfter: number }
