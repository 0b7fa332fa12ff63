import { type DateTime, Option, Schema } from "effect"
import { PayoutId, type TransferId, type UserId } from "./Ids.ts"
import { Amount, Currency, SignedAmount } from "./Money.ts"
import type { MoneyOut, OutFlag, Stage } from "./MoneyOut.ts"
import type { Provider } from "./Payments.ts"
import { Problem } from "./Problem.ts"

export const PayoutStatus = Schema.Literals(["pending_approval", "processing", "paid", "failed", "canceled"])
export type PayoutStatus = typeof PayoutStatus.Type

const word = (most: number) => Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(most))
const country = Schema.String.check(Schema.isPattern(/^[A-Z]{2}$/, { expected: "an ISO 3166 code of two letters" }))
const digits = (least: number, most: number) =>
  Schema.String.check(
    Schema.isPattern(new RegExp(`^\\+?[0-9A-Z]{${least},${most}}$`), {
      expected: `${least} to ${most} letters and digits`
    })
  )

/** Where a payout goes. Sealed before it is stored; afterwards only its type and last four characters are shown. */
export const PayoutDestination = Schema.Union([
  Schema.Struct({
    type: Schema.Literal("bank"),
    country,
    bankCode: word(32),
    accountNumber: digits(4, 34),
    accountName: word(128)
  }),
  Schema.Struct({ type: Schema.Literal("mobile_money"), country, network: word(32), phone: digits(6, 15) })
]).annotate({ identifier: "PayoutDestination" })
export type PayoutDestination = typeof PayoutDestination.Type

export const last4Of = (destination: PayoutDestination): string =>
  (destination.type === "bank" ? destination.accountNumber : destination.phone).slice(-4)

/** Where a payout's destination belongs: it opens nowhere else. */
export const placeOf = (id: PayoutId): string => `payout:${id}`

/** A payout as Midnight keeps it. What was asked never changes after it was recorded. */
export interface Payout {
  readonly id: PayoutId
  readonly userId: UserId
  readonly provider: Provider
  readonly amount: Amount
  readonly currency: Currency
  readonly status: PayoutStatus
  /** Whether the ledger holds the money. Until then nobody is shown the payout, and nothing is sent. */
  readonly held: boolean
  readonly destinationType: PayoutDestination["type"]
  readonly last4: string
  /** The provider's name for the destination. */
  readonly recipient: Option.Option<string>
  readonly providerReference: Option.Option<string>
  readonly failureReason: Option.Option<string>
  readonly flag: Option.Option<OutFlag>
  readonly transferId: Option.Option<TransferId>
  readonly createdAt: DateTime.Utc
}

/** How each status stands in the state machine of money that leaves. */
export const stageOf: Record<PayoutStatus, Stage> = {
  pending_approval: "pending",
  processing: "pending",
  paid: "done",
  failed: "failed",
  canceled: "failed"
}

export const outOf = ({ amount, currency, flag, status }: Payout): MoneyOut => ({
  amount,
  currency,
  flag,
  stage: stageOf[status]
})

export const PayoutRequest = Schema.Struct({
  amount: Amount,
  currency: Currency,
  destination: PayoutDestination
}).annotate({ identifier: "PayoutRequest" })
export type PayoutRequest = typeof PayoutRequest.Type

export const PayoutView = Schema.Struct({
  id: PayoutId,
  amount: Amount,
  currency: Currency,
  status: PayoutStatus,
  destination: Schema.Struct({ type: Schema.Literals(["bank", "mobile_money"]), last4: Schema.String }),
  failureReason: Schema.optionalKey(Schema.String),
  createdAt: Schema.DateTimeUtcFromString
}).annotate({ identifier: "Payout" })
export type PayoutView = typeof PayoutView.Type

export const viewOf = (payout: Payout): PayoutView => ({
  id: payout.id,
  amount: payout.amount,
  currency: payout.currency,
  status: payout.status,
  destination: { type: payout.destinationType, last4: payout.last4 },
  ...(Option.isSome(payout.failureReason) ? { failureReason: payout.failureReason.value } : {}),
  createdAt: payout.createdAt
})

/** What a decision on a payout must say. */
export const PayoutDecision = Schema.Struct({ reason: word(500) }).annotate({ identifier: "PayoutDecision" })

export class PayoutNotPending extends Problem<PayoutNotPending>()("PayoutNotPending", {
  type: "/problems/payout-not-pending",
  status: 409,
  title: "The payout no longer waits for approval"
}, { code: Schema.tag("PayoutNotPending"), payout_status: PayoutStatus }) {}

export class OwnPayout extends Problem<OwnPayout>()("OwnPayout", {
  type: "/problems/own-payout",
  status: 403,
  title: "Somebody else has to decide on a payout of yours"
}, { code: Schema.tag("OwnPayout") }) {}

/** The member has asked for more within a day than this deployment pays. */
export class PayoutLimitReached extends Problem<PayoutLimitReached>()("PayoutLimitReached", {
  type: "/problems/payout-limit-reached",
  status: 422,
  title: "The payouts of one day would exceed what is paid in a day"
}, { code: Schema.tag("PayoutLimitReached"), limit: SignedAmount, asked: SignedAmount, currency: Currency }) {}
