import { Option, Schema } from "effect"
import { PaymentId, TransferId, UserId } from "../domain/Ids.ts"
import { Amount, Currency } from "../domain/Money.ts"
import { FlagDecision } from "../domain/Outgoing.ts"
import { Flag, type NextAction, type Payment, PaymentStatus, Provider } from "../domain/Payments.ts"

/** A row of `payments.payments`. */
export const PaymentRow = Schema.Struct({
  id: PaymentId,
  userId: UserId,
  provider: Provider,
  amount: Schema.toType(Amount),
  currency: Currency,
  livemode: Schema.Boolean,
  status: PaymentStatus,
  providerReference: Schema.OptionFromNullOr(Schema.String),
  nextActionUrl: Schema.OptionFromNullOr(Schema.String),
  returnUrl: Schema.OptionFromNullOr(Schema.String),
  amountRefunded: Schema.BigInt,
  refundReserved: Schema.BigInt,
  disputed: Schema.Boolean,
  fee: Schema.OptionFromNullOr(Schema.BigInt),
  flag: Schema.OptionFromNullOr(Flag),
  flagDecision: Schema.OptionFromNullOr(FlagDecision),
  transferId: Schema.OptionFromNullOr(TransferId),
  createdAt: Schema.DateTimeUtcFromDate
})

export const paymentOf = ({ nextActionUrl, ...row }: typeof PaymentRow.Type): Payment => ({
  ...row,
  nextAction: Option.map(nextActionUrl, (url): NextAction => ({ type: "redirect", url }))
})

/** Of one that a person accepted as its provider has it, what was accepted is its amount and currency. */
export const paymentColumns =
  `id, user_id AS "userId", provider, coalesce(accepted_amount, amount) AS amount, coalesce(accepted_currency,
  currency) AS currency, flag_decision AS "flagDecision", livemode, status, provider_reference AS
  "providerReference", next_action_url AS "nextActionUrl", return_url AS "returnUrl", amount_refunded AS
  "amountRefunded", refund_reserved AS "refundReserved", disputed, fee, flag, transfer_id AS "transferId",
  created_at AS "createdAt"`
