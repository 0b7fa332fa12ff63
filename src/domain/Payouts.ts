import { Option, Schema } from "effect"
import { PayoutId, UserId } from "./Ids.ts"
import { Amount, Currency, SignedAmount } from "./Money.ts"
import { bookedOf, type Outgoing, OutgoingFlag, type OutgoingStatus } from "./Outgoing.ts"
import { pageQuery } from "./Page.ts"
import { Provider } from "./Payments.ts"
import { Problem } from "./Problem.ts"

export const PayoutStatus = Schema.Literals(["pending_approval", "processing", "paid", "failed", "canceled"])
export type PayoutStatus = typeof PayoutStatus.Type

const Country = Schema.String.check(Schema.isPattern(/^[A-Z]{2}$/, { expected: "an ISO 3166 code of two letters" }))
const Code = Schema.String.check(Schema.isPattern(/^[A-Za-z0-9-]{1,34}$/))
const Name = Schema.String.check(Schema.isPattern(/^\P{C}{1,120}$/u))

/** Where a payout goes. Kept sealed; nobody is shown more than its type and last four characters. */
export const Destination = Schema.Union([
  Schema.Struct({
    type: Schema.Literal("bank"),
    country: Country,
    bankCode: Code,
    accountNumber: Schema.String.check(Schema.isPattern(/^[A-Za-z0-9]{4,34}$/)),
    accountName: Name
  }),
  Schema.Struct({
    type: Schema.Literal("mobile_money"),
    country: Country,
    network: Code,
    phone: Schema.String.check(Schema.isPattern(/^\+?\d{6,15}$/))
  })
]).annotate({ identifier: "PayoutDestination" })
export type Destination = typeof Destination.Type

export const last4Of = (destination: Destination): string =>
  (destination.type === "bank" ? destination.accountNumber : destination.phone).slice(-4)

export const PayoutRequest = Schema.Struct({ amount: Amount, currency: Currency, destination: Destination })
  .annotate({ identifier: "PayoutRequest" })
export type PayoutRequest = typeof PayoutRequest.Type

const shown = {
  id: PayoutId,
  amount: Amount,
  currency: Currency,
  status: PayoutStatus,
  destination: Schema.Struct({ type: Schema.Literals(["bank", "mobile_money"]), last4: Schema.String }),
  failureReason: Schema.optionalKey(Schema.String),
  createdAt: Schema.DateTimeUtcFromString
}
export const PayoutView = Schema.Struct(shown).annotate({ identifier: "Payout" })
export type PayoutView = typeof PayoutView.Type

/** A payout as administrators see it. `needsAction`: a person must release it at the provider. */
export const AdminPayout = Schema.Struct({
  ...shown,
  userId: UserId,
  provider: Provider,
  providerReference: Schema.NullOr(Schema.String),
  needsAction: Schema.Boolean,
  flag: Schema.NullOr(OutgoingFlag)
}).annotate({ identifier: "AdminPayout" })
export type AdminPayout = typeof AdminPayout.Type

export const adminPayoutQuery = { ...pageQuery, status: Schema.optionalKey(PayoutStatus) }

/** Why an administrator decides so. A rejection's reason is shown to the owner. */
export const PayoutDecision = Schema.Struct({
  reason: Schema.String.check(Schema.isPattern(/^\P{C}{3,280}$/u))
}).annotate({ identifier: "PayoutDecision" })

const statusOf: Record<OutgoingStatus, PayoutStatus> = {
  reserving: "processing",
  pending_approval: "pending_approval",
  processing: "processing",
  done: "paid",
  failed: "failed",
  canceled: "canceled",
  refused: "failed"
}
/** What a public status is called in a row. */
export const storedStatus = (status: PayoutStatus): OutgoingStatus => status === "paid" ? "done" : status

export const payoutView = (row: Outgoing): PayoutView => ({
  id: PayoutId.make(row.id),
  amount: bookedOf(row),
  currency: row.currency,
  status: statusOf[row.status],
  destination: {
    type: Option.getOrElse(row.destinationType, () => "bank" as const),
    last4: Option.getOrElse(row.last4, () => "")
  },
  ...(Option.isSome(row.failureReason) ? { failureReason: row.failureReason.value } : {}),
  createdAt: row.createdAt
})

export const adminPayout = (row: Outgoing): AdminPayout => ({
  ...payoutView(row),
  userId: row.userId,
  provider: row.provider,
  providerReference: Option.getOrNull(row.providerReference),
  needsAction: row.needsAction,
  flag: Option.getOrNull(row.flag)
})

/** One row of docs/security.md: payouts of one member. */
export const payoutsAtOnce = { limit: 30, windowSeconds: 60 } as const

export class PayoutLimit extends Problem<PayoutLimit>()("PayoutLimit", {
  type: "/problems/payout-limit",
  status: 422,
  title: "That is more than may be paid out in a day"
}, { code: Schema.tag("PayoutLimit"), available: SignedAmount, currency: Currency }) {}

export class IllegalPayoutTransition extends Problem<IllegalPayoutTransition>()("IllegalPayoutTransition", {
  type: "/problems/illegal-payout-transition",
  status: 409,
  title: "The payout's state does not allow that any more"
}, { code: Schema.tag("IllegalPayoutTransition"), payout_status: PayoutStatus }) {}
