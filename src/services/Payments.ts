import { Context, type Duration, Effect, Layer, Option, type Schema } from "effect"
import type { PersistedQueue } from "effect/persistence"
import { SqlError } from "effect/sql"
import { PaymentId } from "../domain/Ids.ts"
import { type Currency, UnsupportedCurrency } from "../domain/Money.ts"
import { MoneyRequest } from "../domain/MoneyRequest.ts"
import { cursorOf, cut } from "../domain/Page.ts"
import {
  AmountNotAccepted,
  type ChargeRequest,
  isReturnUrlAllowed,
  type PaymentView,
  ProviderNotConfigured,
  type ProviderUnavailable,
  ReturnUrlNotAllowed,
  viewOf
} from "../domain/Payments.ts"
import { CurrentUser } from "../domain/Principal.ts"
import { type InvalidRequest, NotFound, type Unavailable } from "../domain/Problem.ts"
import { currentOrigin, PaymentCommands } from "./Commands.ts"
import { withDatabase } from "./Database.ts"
import { type Gateway, Gateways, type VerifiedEvent } from "./Gateway.ts"
import { type Intent, PaymentStore } from "./PaymentStore.ts"
import { createdCause, Settlement } from "./Settlement.ts"

/** What a deployment takes: currencies, and the origins a checkout may send people back to. */
export class PaymentSettings extends Context.Service<PaymentSettings, {
  readonly currencies: ReadonlyArray<Currency>
  readonly returnUrlOrigins: ReadonlyArray<string>
}>()("midnight/services/payments/PaymentSettings") {}

type RefusedInput = UnsupportedCurrency | AmountNotAccepted | ReturnUrlNotAllowed | ProviderNotConfigured

// Ids are ordered by time, so a page can begin after one, whatever has been added since.
const position = cursorOf(PaymentId)

// Longer than a charge request can take, so that it is done by then unless its process died.
const createdDelay = "30 seconds"

export class Payments extends Context.Service<Payments, {
  /** Records the intent, then asks the provider. Repeating, also after a crash, finds both. */
  charge(
    request: ChargeRequest
  ): Effect.Effect<PaymentView, RefusedInput | ProviderUnavailable | Unavailable, MoneyRequest>
  list(page: {
    readonly cursor: string | undefined
    readonly limit: number
  }): Effect.Effect<
    { readonly items: ReadonlyArray<PaymentView>; readonly nextCursor: string | null },
    InvalidRequest | Unavailable,
    CurrentUser
  >
  find(id: PaymentId): Effect.Effect<PaymentView, NotFound | Unavailable, CurrentUser>
  /** Asks the provider now, and credits what it confirms. */
  confirm(id: PaymentId): Effect.Effect<PaymentView, NotFound | ProviderUnavailable | Unavailable, CurrentUser>
  /** Keeps an event and the command to look into it, together. A duplicate changes nothing. */
  receive(event: VerifiedEvent): Effect.Effect<"new" | "duplicate", Unavailable>
}>()("midnight/services/payments/Payments") {
  static readonly layer = Layer.effect(
    Payments,
    Effect.gen(function*() {
      const store = yield* PaymentStore
      const gateways = yield* Gateways
      const commands = yield* PaymentCommands
      const settings = yield* PaymentSettings
      const settlement = yield* Settlement

      const offer = Effect.fnUntraced(function*(paymentId: PaymentId, cause: string, delay: Duration.Input) {
        const command = { ...(yield* currentOrigin), paymentId }
        yield* commands.offer(command, { id: `${paymentId}:${cause}`, delay }).pipe(Effect.catch(unoffered))
      })

      const record = Effect.fnUntraced(function*(intent: Intent) {
        const { isNew, payment } = yield* store.insert(intent)
        if (isNew) yield* offer(intent.id, createdCause, createdDelay)
        return payment
      })

      const charge = Effect.fn("Payments.charge")(function*(request: ChargeRequest) {
        const { operationId, userId } = yield* MoneyRequest
        const { livemode, provider } = yield* accept(request, settings, gateways)
        const id = PaymentId.make(operationId)
        yield* Effect.annotateCurrentSpan({ "midnight.payment.id": id })
        const { amount, currency } = request
        const returnUrl = Option.fromUndefinedOr(request.returnUrl)
        const intent = { id, userId, provider, amount, currency, livemode, returnUrl }
        const payment = yield* withDatabase(store.transaction(record(intent)))
        return viewOf(yield* settlement.open(payment))
      })

      const own = Effect.fnUntraced(function*(id: PaymentId) {
        const { userId } = yield* CurrentUser
        const payment = yield* withDatabase(store.find(id))
        if (Option.isSome(payment) && payment.value.userId === userId) return payment.value
        return yield* new NotFound({ detail: "There is no such payment." })
      })

      const find = Effect.fn("Payments.find")(function*(id: PaymentId) {
        return viewOf(yield* own(id))
      })

      const confirm = Effect.fn("Payments.confirm")(function*(id: PaymentId) {
        return viewOf(yield* settlement.reconcile(yield* own(id)))
      })

      const list = Effect.fn("Payments.list")(
        function*({ cursor, limit }: { readonly cursor: string | undefined; readonly limit: number }) {
          const { userId } = yield* CurrentUser
          const before = yield* position.decode(cursor)
          const rows = yield* withDatabase(store.list({ userId, before, limit: limit + 1 }))
          const page = yield* cut(rows, limit, (last) => position.encode(last.id))
          return { ...page, items: page.items.map(viewOf) }
        }
      )

      const receive = Effect.fn("Payments.receive")(function*(event: VerifiedEvent) {
        const { eventId, paymentId } = event.facts
        const keep = Effect.gen(function*() {
          if (!(yield* store.receive(event))) return "duplicate" as const
          if (Option.isSome(paymentId)) yield* offer(paymentId.value, eventId, "0 seconds")
          return "new" as const
        })
        return yield* withDatabase(store.transaction(keep))
      })

      return Payments.of({ charge, list, find, confirm, receive })
    })
  )
}

