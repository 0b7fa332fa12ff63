import type { Answer, FakeRequest } from "./FakeServer.ts"
import { invalid, missing, pageOf, type Route } from "./StripeAnswers.ts"
import { type Account, newId, type Payout, type Refund, seconds, type StripeBook, type Transfer } from "./StripeBook.ts"
import { below, type Form, listed } from "./StripeForm.ts"
import { stripeSpec } from "./StripeSpec.ts"

const ok = (body: object): Answer => ({ status: 200, body })

const refundRoutes = (book: StripeBook): ReadonlyArray<Route> => {
  const show = (refund: Refund) => ({ object: "refund", ...refund })
  const create = (form: Form): Answer => {
    const intent = form.get("payment_intent")
    if (intent === undefined) {
      return invalid("parameter_missing", "One of the following params should be provided: charge or payment_intent.")
    }
    const session = [...book.sessions.values()].find((one) => one.intent === intent)
    if (session === undefined) return missing("payment_intent", intent)
    if (!session.paid) return invalid("", "This PaymentIntent does not have a successful charge to refund.")
    const left = session.amount - session.refunded
    const amount = Number(form.get("amount") ?? left)
    if (left === 0) return invalid("charge_already_refunded", "The charge has already been refunded.")
    if (amount > left) return invalid("", "The refund amount is greater than the unrefunded amount.", "amount")
    session.refunded += amount
    const refund: Refund = {
      id: newId("re"),
      created: seconds(),
      amount,
      currency: session.currency,
      payment_intent: intent,
      metadata: below(form, "metadata"),
      status: "succeeded",
      failure_reason: null
    }
    book.refunds.set(refund.id, refund)
    book.announce("refund.created", show(refund))
    return ok(show(refund))
  }
  const find = (_: Form, id: string): Answer => {
    const refund = book.refunds.get(id)
    return refund === undefined ? missing("refund", id) : ok(show(refund))
  }
  const list = (form: Form): Answer => pageOf(book.refunds.values(), form, "/v1/refunds", show)
  return [
    { method: "POST", pattern: /^\/v1\/refunds$/, parameters: stripeSpec.refund, act: create },
    { method: "GET", pattern: /^\/v1\/refunds$/, parameters: stripeSpec.refunds, act: list },
    { method: "GET", pattern: /^\/v1\/refunds\/(\w+)$/, parameters: stripeSpec.one, act: find }
  ]
}

const transferRoutes = (book: StripeBook): ReadonlyArray<Route> => {
  const show = (transfer: Transfer) => ({
    object: "transfer",
    ...transfer,
    livemode: book.livemode,
    reversed: transfer.amount_reversed === transfer.amount
  })
  const create = (form: Form): Answer => {
    const destination = form.get("destination") ?? ""
    const account = book.accounts.get(destination)
    if (account === undefined) return missing("destination", destination)
    const amount = Number(form.get("amount") ?? 0)
    const currency = form.get("currency") ?? ""
    account.balance.set(currency, (account.balance.get(currency) ?? 0) + amount)
    const transfer: Transfer = {
      id: newId("tr"),
      created: seconds(),
      amount,
      currency,
      destination,
      transfer_group: form.get("transfer_group") ?? null,
      metadata: below(form, "metadata"),
      amount_reversed: 0
    }
    book.transfers.set(transfer.id, transfer)
    return ok(show(transfer))
  }
  const reverse = (form: Form, id: string): Answer => {
    const transfer = book.transfers.get(id)
    if (transfer === undefined) return missing("transfer", id)
    const left = transfer.amount - transfer.amount_reversed
    const amount = Number(form.get("amount") ?? left)
    const balance = book.accounts.get(transfer.destination)?.balance
    const there = balance?.get(transfer.currency) ?? 0
    if (amount > left || left === 0) return invalid("", "The transfer has already been reversed.")
    if (amount > there) return invalid("balance_insufficient", "The account has too little for this reversal.")
    balance?.set(transfer.currency, there - amount)
    transfer.amount_reversed += amount
    return ok({ id: newId("trr"), object: "transfer_reversal", amount, currency: transfer.currency, transfer: id })
  }
  const find = (_: Form, id: string): Answer => {
    const transfer = book.transfers.get(id)
    return transfer === undefined ? missing("transfer", id) : ok(show(transfer))
  }
  const list = (form: Form): Answer => pageOf(book.transfers.values(), form, "/v1/transfers", show)
  return [
    { method: "POST", pattern: /^\/v1\/transfers$/, parameters: stripeSpec.transfer, act: create },
    { method: "GET", pattern: /^\/v1\/transfers$/, parameters: stripeSpec.transfers, act: list },
    { method: "GET", pattern: /^\/v1\/transfers\/(\w+)$/, parameters: stripeSpec.one, act: find },
    { method: "POST", pattern: /^\/v1\/transfers\/(\w+)\/reversals$/, parameters: stripeSpec.reversal, act: reverse }
  ]
}

