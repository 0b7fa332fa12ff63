import type { PaystackBook } from "../../../src/layers/fakes/PaystackBook.ts"
import type { StripeBook } from "../../../src/layers/fakes/StripeBook.ts"

/**
 * What the fakes themselves hold, read from their memory. None of it goes through an adapter, a list or a route of the
 * program that is judged: an adapter that read its provider wrong would otherwise agree with itself.
 */
export interface Books {
  readonly stripe: StripeBook
  readonly paystack: PaystackBook
}

/** One charge, refund or payout at a provider. */
export interface Held {
  /** Ours, as the provider was told it; undefined when nobody told it. */
  readonly id: string | undefined
  readonly amount: number
  readonly currency: string
  /** What our row has to say of it in the end. */
  readonly ends: ReadonlyArray<string>
  readonly isDone: boolean
  /** What the provider keeps of a charge that was paid. */
  readonly fee?: number
  /** Wrong at the provider already, whatever we have booked. */
  readonly wrong?: string
}

const uuid = (text: string | null | undefined) => /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/.exec(text ?? "")?.[0]

export const charges = ({ paystack, stripe }: Books): ReadonlyArray<Held> => [
  ...[...stripe.sessions.values()].map((session): Held => ({
    id: uuid(session.client_reference_id),
    amount: session.amount,
    currency: session.currency.toUpperCase(),
    ends: session.paid
      ? ["succeeded"]
      : session.status === "open"
      ? ["requires_action"]
      : [session.status === "expired" ? "canceled" : "failed"],
    isDone: session.paid,
    fee: stripe.feeOf(session)
  })),
  ...[...paystack.transactions.values()].map((transaction): Held => ({
    id: uuid(transaction.reference),
    amount: transaction.amount,
    currency: transaction.currency,
    // Paystack calls a checkout abandoned from its first second: one whose address was lost is given up here.
    ends: transaction.status === "success"
      ? ["succeeded"]
      : transaction.status === "failed"
      ? ["failed"]
      : ["requires_action", "canceled"],
    isDone: transaction.status === "success",
    fee: paystack.feeOf(transaction)
  }))
]

const ends = (isDone: boolean, isOver: boolean) => [isDone ? "done" : isOver ? "failed" : "processing"]

export const refunds = ({ paystack, stripe }: Books): ReadonlyArray<Held> => [
  ...[...stripe.refunds.values()].map(({ amount, currency, metadata, status }): Held => ({
    id: uuid(metadata["refund_id"]),
    amount,
    currency: currency.toUpperCase(),
    ends: ends(status === "succeeded", status === "failed"),
    isDone: status === "succeeded"
  })),
  ...[...paystack.refunds.values()].map(({ amount, merchant_note, status, transaction }): Held => ({
    id: uuid(merchant_note),
    amount,
    currency: transaction.currency,
    ends: ends(status === "processed", status === "failed"),
    isDone: status === "processed"
  }))
]

/** Stripe's are a transfer and a payout from where it went; a transfer whose payout came to nothing must have been taken back. */
export const payouts = ({ paystack, stripe }: Books): ReadonlyArray<Held> => [
  ...[...stripe.transfers.values()].map((transfer): Held => {
    const own = [...stripe.payouts.values()].filter(({ account }) => account === transfer.destination)
    const isDone = own.some(({ status }) => status === "paid")
    const isBack = transfer.amount_reversed === transfer.amount
    const wrong = own.length > 1
      ? `has ${own.length} payouts`
      : isDone === isBack
      ? `is ${isDone ? "paid and taken back" : "neither paid nor taken back"}`
      : undefined
    return {
      id: uuid(transfer.metadata["payout_id"]),
      amount: transfer.amount,
      currency: transfer.currency.toUpperCase(),
      ends: ends(isDone, isBack),
      isDone,
      ...(wrong === undefined ? {} : { wrong })
    }
  }),
  ...[...paystack.transfers.values()].map(({ amount, currency, reference, status }): Held => ({
    id: uuid(reference),
    amount,
    currency,
    ends: ends(status === "success", status === "failed" || status === "reversed"),
    isDone: status === "success"
  }))
]
