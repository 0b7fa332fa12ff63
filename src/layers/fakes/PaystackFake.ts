import { createHash, randomBytes, timingSafeEqual } from "node:crypto"
import { checkoutPage, chosen, outcomeOf } from "./Checkout.ts"
import type { Answer, Fake, FakeRequest } from "./FakeServer.ts"
import { type Body, currencies, fail, now, ok, paged, type Route, subunits, text } from "./PaystackAnswers.ts"
import { PaystackBook, type PaystackFakeOptions, type Refund, type Transaction } from "./PaystackBook.ts"
import { transferRoutes } from "./PaystackTransfers.ts"
import type { Faults } from "./Switches.ts"

const transactionRoutes = (book: PaystackBook): ReadonlyArray<Route> => {
  const initialize = (body: Body, _: string, { base }: FakeRequest): Answer => {
    const amount = subunits(body["amount"])
    const reference = text(body["reference"]) || randomBytes(8).toString("hex")
    const currency = text(body["currency"]) || "NGN"
    if (!/^[^@\s]+@[^@\s]+$/.test(text(body["email"]))) {
      return fail(400, "Invalid Email Address Passed", "invalid_email")
    }
    if (amount === undefined) return fail(400, "Invalid amount", "invalid_amount")
    if (!currencies.includes(currency)) return fail(403, "Currency not supported by merchant", "unsupported_currency")
    if (!/^[A-Za-z0-9.=-]+$/.test(reference)) return fail(400, "Invalid reference", "invalid_reference")
    if (book.transactions.has(reference)) {
      return fail(400, "Duplicate Transaction Reference", "duplicate_reference")
    }
    const transaction: Transaction = {
      id: book.nextId(),
      reference,
      accessCode: randomBytes(8).toString("hex"),
      amount,
      currency,
      email: text(body["email"]),
      metadata: body["metadata"],
      callbackUrl: typeof body["callback_url"] === "string" ? body["callback_url"] : undefined,
      createdAt: now(),
      status: "abandoned",
      refunded: 0
    }
    book.transactions.set(reference, transaction)
    const { accessCode } = transaction
    const authorization_url = `${base}/checkout/${accessCode}`
    return ok("Authorization URL created", { authorization_url, access_code: accessCode, reference })
  }
  const verify = (_: Body, reference: string): Answer => {
    const transaction = book.transactions.get(reference)
    return transaction === undefined
      ? fail(400, "Transaction reference not found.", "transaction_not_found")
      : ok("Verification successful", book.transactionOf(transaction))
  }
  const list = (_: Body, __: string, request: FakeRequest) =>
    paged(book.transactions.values(), request, (row) => book.transactionOf(row))
  const page = (_: Body, code: string, request: FakeRequest): Answer => {
    const transaction = [...book.transactions.values()].find((one) => one.accessCode === code)
    if (transaction === undefined) return { status: 404, body: checkoutPage("No such checkout", "unknown") }
    if (request.method === "GET") return { status: 200, body: checkoutPage("Paystack's checkout", transaction.status) }
    const outcome = outcomeOf(request)
    if (outcome === undefined) return { status: 400, body: { error: "outcome is succeed, fail or abandon" } }
    book.pay(transaction, outcome)
    return chosen(request, transaction.status, transaction.callbackUrl)
  }
  return [
    { method: "POST", pattern: /^\/transaction\/initialize$/, act: initialize },
    { method: "GET", pattern: /^\/transaction\/verify\/([^/]+)$/, act: verify },
    { method: "GET", pattern: /^\/transaction$/, act: list },
    { method: "GET", pattern: /^\/checkout\/(\w+)$/, act: page },
    { method: "POST", pattern: /^\/checkout\/(\w+)$/, act: page }
  ]
}

