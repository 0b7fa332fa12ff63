import { createHmac } from "node:crypto"
import type { Outcome } from "./Checkout.ts"
import { Deliveries } from "./Deliveries.ts"
import type { SettleKind } from "./FakeServer.ts"
import type { Faults } from "./Switches.ts"

export interface Transaction {
  readonly id: number
  readonly reference: string
  readonly accessCode: string
  readonly amount: number
  readonly currency: string
  readonly email: string
  readonly metadata: unknown
  readonly callbackUrl: string | undefined
  readonly createdAt: string
  status: "abandoned" | "success" | "failed"
  refunded: number
}
export interface Refund {
  readonly id: number
  readonly transaction: Transaction
  readonly amount: number
  readonly merchant_note: string | null
  readonly createdAt: string
  status: "pending" | "processing" | "processed" | "failed" | "needs-attention"
}
export interface Recipient {
  readonly id: number
  readonly recipient_code: string
  readonly type: string
  readonly account_number: string
  readonly bank_code: string
  readonly currency: string
}
export interface Transfer {
  readonly id: number
  readonly reference: string
  readonly transfer_code: string
  readonly amount: number
  readonly currency: string
  readonly recipient: string
  readonly reason: string | null
  readonly createdAt: string
  status: "otp" | "pending" | "success" | "failed" | "reversed"
}
export interface Dispute {
  readonly id: number
  readonly transaction: Transaction
  readonly createdAt: string
  resolution: "merchant-accepted" | "declined" | null
  /** What the merchant accepted to give back; nothing is said of it while the dispute is open. */
  refundAmount: number | null
}

export interface PaystackFakeOptions {
  readonly secretKey: string
  readonly webhookUrl: string | undefined
  /** Whether a transfer waits for a one-time password, as Paystack's do until that is switched off. */
  readonly otp?: boolean
}

/** What the fake Paystack knows, and what happens there outside its API. Its shapes drift as the real ones do. */
export class PaystackBook {
  readonly transactions = new Map<string, Transaction>()
  readonly refunds = new Map<string, Refund>()
  readonly recipients = new Map<string, Recipient>()
  readonly transfers = new Map<string, Transfer>()
  readonly disputes = new Map<string, Dispute>()
  readonly deliveries: Deliveries
  readonly faults: Faults
  readonly domain: "live" | "test"
  readonly otp: boolean
  /** Whether the list does not show refunds yet. */
  areRefundsLate = false
  #lastId = 1_000_000

  constructor({ otp, secretKey, webhookUrl }: PaystackFakeOptions, faults: Faults) {
    this.faults = faults
    this.otp = otp ?? false
    this.domain = secretKey.startsWith("sk_live_") ? "live" : "test"
    const sign = (body: string) => ({
      "x-paystack-signature": createHmac("sha512", secretKey).update(body).digest("hex")
    })
    this.deliveries = new Deliveries(webhookUrl, sign, faults)
  }

  nextId(): number {
    return ++this.#lastId
  }

  /** What the payer does. An abandoned page changes nothing: it can be come back to. */
  pay(transaction: Transaction, outcome: Outcome): void {
    if (transaction.status === "success" || outcome === "abandon") return
    transaction.status = outcome === "succeed" ? "success" : "failed"
    // There is no event for a charge that failed.
    if (outcome === "succeed") this.#send("charge.success", this.transactionOf(transaction))
  }

  /** What Paystack keeps of a payment. */
  feeOf({ amount }: Transaction): number {
    return Math.ceil(amount * 0.015)
  }

  transactionOf(transaction: Transaction): object {
    const { accessCode: _, callbackUrl: __, createdAt, email, metadata, refunded: ___, ...shown } = transaction
    const paid = transaction.status === "success"
    return {
      ...shown,
      domain: this.domain,
      gateway_response: paid ? "Successful" : "The transaction was not completed",
      channel: "card",
      fees: paid ? this.feeOf(transaction) : null,
      metadata: metadata ?? (transaction.id % 2 === 0 ? "" : 0),
      customer: { id: 1, email },
      requested_amount: transaction.amount,
      paid_at: paid ? createdAt : null,
      ...(transaction.id % 2 === 0 ? { created_at: createdAt } : { createdAt, created_at: createdAt })
    }
  }

