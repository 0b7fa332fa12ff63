import { Schema } from "effect"
import { TransferId, UserId } from "./Ids.ts"
import { Amount, Currency, maxAmount, SignedAmount } from "./Money.ts"
import { Problem } from "./Problem.ts"

const Reason = Schema.String.check(Schema.isMinLength(3), Schema.isMaxLength(280))
const largest = Number(maxAmount)

/** Corrects a wallet by hand: positive credits it, negative debits it, against the adjustments account. */
export const AdjustmentRequest = Schema.Struct({
  userId: UserId,
  amount: Schema.Int.check(
    Schema.isBetween({ minimum: -largest, maximum: largest }),
    Schema.makeFilter((n: number) => n !== 0 || "an integer other than 0")
  ),
  currency: Currency,
  reason: Reason
}).annotate({ identifier: "AdjustmentRequest" })
export type AdjustmentRequest = typeof AdjustmentRequest.Type

/** Gives a transfer back, in whole (no amount) or in part, and never more than it moved. */
export const ReversalRequest = Schema.Struct({ amount: Schema.optionalKey(Amount), reason: Reason })
  .annotate({ identifier: "ReversalRequest" })
export type ReversalRequest = typeof ReversalRequest.Type

/** An act of an administrator on the ledger, as the ledger itself keeps it: chained, and never changed. */
export const LedgerAct = Schema.Struct({
  id: TransferId,
  kind: Schema.Literals(["adjustment", "reversal"]),
  amount: SignedAmount,
  currency: Currency,
  reverses: Schema.NullOr(TransferId),
  reason: Schema.String,
  by: UserId,
  createdAt: Schema.DateTimeUtcFromString
}).annotate({ identifier: "LedgerAct" })
export type LedgerAct = typeof LedgerAct.Type

export const InvariantReport = Schema.Struct({
  clean: Schema.Boolean,
  accounts: Schema.Int,
  transfers: Schema.Int,
  entries: Schema.Int,
  head: Schema.NullOr(Schema.Struct({ link: Schema.Int, hash: Schema.String })),
  unchained: Schema.Int,
  findings: Schema.Array(
    Schema.Struct({ invariant: Schema.String, says: Schema.String, broken: Schema.Array(Schema.String) })
  )
}).annotate({ identifier: "InvariantReport" })

export class ReversalExceeded extends Problem<ReversalExceeded>()("ReversalExceeded", {
  type: "/problems/reversal-exceeded",
  status: 422,
  title: "No more can be given back than was moved"
}, { code: Schema.tag("ReversalExceeded"), available: SignedAmount }) {}

export class RangeReversed extends Problem<RangeReversed>()("RangeReversed", {
  type: "/problems/range-reversed",
  status: 400,
  title: "The range ends before it begins"
}, { code: Schema.tag("RangeReversed") }) {}
