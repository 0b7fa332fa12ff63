import { Schema } from "effect"
import { createHmac, randomBytes } from "node:crypto"
import type { Outcome } from "./Checkout.ts"
import { Deliveries } from "./Deliveries.ts"
import type { SettleKind } from "./FakeServer.ts"
import type { Faults } from "./Switches.ts"

export const seconds = (): number => Math.floor(Date.now() / 1_000)
export const newId = (prefix: string): string => `${prefix}_${randomBytes(12).toString("hex")}`

type Metadata = Readonly<Record<string, string>>

export interface Session {
  readonly id: string
  readonly created: number
  readonly amount: number
  readonly currency: string
  readonly client_reference_id: string | null
  readonly metadata: Metadata
  readonly intentMetadata: Metadata
  readonly success_url: string
  readonly cancel_url: string | null
  status: "open" | "complete" | "expired"
  paid: boolean
  intent: string | null
  refunded: number
}
export interface Refund {
  readonly id: string
  readonly created: number
  readonly amount: number
  readonly currency: string
  readonly payment_intent: string
  readonly metadata: Metadata
  status: "pending" | "succeeded" | "failed"
  failure_reason: string | null
}
export interface Transfer {
  readonly id: string
  readonly created: number
  readonly amount: number
  readonly currency: string
  readonly destination: string
  readonly transfer_group: string | null
  readonly metadata: Metadata
  amount_reversed: number
}
export interface Payout {
  readonly id: string
  readonly created: number
  readonly amount: number
  readonly currency: string
  readonly account: string
  readonly metadata: Metadata
  status: "pending" | "in_transit" | "paid" | "failed" | "canceled"
  failure_code: string | null
}
export interface Account {
  readonly id: string
  readonly created: number
  readonly accountNumber: string
  readonly metadata: Metadata
  /** What has been transferred to it and not been paid out, by currency. */
  readonly balance: Map<string, number>
}
export interface Dispute {
  readonly id: string
  readonly created: number
  readonly session: string
  readonly amount: number
  readonly currency: string
  status: "needs_response" | "won" | "lost"
}

export interface StripeFakeOptions {
  readonly secretKey: string
  readonly webhookSecret: string
  /** Signs what happens on connected accounts: Stripe has an endpoint of its own for those, with its own secret. */
  readonly connectWebhookSecret?: string
  readonly webhookUrl: string | undefined
}

/** Stripe's own test account numbers: their payouts fail, each for its reason. */
const failing: Readonly<Record<string, string>> = {
  "000111111113": "account_closed",
  "000111111116": "no_account",
  "000111111119": "insufficient_funds"
}

/** What the fake Stripe knows, and what happens there outside its API. */
export class StripeBook {
  readonly sessions = new Map<string, Session>()
  readonly refunds = new Map<string, Refund>()
  readonly transfers = new Map<string, Transfer>()
  readonly payouts = new Map<string, Payout>()
  readonly accounts = new Map<string, Account>()
  /** The account number behind each bank token, until the token is used. */
  readonly tokens = new Map<string, string>()
  readonly disputes = new Map<string, Dispute>()
  readonly deliveries: Deliveries
  readonly faults: Faults
  readonly livemode: boolean

  constructor(options: StripeFakeOptions, faults: Faults) {
    this.faults = faults
    this.livemode = options.secretKey.startsWith("sk_live_")
    const { connectWebhookSecret, webhookSecret, webhookUrl } = options
    const isConnected = Schema.is(Schema.fromJsonString(Schema.Struct({ account: Schema.String })))
    const sign = (body: string) => {
      const t = seconds()
      const secret = isConnected(body) ? connectWebhookSecret ?? webhookSecret : webhookSecret
      const v1 = createHmac("sha256", secret).update(`${t}.${body}`).digest("hex")
      return { "stripe-signature": `t=${t},v1=${v1}` }
    }
    this.deliveries = new Deliveries(webhookUrl, sign, faults)
  }

  announce(type: string, object: object, account?: string): void {
    this.deliveries.send({
      id: newId("evt"),
      object: "event",
      api_version: null,
      created: seconds(),
      livemode: this.livemode,
      pending_webhooks: 1,
      request: null,
      type,
      ...(account === undefined ? {} : { account }),
      data: { object }
    })
  }

  /** Stripe often makes the balance transaction, and with it the fee, up to an hour after the payment. */
  isFeeLate = false

  /** What Stripe keeps of a payment. */
  feeOf({ amount }: Session): number {
    return Math.round(amount * 0.029) + 30
  }

