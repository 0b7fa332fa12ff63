import { Clock, Effect, Layer, Option, Schema } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { randomBytes } from "node:crypto"
import { Amount, Currency } from "../../domain/Money.ts"
import type { Charge, ChargeBook } from "./ChargeBook.ts"
import type { Movement, MovementBook } from "./MovementBook.ts"

const Reference = Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(255))
const RefundInput = Schema.Struct({ charge: Schema.String, amount: Amount, reference: Reference })
const PayoutInput = Schema.Struct({
  recipient: Schema.String.check(Schema.isPattern(/^rcp_[0-9a-f]{24}_\w{4}$/)),
  amount: Amount,
  currency: Currency,
  reference: Reference
})
const RecipientInput = Schema.Struct({
  account: Schema.String.check(Schema.isPattern(/^\+?\w{4,34}$/)),
  name: Schema.String,
  country: Schema.String.check(Schema.isPattern(/^[A-Z]{2}$/))
})
const Choice = Schema.Struct({ outcome: Schema.Literals(["pay", "fail"]) })

const pageSize = 100

/** What the routes share with those of charges. */
export interface Perimeter {
  isSigned(request: HttpServerRequest.HttpServerRequest): boolean
  refuse(status: number, code: string, message: string): HttpServerResponse.HttpServerResponse
  show(charge: Charge, request: HttpServerRequest.HttpServerRequest): object
}

const shown = (movement: Movement) => ({
  id: movement.id,
  status: movement.status,
  amount: Number(movement.amount),
  currency: movement.currency,
  reference: movement.reference,
  ...(movement.kind === "refund" ? { charge: movement.subject } : { recipient: movement.subject }),
  failureReason: movement.failureReason,
  livemode: false,
  createdAt: movement.createdAt
})

/** Refunds, recipients, payouts, and the lists that a reconciliation reads. All behind the secret key. */
export const movementRoutes = (charges: ChargeBook, movements: MovementBook, { isSigned, refuse, show }: Perimeter) => {
  const notFound = refuse(404, "not_found", "There is no such thing here.")
  const signed = <E, R>(
    route: (
      request: HttpServerRequest.HttpServerRequest
    ) => Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
  ) =>
    Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
      isSigned(request)
        ? route(request)
        : Effect.succeed(refuse(401, "unauthorized", "The secret key is missing or wrong.")))
  const input = <S extends Schema.Codec<unknown, unknown>>(schema: S) =>
    Effect.flatMap(
      HttpServerRequest.HttpServerRequest,
      (request) => request.json.pipe(Effect.flatMap(Schema.decodeUnknownEffect(schema)), Effect.option)
    )
  const answer = (made: Movement | "key_reused" | "too_large") =>
    made === "key_reused"
      ? refuse(422, made, "That Idempotency-Key made something different.")
      : made === "too_large"
      ? refuse(422, made, "That is more than is left of the charge.")
      : HttpServerResponse.jsonUnsafe(shown(made), { status: 201 })
  const keyOf = (request: HttpServerRequest.HttpServerRequest) => request.headers["idempotency-key"] ?? ""
  const malformed = refuse(400, "invalid_request", "The body, or the Idempotency-Key, is missing or malformed.")

  const refund = signed((request) =>
    Effect.gen(function*() {
      const body = yield* input(RefundInput)
      if (Option.isNone(body) || keyOf(request) === "") return malformed
      const { amount, charge: id, reference } = body.value
      const charge = charges.find(id)
      if (charge === undefined) return notFound
      if (charge.status !== "succeeded") return refuse(422, "not_paid", "The charge was not paid.")
      const { currency } = charge
      const createdAt = yield* Clock.currentTimeMillis
      const asked = {
        kind: "refund",
        key: `refund ${keyOf(request)}`,
        subject: id,
        reference,
        amount,
        currency,
        createdAt
      } as const
      return answer(yield* Effect.promise(() => movements.create(asked, charge.amount)))
    })
  )

  const payout = signed((request) =>
    Effect.gen(function*() {
      const body = yield* input(PayoutInput)
      if (Option.isNone(body) || keyOf(request) === "") return malformed
      const { amount, currency, recipient, reference } = body.value
      const createdAt = yield* Clock.currentTimeMillis
      const asked = {
        kind: "payout",
        key: `payout ${keyOf(request)}`,
        subject: recipient,
        reference,
        amount,
        currency,
        createdAt
      } as const
      return answer(yield* Effect.promise(() => movements.create(asked, 0n)))
    })
  )

  // Nothing of the account is kept but its last four characters, which are in the name.
  const recipient = signed(() =>
    Effect.map(input(RecipientInput), (body) =>
      Option.isNone(body)
        ? malformed
        : HttpServerResponse.jsonUnsafe(
          { id: `rcp_${randomBytes(12).toString("hex")}_${body.value.account.slice(-4)}` },
          { status: 201 }
        ))
  )

  const one = (kind: Movement["kind"]) =>
    signed(() =>
      Effect.map(HttpRouter.params, ({ id }) => {
        const movement = movements.find(kind, id ?? "")
        return movement === undefined ? notFound : HttpServerResponse.jsonUnsafe(shown(movement))
      })
    )

  const settle = signed(() =>
    Effect.gen(function*() {
      const { id } = yield* HttpRouter.params
      const choice = yield* input(Choice)
      if (Option.isNone(choice)) return malformed
      const payout = yield* Effect.promise(() => movements.settle(id ?? "", choice.value.outcome))
      return payout === undefined ? notFound : HttpServerResponse.jsonUnsafe(shown(payout))
    })
  )

  /** `?since=<milliseconds>&after=<id>`: oldest first, at most a hundred. */
  const list = (rows: (request: HttpServerRequest.HttpServerRequest) => ReadonlyArray<Listed>) =>
    signed((request) =>
      Effect.sync(() => {
        const query = new URL(request.url, "http://localhost").searchParams
        const since = Number(query.get("since") ?? 0)
        const recent = rows(request).filter((row) => row.createdAt >= since)
        const start = recent.findIndex((row) => row.id === query.get("after")) + 1
        const items = recent.slice(start, start + pageSize).map((row) => row.item())
        return HttpServerResponse.jsonUnsafe({ items, hasMore: recent.length > start + pageSize })
      })
    )
  const listed = (kind: Movement["kind"]) =>
    list(() => movements.all(kind).map((row) => ({ id: row.id, createdAt: row.createdAt, item: () => shown(row) })))

  return Layer.mergeAll(
    HttpRouter.add("POST", "/v1/refunds", refund),
    HttpRouter.add("GET", "/v1/refunds", listed("refund")),
    HttpRouter.add("GET", "/v1/refunds/:id", one("refund")),
    HttpRouter.add("POST", "/v1/recipients", recipient),
    HttpRouter.add("POST", "/v1/payouts", payout),
    HttpRouter.add("GET", "/v1/payouts", listed("payout")),
    HttpRouter.add("GET", "/v1/payouts/:id", one("payout")),
    HttpRouter.add("POST", "/v1/payouts/:id/settle", settle),
    HttpRouter.add(
      "GET",
      "/v1/charges",
      list((request) =>
        charges.all().map((charge) => ({
          id: charge.id,
          createdAt: charge.createdAt,
          item: () => show(charge, request)
        }))
      )
    )
  )
}

interface Listed {
  readonly id: string
  readonly createdAt: number
  item(): object
}
