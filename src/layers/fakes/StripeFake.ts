import { createHash, timingSafeEqual } from "node:crypto"
import { checkoutPage, chosen, outcomeOf } from "./Checkout.ts"
import type { Answer, Fake, FakeRequest } from "./FakeServer.ts"
import { fail, invalid, missing, pageOf, type Route } from "./StripeAnswers.ts"
import { newId, seconds, type Session, StripeBook, type StripeFakeOptions } from "./StripeBook.ts"
import { below, type Form, isError, listed, readForm } from "./StripeForm.ts"
import { movementRoutes } from "./StripeMovements.ts"
import { stripeSpec } from "./StripeSpec.ts"
import type { Faults } from "./Switches.ts"

const expandable = [
  "payment_intent",
  "payment_intent.latest_charge",
  "payment_intent.latest_charge.balance_transaction"
]

const sessionRoutes = (book: StripeBook): ReadonlyArray<Route> => {
  const intent = (session: Session, expand: ReadonlyArray<string>): unknown => {
    const deepest = expand.filter((path) => path.startsWith("payment_intent")).sort().at(-1)
    if (session.intent === null || deepest === undefined) return session.intent
    const shown = book.intentOf(session)
    if (deepest === "payment_intent" || !session.paid) return shown
    const fee = book.feeOf(session)
    const balance = { id: `txn_${shown.id.slice(3)}`, object: "balance_transaction", fee, currency: session.currency }
    const id = `ch_${shown.id.slice(3)}`
    const expanded = deepest.endsWith("balance_transaction") ? balance : balance.id
    const balance_transaction = book.isFeeLate ? null : expanded
    return { ...shown, latest_charge: { id, object: "charge", balance_transaction } }
  }
  const show = (session: Session, base: string, expand: ReadonlyArray<string> = []) => ({
    id: session.id,
    object: "checkout.session",
    amount_subtotal: session.amount,
    amount_total: session.amount,
    cancel_url: session.cancel_url,
    client_reference_id: session.client_reference_id,
    created: session.created,
    currency: session.currency,
    livemode: book.livemode,
    metadata: session.metadata,
    mode: "payment",
    payment_intent: intent(session, expand),
    payment_status: session.paid ? "paid" : "unpaid",
    status: session.status,
    success_url: session.success_url,
    url: session.status === "open" ? `${base}/checkout/${session.id}` : null
  })
  const unexpandable = (expand: ReadonlyArray<string>) => expand.find((path) => !expandable.includes(path))
  const answer = (form: Form, id: string, { base }: FakeRequest): Answer => {
    const session = book.sessions.get(id)
    const expand = listed(form, "expand")
    const not = unexpandable(expand)
    if (not !== undefined) return invalid("", `This property cannot be expanded (${not}).`, "expand")
    return session === undefined
      ? missing("checkout.session", id)
      : { status: 200, body: show(session, base, expand) }
  }

  const create = (form: Form, _: string, request: FakeRequest): Answer => {
    const amount = form.get("line_items[0][price_data][unit_amount]")
    const currency = form.get("line_items[0][price_data][currency]")
    if (amount === undefined || currency === undefined || !form.has("line_items[0][quantity]")) {
      return invalid("parameter_missing", "Missing required param: line_items.", "line_items")
    }
    if (!/^[a-z]{3}$/.test(currency)) return invalid("", `Invalid currency: ${currency}`, "currency")
    const total = Number(amount) * Number(form.get("line_items[0][quantity]"))
    const threeDigits = ["bhd", "jod", "kwd", "omr", "tnd"].includes(currency)
    if (threeDigits && total % 10 !== 0) return invalid("", "The last digit of the amount must be 0.", "amount")
    if (currency === "usd" && total < 50) {
      return invalid("amount_too_small", "The amount is below the minimum.", "amount")
    }
    const session: Session = {
      id: newId("cs_test"),
      created: seconds(),
      amount: total,
      currency,
      client_reference_id: form.get("client_reference_id") ?? null,
      metadata: below(form, "metadata"),
      intentMetadata: below(form, "payment_intent_data[metadata]"),
      success_url: form.get("success_url") ?? "",
      cancel_url: form.get("cancel_url") ?? null,
      status: "open",
      paid: false,
      intent: null,
      refunded: 0
    }
    book.sessions.set(session.id, session)
    return { status: 200, body: show(session, request.base) }
  }
  const expire = (form: Form, id: string, request: FakeRequest): Answer => {
    const session = book.sessions.get(id)
    if (session !== undefined && session.status !== "open") {
      return invalid("", "Only Checkout Sessions with a status in [\"open\"] can be expired.")
    }
    if (session !== undefined) book.expire(session, () => show(session, request.base))
    return answer(form, id, request)
  }
  const list = (form: Form, _: string, { base }: FakeRequest) => {
    const expand = listed(form, "expand").map((path) => path.replace(/^data\./, ""))
    return pageOf(book.sessions.values(), form, "/v1/checkout/sessions", (row) => show(row, base, expand))
  }
  const page = (_: Form, id: string, request: FakeRequest): Answer => {
    const session = book.sessions.get(id)
    if (session === undefined) return { status: 404, body: checkoutPage("No such checkout", "unknown") }
    if (request.method === "GET") return { status: 200, body: checkoutPage("Stripe's checkout", session.status) }
    const outcome = outcomeOf(request)
    if (outcome === undefined) return { status: 400, body: { error: "outcome is succeed, fail or abandon" } }
    book.pay(session, outcome, () => show(session, request.base))
    return chosen(request, session.status, session.paid ? session.success_url : session.cancel_url ?? undefined)
  }
  const path = /^\/v1\/checkout\/sessions$/
  return [
    { method: "POST", pattern: path, parameters: stripeSpec.session, act: create },
    { method: "GET", pattern: path, parameters: stripeSpec.sessions, act: list },
    { method: "GET", pattern: /^\/v1\/checkout\/sessions\/(\w+)$/, parameters: stripeSpec.one, act: answer },
    {
      method: "POST",
      pattern: /^\/v1\/checkout\/sessions\/(\w+)\/expire$/,
      parameters: stripeSpec.expire,
      act: expire
    },
    { method: "GET", pattern: /^\/checkout\/(\w+)$/, parameters: { optional: {} }, act: page },
    { method: "POST", pattern: /^\/checkout\/(\w+)$/, parameters: { optional: {} }, act: page }
  ]
}