const payoutRoutes = (book: StripeBook): ReadonlyArray<Route> => {
  const show = ({ account: _, ...payout }: Payout) => ({ object: "payout", ...payout, livemode: book.livemode })
  const accountOf = ({ headers }: FakeRequest): string => String(headers["stripe-account"] ?? "")
  const create = (form: Form, _: string, request: FakeRequest): Answer => {
    const account = book.accounts.get(accountOf(request))
    if (account === undefined) return invalid("", "Only connected accounts are known here: send Stripe-Account.")
    const amount = Number(form.get("amount"))
    const currency = form.get("currency") ?? ""
    const there = account.balance.get(currency) ?? 0
    if (amount > there) return invalid("balance_insufficient", "You have insufficient funds in your Stripe account.")
    account.balance.set(currency, there - amount)
    const payout: Payout = {
      id: newId("po"),
      created: seconds(),
      amount,
      currency,
      account: account.id,
      metadata: below(form, "metadata"),
      status: "pending",
      failure_code: null
    }
    book.payouts.set(payout.id, payout)
    book.announce("payout.created", show(payout), account.id)
    book.begin(payout)
    return ok(show(payout))
  }
  const find = (_: Form, id: string, request: FakeRequest): Answer => {
    const payout = book.payouts.get(id)
    return payout === undefined || payout.account !== accountOf(request) ? missing("payout", id) : ok(show(payout))
  }
  const list = (form: Form, _: string, request: FakeRequest): Answer => {
    const own = [...book.payouts.values()].filter((payout) => payout.account === accountOf(request))
    return pageOf(own, form, "/v1/payouts", show)
  }
  return [
    { method: "POST", pattern: /^\/v1\/payouts$/, parameters: stripeSpec.payout, act: create },
    { method: "GET", pattern: /^\/v1\/payouts$/, parameters: stripeSpec.payouts, act: list },
    { method: "GET", pattern: /^\/v1\/payouts\/(\w+)$/, parameters: stripeSpec.one, act: find }
  ]
}

/** Refunds, connected accounts, transfers to them, payouts from them, and disputes. */
export const movementRoutes = (book: StripeBook): ReadonlyArray<Route> => {
  const token = (form: Form): Answer => {
    const number = form.get("bank_account[account_number]")
    if (number === undefined || !form.has("bank_account[country]")) {
      return invalid("parameter_missing", "Missing required param: bank_account.", "bank_account")
    }
    const id = newId("btok")
    book.tokens.set(id, number)
    return ok({ id, object: "token", type: "bank_account", created: seconds(), livemode: book.livemode, used: false })
  }
  const account = (form: Form): Answer => {
    const bank = form.get("external_account")
    const accountNumber = book.tokens.get(bank ?? "")
    if (bank !== undefined && accountNumber === undefined) return missing("token", bank)
    const made: Account = {
      id: newId("acct"),
      created: seconds(),
      accountNumber: accountNumber ?? "",
      metadata: below(form, "metadata"),
      balance: new Map()
    }
    if (form.get("type") === "custom" && !form.has("country")) {
      return invalid("parameter_missing", "Missing required param: country.", "country")
    }
    book.tokens.delete(bank ?? "")
    book.accounts.set(made.id, made)
    const { accountNumber: _, balance: __, ...shown } = made
    return ok({ object: "account", ...shown, type: form.get("type") ?? "standard" })
  }
  const dispute = (form: Form, id: string): Answer => {
    const found = book.disputes.get(id)
    const expanded = listed(form, "expand").includes("payment_intent")
    return found === undefined ? missing("dispute", id) : ok(book.disputeOf(found, expanded))
  }
  const disputeList = (form: Form): Answer => {
    const expanded = listed(form, "expand").includes("data.payment_intent")
    return pageOf(book.disputes.values(), form, "/v1/disputes", (row) => book.disputeOf(row, expanded))
  }
  const intent = (_: Form, id: string): Answer => {
    const session = [...book.sessions.values()].find((one) => one.intent === id)
    return session === undefined ? missing("payment_intent", id) : ok(book.intentOf(session))
  }
  return [
    ...refundRoutes(book),
    ...transferRoutes(book),
    ...payoutRoutes(book),
    { method: "POST", pattern: /^\/v1\/tokens$/, parameters: stripeSpec.token, act: token },
    { method: "POST", pattern: /^\/v1\/accounts$/, parameters: stripeSpec.account, act: account },
    { method: "GET", pattern: /^\/v1\/disputes$/, parameters: stripeSpec.disputes, act: disputeList },
    { method: "GET", pattern: /^\/v1\/disputes\/(\w+)$/, parameters: stripeSpec.one, act: dispute },
    { method: "GET", pattern: /^\/v1\/payment_intents\/(\w+)$/, parameters: stripeSpec.one, act: intent }
  ]
}