  refundOf(refund: Refund): object {
    const { amount, createdAt, id, merchant_note, status, transaction } = refund
    return {
      id,
      integration: 100,
      domain: this.domain,
      transaction: id % 2 === 0 ? transaction.id : { id: transaction.id, reference: transaction.reference },
      transaction_reference: transaction.reference,
      amount: id % 2 === 0 ? String(amount) : amount,
      currency: transaction.currency,
      status,
      merchant_note,
      customer_note: null,
      ...(id % 2 === 0 ? { createdAt } : { created_at: createdAt })
    }
  }

  transferOf(transfer: Transfer): object {
    const { createdAt, ...shown } = transfer
    return { ...shown, domain: this.domain, integration: 100, source: "balance", createdAt, updatedAt: createdAt }
  }

  disputeOf({ createdAt, id, refundAmount, resolution, transaction }: Dispute): object {
    return {
      id,
      domain: this.domain,
      status: resolution === null ? "awaiting-merchant-feedback" : "resolved",
      resolution,
      refund_amount: refundAmount,
      currency: transaction.currency,
      transaction: this.transactionOf(transaction),
      createdAt
    }
  }

  /** Once something waits for a bank. */
  begin(kind: SettleKind, id: string, outcome: string): void {
    const { settleAfterMillis } = this.faults.switches
    if (settleAfterMillis > 0) setTimeout(() => this.settle(kind, id, outcome), settleAfterMillis).unref()
  }

  settle(kind: SettleKind, id: string, outcome: string): boolean {
    if (kind === "refund") return this.#settleRefund(this.refunds.get(id), outcome)
    if (kind === "payout") return this.#settleTransfer(this.transfers.get(id), outcome)
    const transaction = this.transactions.get(id)
    if (outcome === "opened" && transaction?.status === "success") {
      const dispute: Dispute = {
        id: this.nextId(),
        transaction,
        createdAt: new Date().toISOString(),
        resolution: null,
        refundAmount: null
      }
      this.disputes.set(String(dispute.id), dispute)
      this.#send("charge.dispute.create", this.disputeOf(dispute))
      return true
    }
    const dispute = this.disputes.get(id)
    if (dispute?.resolution !== null || !["won", "lost", "lost_half"].includes(outcome)) return false
    dispute.resolution = outcome === "won" ? "declined" : "merchant-accepted"
    const { amount } = dispute.transaction
    dispute.refundAmount = outcome === "won" ? 0 : outcome === "lost" ? amount : Math.floor(amount / 2)
    this.#send("charge.dispute.resolve", this.disputeOf(dispute))
    return true
  }

  #settleRefund(refund: Refund | undefined, outcome: string): boolean {
    const next = (["processing", "processed", "failed", "needs-attention"] as const).find((one) => one === outcome)
    if (refund === undefined || next === undefined || refund.status === "processed" || refund.status === "failed") {
      return false
    }
    refund.status = next
    if (next === "failed") refund.transaction.refunded -= refund.amount
    this.announceRefund(refund)
    return true
  }

  announceRefund(refund: Refund): void {
    const { amount, status, transaction } = refund
    const { currency, reference } = transaction
    // An event's refund has another shape than the API's, and no id.
    this.#send(`refund.${status}`, {
      status,
      transaction_reference: reference,
      refund_reference: null,
      amount: String(amount),
      currency,
      processor: "instant-transfer",
      integration: 100,
      domain: this.domain
    })
  }

  /** `reversed` also comes after success: the bank returned it. */
  #settleTransfer(transfer: Transfer | undefined, outcome: string): boolean {
    const next = (["success", "failed", "reversed"] as const).find((one) => one === outcome)
    if (transfer === undefined || next === undefined || transfer.status === next) return false
    const over = transfer.status === "failed" || transfer.status === "reversed"
    if (over || (transfer.status === "success" && next !== "reversed")) return false
    transfer.status = next
    this.#send(`transfer.${next}`, this.transferOf(transfer))
    return true
  }

  #send(event: string, data: object): void {
    this.deliveries.send({ event, data })
  }
}