/** The part of Stripe's API that Midnight uses, with a memory: requests are read as its reference says, and refused so. */
export const stripeFake = (options: StripeFakeOptions, faults: Faults): Fake & { readonly book: StripeBook } => {
  const book = new StripeBook(options, faults)
  const routes = [...sessionRoutes(book), ...movementRoutes(book)]
  const kept = new Map<string, { readonly asked: string; readonly answer: Answer }>()
  const digest = (text: string) => createHash("sha256").update(text).digest()
  const expected = digest(`Bearer ${options.secretKey}`)

  const act = (request: FakeRequest): Answer => {
    const { body, headers, method, path, query } = request
    const isPage = path.startsWith("/checkout")
    if (!isPage && !timingSafeEqual(digest(headers.authorization ?? ""), expected)) {
      return fail(401, { type: "invalid_request_error", message: "Invalid API Key provided." })
    }
    const route = routes.find((one) => one.method === method && one.pattern.test(path))
    if (route === undefined) {
      return fail(404, { type: "invalid_request_error", message: `Unrecognized request URL (${method}: ${path}).` })
    }
    const id = route.pattern.exec(path)?.[1] ?? ""
    if (isPage) return route.act(new Map(), id, request)
    const form = readForm(method === "GET" ? query.toString() : body, route.parameters)
    if (isError(form)) return fail(400, form)
    const key = headers["idempotency-key"]
    if (method === "GET" || typeof key !== "string") return route.act(form, id, request)
    if (key.length > 255) return invalid("", "Idempotency keys are at most 255 characters long.")
    const account = String(headers["stripe-account"] ?? "")
    const asked = `${account} ${path} ${body}`
    const known = kept.get(`${account} ${key}`)
    if (known === undefined) {
      const answer = route.act(form, id, request)
      kept.set(`${account} ${key}`, { asked, answer })
      return answer
    }
    if (known.asked === asked) return { ...known.answer, headers: { "idempotent-replayed": "true" } }
    return fail(400, {
      type: "idempotency_error",
      message: "Keys for idempotent requests can only be used with the same parameters they were first used with."
    })
  }

  return {
    book,
    faults,
    deliveries: book.deliveries,
    answer: act,
    settle: (kind, id, outcome) => book.settle(kind, id, outcome),
    forget: () => kept.clear(),
    trouble: (status) =>
      status === 429
        ? fail(429, { type: "invalid_request_error", code: "rate_limit", message: "Too many requests." })
        : status === 400
        ? fail(400, { type: "invalid_request_error", code: "not_now", message: "This account cannot do that." })
        : fail(500, { type: "api_error", message: "Something went wrong on Stripe's end." })
  }
}
