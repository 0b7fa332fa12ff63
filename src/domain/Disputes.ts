import type { DisputeId, PaymentId, UserId } from "./Ids.ts"
import { Amount, type Currency } from "./Money.ts"
import type { Provider } from "./Payments.ts"

export type DisputeStatus = "open" | "won" | "lost"

/** A payer wants a payment back; the provider decides. */
export interface Dispute {
  readonly id: DisputeId
  readonly provider: Provider
  readonly reference: string
  readonly paymentId: PaymentId
  readonly userId: UserId
  readonly amount: Amount
  readonly currency: Currency
  readonly status: DisputeStatus
  readonly settled: boolean
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

/** The permanent key of a part's hold, and of the posting that takes it for the provider. */
export const disputeKey = (id: DisputeId, part: number): string => `dispute:${id}:${part}`