/** The queue wraps what the database said; the transaction that the offer is part of has to hear it. */
const unoffered = (
  error: PersistedQueue.PersistedQueueError | Schema.SchemaError
): Effect.Effect<never, SqlError.SqlError> =>
  error._tag === "PersistedQueueError" && SqlError.isSqlError(error.cause)
    ? Effect.fail(error.cause)
    : Effect.die(error)

/** What can be refused before anything is written, and the provider the charge goes to. */
const accept = Effect.fnUntraced(function*(
  request: ChargeRequest,
  settings: PaymentSettings["Service"],
  gateways: Gateways["Service"]
) {
  const { currencies, returnUrlOrigins } = settings
  if (!currencies.includes(request.currency)) {
    return yield* new UnsupportedCurrency({
      currency: request.currency,
      allowed: currencies,
      detail: `${request.currency} is not enabled here.`
    })
  }
  if (request.returnUrl !== undefined && !isReturnUrlAllowed(request.returnUrl, returnUrlOrigins)) {
    return yield* new ReturnUrlNotAllowed({
      detail: returnUrlOrigins.length === 0
        ? "This deployment allows no return URL; leave it out."
        : `Allowed origins: ${returnUrlOrigins.join(", ")}.`
    })
  }
  const candidates = request.provider === undefined ? gateways.configured : [request.provider]
  const found = candidates.flatMap((provider) => Option.toArray(gateways.find(provider)))
  if (found.length === 0) {
    return yield* new ProviderNotConfigured({
      allowed: gateways.configured,
      detail: gateways.configured.length === 0
        ? "No payment provider is configured."
        : `Configured: ${gateways.configured.join(", ")}.`
    })
  }
  return yield* takerOf(request, found, currencies)
})

/** The first of these providers that takes the currency, if it takes the amount too. */
const takerOf = Effect.fnUntraced(function*(
  { amount, currency }: ChargeRequest,
  candidates: ReadonlyArray<Gateway>,
  currencies: ReadonlyArray<Currency>
) {
  for (const gateway of candidates) {
    const bounds = gateway.bounds("charge", currency)
    if (Option.isNone(bounds)) continue
    const { max, min, step } = bounds.value
    if (amount >= min && amount <= max && amount % step === 0n) return gateway
    return yield* new AmountNotAccepted({
      provider: gateway.provider,
      currency,
      minimum: min,
      maximum: max,
      multiple_of: step,
      detail: `Through ${gateway.provider} a charge in ${currency} is from ${min} to ${max}, in steps of ${step}.`
    })
  }
  const taken = (one: Currency) => candidates.some((gateway) => Option.isSome(gateway.bounds("charge", one)))
  return yield* new UnsupportedCurrency({
    currency,
    allowed: currencies.filter(taken),
    detail: `${candidates.map(({ provider }) => provider).join(" and ")} cannot take ${currency}.`
  })
})
