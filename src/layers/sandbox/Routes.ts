import { Clock, Effect, Layer, Option, Redacted, Schema } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { createHash, timingSafeEqual } from "node:crypto"
import { type Charge, type ChargeBook, ChargeInput, Outcome } from "./ChargeBook.ts"
import { checkoutPage, contentSecurityPolicy, returnLocation, unknownPage } from "./CheckoutPage.ts"
import type { MovementBook } from "./MovementBook.ts"
import { movementRoutes } from "./MovementRoutes.ts"

export interface SandboxOptions {
  readonly secretKey: Redacted.Redacted<string>
  /** Where payers reach the checkout; the host that the API was called by when it is not given. */
  readonly publicUrl: string | undefined
  /** Told of every charge that was settled. */
  readonly announce: (charge: Charge) => Effect.Effect<void>
}

const refuse = (status: number, code: string, message: string) =>
  HttpServerResponse.jsonUnsafe({ error: { code, message } }, { status })

const notFound = refuse(404, "not_found", "There is no such charge.")

const decodeInput = Schema.decodeUnknownEffect(ChargeInput)
const Choice = Schema.Struct({ outcome: Outcome })

const digest = (text: string) => createHash("sha256").update(text).digest()

/** Every route of the sandbox provider: its API behind the secret key, and the checkout for whoever has the link. */
export const routes = (book: ChargeBook, movements: MovementBook, options: SandboxOptions) => {
  const expected = digest(`Bearer ${Redacted.value(options.secretKey)}`)
  const isSigned = (request: HttpServerRequest.HttpServerRequest) =>
    timingSafeEqual(digest(request.headers["authorization"] ?? ""), expected)

  const present = (charge: Charge, request: HttpServerRequest.HttpServerRequest) => {
    const base = options.publicUrl ?? `http://${request.headers["host"] ?? "127.0.0.1"}`
    return {
      id: charge.id,
      status: charge.status,
      amount: Number(charge.amount),
      currency: charge.currency,
      reference: charge.reference,
      livemode: false,
      createdAt: charge.createdAt,
      checkoutUrl: `${base}/checkout/${charge.id}`
    }
  }
  const json = (charge: Charge, request: HttpServerRequest.HttpServerRequest, status = 200) =>
    HttpServerResponse.jsonUnsafe(present(charge, request), { status })

  const create = Effect.gen(function*() {
    const request = yield* HttpServerRequest.HttpServerRequest
    if (!isSigned(request)) return refuse(401, "unauthorized", "The secret key is missing or wrong.")
    const key = request.headers["idempotency-key"]
    if (key === undefined || key.length === 0 || key.length > 255) {
      return refuse(400, "idempotency_key_required", "Send an Idempotency-Key of 1 to 255 characters.")
    }
    const input = yield* request.json.pipe(Effect.flatMap(decodeInput), Effect.option)
    if (Option.isNone(input)) {
      return refuse(
        400,
        "invalid_charge",
        "A charge has amount (minor units), currency, reference and perhaps returnUrl."
      )
    }
    const at = yield* Clock.currentTimeMillis
    const charge = yield* Effect.promise(() => book.create(key, input.value, at))
    return charge === undefined
      ? refuse(422, "idempotency_key_reused", "That Idempotency-Key made a different charge.")
      : json(charge, request, 201)
  })

  const find = Effect.gen(function*() {
    const request = yield* HttpServerRequest.HttpServerRequest
    if (!isSigned(request)) return refuse(401, "unauthorized", "The secret key is missing or wrong.")
    const charge = yield* named
    return charge === undefined ? notFound : json(charge, request)
  })

  const cancel = Effect.gen(function*() {
    const request = yield* HttpServerRequest.HttpServerRequest
    if (!isSigned(request)) return refuse(401, "unauthorized", "The secret key is missing or wrong.")
    const before = yield* named
    const at = yield* Clock.currentTimeMillis
    const charge = yield* Effect.promise(() => book.settle(before?.id ?? "", "abandon", at))
    if (charge === undefined) return notFound
    if (before?.status === "requires_action") yield* options.announce(charge)
    return json(charge, request)
  })

  const named = Effect.map(HttpRouter.params, ({ id }) => book.find(id ?? ""))

  const html = (body: string, charge: Charge | undefined, status = 200) =>
    HttpServerResponse.text(body, { contentType: "text/html; charset=utf-8" }).pipe(
      HttpServerResponse.setStatus(status),
      HttpServerResponse.setHeader("content-security-policy", contentSecurityPolicy(charge))
    )

  const show = Effect.map(
    named,
    (charge) => charge === undefined ? html(unknownPage, undefined, 404) : html(checkoutPage(charge), charge)
  )

  const settle = Effect.gen(function*() {
    const request = yield* HttpServerRequest.HttpServerRequest
    const before = yield* named
    const isForm = (request.headers["content-type"] ?? "").startsWith("application/x-www-form-urlencoded")
    if (before === undefined) return isForm ? html(unknownPage, undefined, 404) : notFound
    const choice = yield* Effect.option(
      isForm
        ? HttpServerRequest.schemaBodyUrlParams(Choice)
        : Effect.flatMap(request.json, Schema.decodeUnknownEffect(Choice))
    )
    if (Option.isNone(choice)) return refuse(400, "invalid_outcome", "outcome is one of succeed, fail, abandon.")
    const at = yield* Clock.currentTimeMillis
    const charge = yield* Effect.promise(() => book.settle(before.id, choice.value.outcome, at))
    if (charge === undefined) return notFound
    if (before.status === "requires_action") yield* options.announce(charge)
    if (!isForm) return json(charge, request)
    return HttpServerResponse.redirect(returnLocation(charge) ?? `/checkout/${charge.id}`, {
      status: 303,
      headers: { "content-security-policy": contentSecurityPolicy(charge) }
    })
  })

  return Layer.mergeAll(
    HttpRouter.add("POST", "/v1/charges", create),
    HttpRouter.add("GET", "/v1/charges/:id", find),
    HttpRouter.add("POST", "/v1/charges/:id/cancel", cancel),
    movementRoutes(book, movements, { isSigned, refuse, show: present }),
    HttpRouter.add("GET", "/checkout/:id", show),
    HttpRouter.add("POST", "/checkout/:id", settle)
  )
}
