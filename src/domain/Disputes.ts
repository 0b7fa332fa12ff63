import { Option, Result, Schema } from "effect"
import type { DisputeId, PaymentId, UserId } from "./Ids.ts"
import { Amount, amountOf, type Currency } from "./Money.ts"
import type { Provider } from "./Payments.ts"

export type DisputeStatus = "open" | "won" | "lost"

/** Why nothing is held or taken for one: what is disputed there is not a payment's money here. A person decides. */
export const DisputeFlag = Schema.Literals(["amount_mismatch", "currency_mismatch"])
export type DisputeFlag = typeof DisputeFlag.Type

/** A payer wants a payment back; the provider decides. */
export interface Dispute {
  readonly id: DisputeId
  readonly provider: Provider
  readonly reference: string
  readonly paymentId: PaymentId
  readonly userId: UserId
  /** As it was first heard, which is what is held; of one that does not fit, its payment's. */
  readonly amount: Amount
  readonly currency: Currency
  readonly status: DisputeStatus
  /** What a lost one takes. */
  readonly decidedAmount: Option.Option<Amount>
  readonly flag: Option.Option<DisputeFlag>
  readonly settled: boolean
}

/** The disputed amount, where it is some or all of the payment's money. */
export const disputedOf = (
  payment: { readonly amount: Amount; readonly currency: Currency },
  report: { readonly amount: bigint; readonly currency: string }
): Result.Result<Amount, DisputeFlag> => {
  if (report.currency !== payment.currency) return Result.fail("currency_mismatch")
  const amount = amountOf(report.amount)
  return Option.isSome(amount) && amount.value <= payment.amount
    ? Result.succeed(amount.value)
    : Result.fail("amount_mismatch")
}

/** The first end stays: reports come late and out of order. */
export const disputeMoves = (from: DisputeStatus, to: DisputeStatus): boolean => from === "open" && to !== "open"

/**
 * The amount in halves: each part is half of what is left, the last is 1. Whatever a wallet has, holding the parts that it
 * covers, the largest first, leaves less than half of it free each time, and in the end nothing. The parts follow from the
 * amount alone, so that trying again, also by several at once, tries the same ones.
 */
export const partsOf = (amount: Amount): ReadonlyArray<Amount> => {
  const parts: Array<Amount> = []
  for (let left: bigint = amount; left > 0n;) {
    const part = (left + 1n) / 2n
    parts.push(Amount.make(part))
    left -= part
  }
  return parts
}

/**
 * What a lost dispute takes of each part: as much as was decided, and no more. What was decided above the amount that was
 * held is one part more, which nothing is held for.
 */
export const takenOf = (
  { amount, decidedAmount }: Pick<Dispute, "amount" | "decidedAmount">
): ReadonlyArray<Amount> => {
  const taken: Array<Amount> = []
  let left: bigint = Option.getOrElse(decidedAmount, () => amount)
  for (const part of partsOf(amount)) {
    if (left <= 0n) return taken
    taken.push(Amount.make(part < left ? part : left))
    left -= part
  }
  return left > 0n ? [...taken, Amount.make(left)] : taken
}

/** The permanent key of a part's hold, and of the posting that takes it for the provider. */
export const disputeKey = (id: DisputeId, part: number): string => `dispute:${id}:${part}`