  /** What a payer does on the page. A declined card leaves the session open, as Stripe's page does. */
  pay(session: Session, outcome: Outcome, shown: () => object): void {
    if (session.status !== "open") return
    session.intent ??= newId("pi")
    if (outcome === "succeed") {
      session.status = "complete"
      session.paid = true
      this.announce("payment_intent.succeeded", this.intentOf(session))
      this.announce("checkout.session.completed", shown())
    } else if (outcome === "fail") {
      // A bank debit that the bank turned down later: complete, and not paid.
      session.status = "complete"
      this.announce("checkout.session.completed", shown())
      this.announce("checkout.session.async_payment_failed", shown())
    } else this.expire(session, shown)
  }

  expire(session: Session, shown: () => object): void {
    session.status = "expired"
    this.announce("checkout.session.expired", shown())
  }

  intentOf(session: Session): { readonly id: string; readonly [key: string]: unknown } {
    return {
      id: session.intent ?? "",
      object: "payment_intent",
      amount: session.amount,
      amount_received: session.paid ? session.amount : 0,
      currency: session.currency,
      created: session.created,
      livemode: this.livemode,
      metadata: session.intentMetadata,
      status: session.paid ? "succeeded" : session.status === "expired" ? "canceled" : "requires_payment_method",
      latest_charge: session.paid ? `ch_${session.intent?.slice(3)}` : null
    }
  }

  /** Pays out what waits: at once by itself when the switches say so. */
  begin(payout: Payout): void {
    const { settleAfterMillis } = this.faults.switches
    if (settleAfterMillis === 0) return
    const code = failing[this.accounts.get(payout.account)?.accountNumber ?? ""]
    setTimeout(() => this.settle("payout", payout.id, code ?? "paid"), settleAfterMillis).unref()
  }

  settle(kind: SettleKind, id: string, outcome: string): boolean {
    if (kind === "payout") return this.#settlePayout(this.payouts.get(id), outcome)
    if (kind === "refund") {
      const refund = this.refunds.get(id)
      if (refund === undefined || refund.status === "failed" || outcome !== "failed") return false
      refund.status = "failed"
      refund.failure_reason = "expired_or_canceled_card"
      this.announce("refund.failed", { object: "refund", ...refund })
      return true
    }
    return this.#dispute(id, outcome)
  }

  /** Also a payout that was paid may fail later: banks return money. */
  #settlePayout(payout: Payout | undefined, outcome: string): boolean {
    if (payout === undefined || payout.status === "failed" || payout.status === outcome) return false
    const { account: id, ...shown } = payout
    if (outcome === "paid" || outcome === "in_transit") payout.status = outcome
    else {
      payout.status = "failed"
      payout.failure_code = outcome === "failed" ? "could_not_process" : outcome
      const balance = this.accounts.get(id)?.balance
      balance?.set(payout.currency, (balance.get(payout.currency) ?? 0) + payout.amount)
    }
    const { failure_code, status } = payout
    const type = status === "in_transit" ? "payout.updated" : `payout.${status}`
    this.announce(type, { object: "payout", ...shown, status, failure_code }, id)
    return true
  }

  /** `opened`, also `opened_above` its amount or `opened_in_gbp`, takes a session's id; `won` and `lost` take the dispute's. */
  #dispute(id: string, outcome: string): boolean {
    const session = this.sessions.get(id)
    if (outcome.startsWith("opened") && session?.paid === true) {
      const amount = session.amount + (outcome === "opened_above" ? 1 : 0)
      const currency = outcome === "opened_in_gbp" ? "gbp" : session.currency
      const made = { id: newId("dp"), created: seconds(), session: id }
      const dispute: Dispute = { ...made, amount, currency, status: "needs_response" }
      this.disputes.set(dispute.id, dispute)
      this.announce("charge.dispute.created", this.disputeOf(dispute, false))
      return true
    }
    const dispute = this.disputes.get(id)
    if (dispute?.status !== "needs_response" || (outcome !== "won" && outcome !== "lost")) return false
    dispute.status = outcome
    this.announce("charge.dispute.closed", this.disputeOf(dispute, false))
    return true
  }

  disputeOf({ amount, created, currency, id, session: sessionId, status }: Dispute, expanded: boolean): object {
    const session = this.sessions.get(sessionId)
    return {
      id,
      object: "dispute",
      created,
      amount,
      currency,
      status,
      metadata: {},
      livemode: this.livemode,
      payment_intent: expanded && session !== undefined ? this.intentOf(session) : session?.intent ?? null
    }
  }
}
