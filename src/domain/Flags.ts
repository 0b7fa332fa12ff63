import { Option, Schema } from "effect"
import { UserId } from "./Ids.ts"
import { Amount, amountOf, Currency, SignedAmount } from "./Money.ts"
import { bookedOf, expectedOf, FlagDecision, type Outgoing, OutgoingFlag, type OutgoingReport } from "./Outgoing.ts"
import { pageQuery } from "./Page.ts"
import { type ChargeReport, Flag, type Payment, PaymentStatus, Provider } from "./Payments.ts"
import { payoutView } from "./Payouts.ts"
import { Problem } from "./Problem.ts"
import { refundView } from "./Refunds.ts"

export const FlaggedKind = Schema.Literals(["charge", "refund", "payout"]).annotate({ identifier: "FlaggedKind" })
export type FlaggedKind = typeof FlaggedKind.Type

const shown = {
  kind: FlaggedKind,
  id: Schema.String,
  userId: UserId,
  provider: Provider,
  providerReference: Schema.NullOr(Schema.String),
  /** What is booked for it, or would be. */
  amount: Amount,
  currency: Currency,
  status: Schema.Union([PaymentStatus, Schema.Literals(["pending", "pending_approval", "paid"])]),
  flag: Schema.NullOr(Schema.Union([Flag, OutgoingFlag])),
  decision: Schema.NullOr(FlagDecision),
  createdAt: Schema.DateTimeUtcFromString
}
/** A payment, refund or payout that is left alone until a person decides: `decision` is null until then. */
export const Flagged = Schema.Struct(shown).annotate({ identifier: "Flagged" })
export type Flagged = typeof Flagged.Type

/** What the provider has, asked now. `livemode` is said of charges only. */
export const ProviderSays = Schema.Struct({
  reference: Schema.String,
  status: Schema.String,
  amount: SignedAmount,
  currency: Schema.String,
  livemode: Schema.NullOr(Schema.Boolean)
}).annotate({ identifier: "ProviderSays" })
export type ProviderSays = typeof ProviderSays.Type

/** The same with what the provider says; null: it has nothing of ours. */
export const FlaggedNow = Schema.Struct({ ...shown, says: Schema.NullOr(ProviderSays) })
  .annotate({ identifier: "FlaggedNow" })
export type FlaggedNow = typeof FlaggedNow.Type

export const flaggedQuery = { ...pageQuery, kind: Schema.optionalKey(FlaggedKind) }

/**
 * `settle`: it is what the provider says, which is asked again. `release`: it is not to be paid; that is refused while the provider
 * pays it or has paid it.
 */
export const FlagVerdict = Schema.Struct({
  decision: FlagDecision,
  reason: Schema.String.check(Schema.isPattern(/^\P{C}{3,280}$/u))
}).annotate({ identifier: "FlagVerdict" })
export type FlagVerdict = typeof FlagVerdict.Type

export class FlagNotDecidable extends Problem<FlagNotDecidable>()("FlagNotDecidable", {
  type: "/problems/flag-not-decidable",
  status: 409,
  title: "It cannot be decided so"
}, { code: Schema.tag("FlagNotDecidable") }) {}

export const flaggedCharge = (payment: Payment): Flagged => ({
  kind: "charge",
  id: payment.id,
  userId: payment.userId,
  provider: payment.provider,
  providerReference: Option.getOrNull(payment.providerReference),
  amount: payment.amount,
  currency: payment.currency,
  status: payment.status,
  flag: Option.getOrNull(payment.flag),
  decision: Option.getOrNull(payment.flagDecision),
  createdAt: payment.createdAt
})

export const flaggedOutgoing = (row: Outgoing): Flagged => ({
  kind: row.kind,
  id: row.id,
  userId: row.userId,
  provider: row.provider,
  providerReference: Option.getOrNull(row.providerReference),
  amount: bookedOf(row),
  currency: row.currency,
  status: Option.match(row.paymentId, {
    onNone: () => payoutView(row).status,
    onSome: (paymentId) => refundView(row, paymentId).status
  }),
  flag: Option.getOrNull(row.flag),
  decision: Option.getOrNull(row.flagDecision),
  createdAt: row.createdAt
})

interface Accepted {
  readonly amount: Amount
  readonly currency: Currency
}
const impossible = (says: string) => ({ _tag: "Impossible", says }) as const
type Impossible = ReturnType<typeof impossible>

const currencyOf = Schema.decodeUnknownOption(Currency)
const acceptedOf = (report: { readonly amount: bigint; readonly currency: string }): Option.Option<Accepted> =>
  Option.all({ amount: amountOf(report.amount), currency: currencyOf(report.currency) })

export type ChargeVerdict =
  | { readonly _tag: "Accept"; readonly accepted: Accepted }
  /** It ends without a credit: released, for good; settled, because it failed at the provider. */
  | { readonly _tag: "End" }
  | Impossible

