import { type DateTime, Option, Schema } from "effect"
import type { OutgoingId, PaymentId, UserId } from "./Ids.ts"
import type { Amount, Currency } from "./Money.ts"
import type { Provider } from "./Payments.ts"

/**
 * Where money on its way out stands. `reserving`: recorded, its hold not yet taken; `refused`: the wallet did not cover it.
 * Nobody is shown these two. `done` is `succeeded` for a refund and `paid` for a payout.
 */
export const OutgoingStatus = Schema.Literals([
  "reserving",
  "refused",
  "pending_approval",
  "processing",
  "done",
  "failed",
  "canceled"
])
export type OutgoingStatus = typeof OutgoingStatus.Type

/** Why one is left alone although the provider says something about it. A person decides. */
export const OutgoingFlag = Schema.Literals([
  "amount_mismatch",
  "currency_mismatch",
  "done_after_end",
  "balance_limit",
  "hold_lost"
])
export type OutgoingFlag = typeof OutgoingFlag.Type

/** What a person decided about a flag: it is what the provider says, or it is left as it is and never moved again. */
export const FlagDecision = Schema.Literals(["settle", "release"]).annotate({ identifier: "FlagDecision" })
export type FlagDecision = typeof FlagDecision.Type

/** Money that leaves a wallet through a provider: a refund of a payment, or a payout. */
export interface Outgoing {
  readonly id: OutgoingId
  readonly kind: "refund" | "payout"
  readonly userId: UserId
  /** The payment that a refund is of. */
  readonly paymentId: Option.Option<PaymentId>
  readonly provider: Provider
  readonly amount: Amount
  readonly currency: Currency
  readonly status: OutgoingStatus
  readonly needsApproval: boolean
  readonly reason: Option.Option<string>
  readonly destinationType: Option.Option<"bank" | "mobile_money">
  readonly last4: Option.Option<string>
  /** The destination, sealed. */
  readonly destination: Option.Option<Uint8Array>
  /** What the provider calls the destination. */
  readonly recipient: Option.Option<string>
  readonly providerReference: Option.Option<string>
  /** A person must release it at the provider. */
  readonly needsAction: boolean
  readonly failureReason: Option.Option<string>
  readonly flag: Option.Option<OutgoingFlag>
  readonly flagDecision: Option.Option<FlagDecision>
  /** What a person accepted that the provider paid or pays, where that is not what was asked. */
  readonly acceptedAmount: Option.Option<Amount>
  readonly acceptedCurrency: Option.Option<Currency>
  /** When the provider was first asked to pay; from then on it cannot be canceled. */
  readonly begunAt: Option.Option<DateTime.Utc>
  /** When the provider said that it paid, whatever came after. */
  readonly doneAt: Option.Option<DateTime.Utc>
  /** The ledger has done what the status says. */
  readonly settled: boolean
  readonly createdAt: DateTime.Utc
}

/** What the provider says about one. */
export interface OutgoingReport {
  readonly status: "moving" | "done" | "failed"
  readonly amount: bigint
  readonly currency: string
  readonly failureReason: Option.Option<string>
}

export type OutgoingDecision =
  | { readonly _tag: "Keep" }
  | { readonly _tag: "Complete" }
  | { readonly _tag: "Fail" }
  | { readonly _tag: "Flag"; readonly flag: OutgoingFlag }

type Accepted = Pick<Outgoing, "amount" | "currency" | "acceptedAmount" | "acceptedCurrency">
type Standing = Accepted & Pick<Outgoing, "status" | "flag" | "doneAt">

/** What the provider must report for it to move. */
export const expectedOf = (row: Accepted): { readonly amount: bigint; readonly currency: string } => ({
  amount: Option.getOrElse(row.acceptedAmount, () => row.amount),
  currency: Option.getOrElse(row.acceptedCurrency, () => row.currency)
})

/**
 * What the ledger moves for it: what the provider paid, and never more than was asked for and held. What was paid in another
 * currency, or above that, stays with the provider's account until an adjustment says who bears it.
 */
export const bookedOf = (row: Accepted): Amount =>
  Option.isSome(row.acceptedAmount) && Option.contains(row.acceptedCurrency, row.currency)
    && row.acceptedAmount.value < row.amount
    ? row.acceptedAmount.value
    : row.amount

/**
 * The state machine of money on its way out. Total and pure: whatever is reported, in any order and number, it is paid at
 * most once, given back at most once and only after it was paid, and never moved by a report of another amount.
 */
export const decideOutgoing = (row: Standing, report: OutgoingReport): OutgoingDecision => {
  if (Option.isSome(row.flag) || report.status === "moving") return { _tag: "Keep" }
  const expected = expectedOf(row)
  if (report.currency !== expected.currency) return { _tag: "Flag", flag: "currency_mismatch" }
  if (report.amount !== expected.amount) return { _tag: "Flag", flag: "amount_mismatch" }
  if (row.status === "processing") return { _tag: report.status === "done" ? "Complete" : "Fail" }
  if (row.status === "done") return { _tag: report.status === "failed" ? "Fail" : "Keep" }
  // It ended here without having been paid, and was paid all the same: money that nobody was debited for.
  return report.status === "done" && Option.isNone(row.doneAt)
    ? { _tag: "Flag", flag: "done_after_end" }
    : { _tag: "Keep" }
}

/**
 * What the ledger has to do for a row, in this order; every step is keyed for good, so doing all of them again changes
 * nothing. `capture`: the hold goes to the provider. `give_back`: what was captured returns. `release`: the hold ends.
 */
export type LedgerStep = "capture" | "give_back" | "release"

export const stepsOf = (row: Accepted & Pick<Outgoing, "status" | "doneAt">): ReadonlyArray<LedgerStep> => {
  const { doneAt, status } = row
  const captured = bookedOf(row) < row.amount ? ["capture", "release"] as const : ["capture"] as const
  if (status === "done") return captured
  if (status === "failed") return Option.isSome(doneAt) ? [...captured, "give_back"] : ["release"]
  return status === "canceled" || status === "refused" ? ["release"] : []
}

/** The permanent key of the hold, and of the posting that captures it. */
export const outgoingKey = ({ id, kind }: Pick<Outgoing, "id" | "kind">): string => `${kind}:${id}`
export const givenBackKey = (row: Pick<Outgoing, "id" | "kind">): string => `${outgoingKey(row)}:returned`
