import { Clock, Context, Effect, Layer, Option } from "effect"
import { PaymentId } from "../domain/Ids.ts"
import { type Currency, UnsupportedCurrency } from "../domain/Money.ts"
import { MoneyRequest } from "../domain/MoneyRequest.ts"
import { cursorOf, cut } from "../domain/Page.ts"
import {
  type AmountNotAccepted,
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
import { createdCause, currentOrigin, offeredWith, PaymentCommands, subjectOf } from "./Commands.ts"
import { withDatabase } from "./Database.ts"
import { type EventFacts, Gateways, type VerifiedEvent } from "./Gateway.ts"
import { type Intent, PaymentStore } from "./PaymentStore.ts"
import { takerOf } from "./ProviderCalls.ts"
import { Settlement } from "./Settlement.ts"

/** What a deployment takes: currencies, and the origins a checkout may send people back to. */
export class PaymentSettings extends Context.Service<PaymentSettings, {
  readonly currencies: ReadonlyArray<Currency>
  readonly returnUrlOrigins: ReadonlyArray<string>
}>()("midnight/services/payments/PaymentSettings") {}

type RefusedInput = UnsupportedCurrency | AmountNotAccepted | ReturnUrlNotAllowed | ProviderNotConfigured

// Ids are ordered by time, so a page can begin after one, whatever has been added since.
const position = cursorOf(PaymentId)

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

      const record = Effect.fnUntraced(function*(intent: Intent) {
        const { isNew, payment } = yield* store.insert(intent)
        const command = { ...(yield* currentOrigin), paymentId: intent.id }
        if (isNew) yield* offeredWith(commands.offer(command, createdCause(intent.id)))
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
        const { facts, provider } = event
        const keep = Effect.gen(function*() {
          const isNew = yield* store.receive(event)
          const subject = subjectOf(provider, facts)
          if (Option.isSome(subject) && (isNew || isNameless(facts))) {
            const { about, id } = subject.value
            const again = isNew ? "" : `:${yield* Clock.currentTimeMillis}`
            yield* offeredWith(
              commands.offer({ ...(yield* currentOrigin), ...about }, { id: `${id}:${facts.eventId}${again}` })
            )
          }
          return isNew ? "new" as const : "duplicate" as const
        })
        return yield* withDatabase(store.transaction(keep))
      })

      return Payments.of({ charge, list, find, confirm, receive })
    })
  )
}

/** An event that does not say which refund it is about. Its duplicate may be another's, so it is followed as well. */
const isNameless = ({ about, operationId, reference }: EventFacts) =>
  about === "refund" && Option.isNone(operationId) && Option.isNone(reference)

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
  return yield* takerOf("charge", request, found, currencies)
})
