import { Option, Schema } from "effect"
import type { Amount, Currency } from "./Money.ts"

/** Why money that a provider moved was not booked. A person decides; nothing else moves it. */
export const OutFlag = Schema.Literals(["amount_mismatch", "currency_mismatch", "done_after_failure"])
export type OutFlag = typeof OutFlag.Type

/** How far a refund or payout is: held and on its way, gone, or back. */
export type Stage = "pending" | "done" | "failed"

/** Money on its way out of a wallet. What was asked never changes. */
export interface MoneyOut {
  readonly stage: Stage
  readonly amount: Amount
  readonly currency: Currency
  readonly flag: Option.Option<OutFlag>
}

/** What the provider says of it, asked directly over an authenticated connection. */
export interface OutReport {
  readonly stage: Stage
  readonly amount: bigint
  /** ISO 4217 in upper case; may be one that Midnight does not know. */
  readonly currency: string
}

/** What a report means: nothing, capture the hold, void it, give back what was captured, or leave it to a person. */
export type OutDecision =
  | { readonly _tag: "Keep" }
  | { readonly _tag: "Settle" }
  | { readonly _tag: "Release" }
  | { readonly _tag: "BookBack" }
  | { readonly _tag: "Flag"; readonly flag: OutFlag }

const keep: OutDecision = { _tag: "Keep" }

/**
 * The state machine of money that leaves. Total and pure: in whatever order and number reports come, it is captured at most
 * once, never on a report that disagrees with what was asked, and given back at most once. A provider that pays after it
 * said that it had failed has money of ours that the wallet has too, which no rule can settle.
 */
export const decide = (out: MoneyOut, report: OutReport): OutDecision => {
  if (Option.isSome(out.flag) || report.stage === "pending") return keep
  if (report.stage === "failed") {
    return out.stage === "pending" ? { _tag: "Release" } : out.stage === "done" ? { _tag: "BookBack" } : keep
  }
  if (out.stage === "done") return keep
  if (out.stage === "failed") return { _tag: "Flag", flag: "done_after_failure" }
  if (report.currency !== out.currency) return { _tag: "Flag", flag: "currency_mismatch" }
  return report.amount === out.amount ? { _tag: "Settle" } : { _tag: "Flag", flag: "amount_mismatch" }
}