/** What a decision on a flagged charge comes to. `currencies` are those that wallets may have here. */
export const decideCharge = (
  payment: Pick<Payment, "livemode">,
  decision: FlagDecision,
  report: ChargeReport | undefined,
  currencies: ReadonlyArray<Currency>
): ChargeVerdict => {
  if (decision === "release") return { _tag: "End" }
  if (report === undefined) return impossible("The provider has no charge of ours.")
  if (report.livemode !== payment.livemode) {
    return impossible("The provider's charge is of the other mode: that is no money.")
  }
  if (report.status === "failed" || report.status === "canceled") return { _tag: "End" }
  if (report.status !== "succeeded") return impossible(`The charge is ${report.status} at the provider.`)
  const accepted = acceptedOf(report)
  return Option.isSome(accepted) && currencies.includes(accepted.value.currency)
    ? { _tag: "Accept", accepted: accepted.value }
    : impossible(`No wallet here can be credited with ${report.amount} ${report.currency}.`)
}

export type OutgoingVerdict =
  /** It is what the provider says: from here on it goes its usual way. */
  | { readonly _tag: "Accept"; readonly accepted: Accepted }
  /** It ended here without being paid, and was paid: the wallet is debited now. */
  | { readonly _tag: "Revive"; readonly accepted: Accepted }
  /** The provider did not pay it, or has it back. */
  | { readonly _tag: "Fail" }
  /** Nothing was wrong, or is any more. */
  | { readonly _tag: "Clear" }
  /** The books stay as they are, for good. */
  | { readonly _tag: "Leave" }
  | Impossible

type Decided = Pick<
  Outgoing,
  "amount" | "currency" | "acceptedAmount" | "acceptedCurrency" | "status" | "flag" | "doneAt" | "settled"
>

const isEnded = ({ status }: Pick<Decided, "status">): boolean => status !== "processing" && status !== "done"

/** Whether the decision goes by what the provider has. Where it does not, it can be made while the provider is away. */
export const goesByReport = (row: Pick<Decided, "status" | "doneAt">, decision: FlagDecision): boolean =>
  !isEnded(row) || (decision === "settle" && Option.isNone(row.doneAt))

/** It ended here and its hold was released: what there is at the provider was not debited from anybody. */
const settleEnded = (report: OutgoingReport): OutgoingVerdict => {
  if (report.status === "failed") return { _tag: "Clear" }
  if (report.status === "moving") return impossible("The provider has not ended it yet.")
  const accepted = acceptedOf(report)
  return Option.isSome(accepted)
    ? { _tag: "Revive", accepted: accepted.value }
    : impossible(`There is no amount of ${report.amount} ${report.currency} here.`)
}

const settleGoing = (row: Decided, report: OutgoingReport): OutgoingVerdict => {
  if (report.status === "failed") return { _tag: "Fail" }
  const expected = expectedOf(row)
  if (report.amount === expected.amount && report.currency === expected.currency) return { _tag: "Clear" }
  const accepted = acceptedOf(report)
  if (Option.isNone(accepted)) return impossible(`There is no amount of ${report.amount} ${report.currency} here.`)
  const { amount, currency } = accepted.value
  const next = { ...row, acceptedAmount: Option.some(amount), acceptedCurrency: Option.some(currency) }
  return row.status === "done" && bookedOf(next) !== bookedOf(row)
    ? impossible(`${bookedOf(row)} were booked when it was paid; what differs now needs an adjustment.`)
    : { _tag: "Accept", accepted: accepted.value }
}

/**
 * What a decision on a flagged refund or payout comes to. Never paid and released both: what the provider pays, or has paid,
 * is not released; and what was released is debited again before it counts as paid.
 */
export const decideFlagged = (
  row: Decided,
  decision: FlagDecision,
  report: OutgoingReport | undefined
): OutgoingVerdict => {
  const isLost = !row.settled && Option.contains(row.flag, "hold_lost")
  if (isEnded(row) && Option.isSome(row.doneAt)) {
    // Paid, and failed later: what is left is to book it back, if it was booked at all.
    if (decision === "settle") return { _tag: "Clear" }
    return isLost ? { _tag: "Leave" } : impossible("It was given back; settle it, so that the ledger follows.")
  }
  if (decision === "settle") {
    if (report === undefined) return impossible("The provider has nothing that could be settled.")
    return isEnded(row) ? settleEnded(report) : settleGoing(row, report)
  }
  if (isEnded(row)) return { _tag: "Leave" }
  if (report?.status === "failed") return { _tag: "Fail" }
  if (row.status === "done") {
    return isLost ? { _tag: "Leave" } : impossible("It was paid, and the provider says nothing else.")
  }
  if (report === undefined) return impossible("The provider does not say what became of it.")
  return impossible(report.status === "done" ? "The provider has paid it." : "The provider may still pay it.")
}