const refundRoutes = (book: PaystackBook): ReadonlyArray<Route> => {
  const create = (body: Body): Answer => {
    const named = String(body["transaction"])
    const transaction = book.transactions.get(named)
      ?? [...book.transactions.values()].find(({ id }) => String(id) === named)
    if (transaction === undefined) return fail(404, "Transaction not found", "transaction_not_found")
    if (transaction.status !== "success") return fail(400, "Transaction has not been paid", "invalid_transaction")
    const left = transaction.amount - transaction.refunded
    const amount = body["amount"] === undefined ? left : subunits(body["amount"])
    if (amount === undefined) return fail(400, "Invalid amount", "invalid_amount")
    if (left === 0) return fail(400, "Transaction has been fully reversed", "transaction_reversed")
    if (amount > left) return fail(400, "Refund amount cannot be more than transaction amount", "amount_too_large")
    transaction.refunded += amount
    const refund: Refund = {
      id: book.nextId(),
      transaction,
      amount,
      merchant_note: text(body["merchant_note"]) || null,
      createdAt: now(),
      status: "pending"
    }
    book.refunds.set(String(refund.id), refund)
    book.announceRefund(refund)
    book.begin("refund", String(refund.id), "processed")
    return ok("Refund has been queued for processing", book.refundOf(refund))
  }
  const find = (_: Body, id: string): Answer => {
    const refund = book.refunds.get(id)
    return refund === undefined
      ? fail(404, "Refund not found", "not_found")
      : ok("Refund retrieved", book.refundOf(refund))
  }
  const list = (_: Body, __: string, request: FakeRequest) => {
    const of = request.query.get("transaction")
    const listed = book.areRefundsLate ? [] : [...book.refunds.values()]
    const rows = listed.filter(({ transaction }) => of === null || String(transaction.id) === of)
    return paged(rows, request, (row) => book.refundOf(row))
  }
  return [
    { method: "POST", pattern: /^\/refund$/, act: create },
    { method: "GET", pattern: /^\/refund$/, act: list },
    { method: "GET", pattern: /^\/refund\/(\w+)$/, act: find }
  ]
}

const objectOf = (body: string): Body | undefined => {
  try {
    const value: unknown = body === "" ? {} : JSON.parse(body)
    return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : undefined
  } catch {
    return undefined
  }
}

/** The part of Paystack's API that Midnight uses, with a memory. */
export const paystackFake = (options: PaystackFakeOptions, faults: Faults): Fake & { readonly book: PaystackBook } => {
  const book = new PaystackBook(options, faults)
  const dispute: Route = {
    method: "GET",
    pattern: /^\/dispute\/(\w+)$/,
    act: (_, id) => {
      const found = book.disputes.get(id)
      return found === undefined ? fail(404, "Dispute not found") : ok("Dispute retrieved", book.disputeOf(found))
    }
  }
  const disputes: Route = {
    method: "GET",
    pattern: /^\/dispute$/,
    act: (_, __, request) => paged(book.disputes.values(), request, (row) => book.disputeOf(row))
  }
  const routes = [...transactionRoutes(book), ...refundRoutes(book), ...transferRoutes(book), dispute, disputes]
  const digest = (value: string) => createHash("sha256").update(value).digest()
  const expected = digest(`Bearer ${options.secretKey}`)
  return {
    book,
    faults,
    deliveries: book.deliveries,
    answer: (request) => {
      const { body, headers, method, path } = request
      const isPage = path.startsWith("/checkout")
      if (!isPage && !timingSafeEqual(digest(headers.authorization ?? ""), expected)) return fail(401, "Invalid key")
      const route = routes.find((one) => one.method === method && one.pattern.test(path))
      if (route === undefined) return fail(404, "Invalid request. Try again or contact support")
      const id = decodeURIComponent(route.pattern.exec(path)?.[1] ?? "")
      const input = isPage ? {} : objectOf(body)
      return input === undefined ? fail(400, "Request body could not be parsed") : route.act(input, id, request)
    },
    settle: (kind, id, outcome) => book.settle(kind, id, outcome),
    // It has no keys: its references are taken for good.
    forget: () => undefined,
    trouble: (status) =>
      fail(
        status,
        status === 429 ? "Too many requests" : status === 400 ? "You cannot do that" : "An error occurred"
      )
  }
}
