import { Context, Effect, Layer, Option, Redacted, Schema } from "effect"
import { PayoutId, type UserId } from "../domain/Ids.ts"
import { UnsupportedCurrency } from "../domain/Money.ts"
import { MoneyRequest } from "../domain/MoneyRequest.ts"
import { cursorOf, cut } from "../domain/Page.ts"
import { AmountNotAccepted, ProviderNotConfigured } from "../domain/Payments.ts"
import {
  last4Of,
  OwnPayout,
  type Payout,
  PayoutDestination,
  PayoutLimitReached,
  PayoutNotPending,
  type PayoutRequest,
  type PayoutView,
  placeOf,
  viewOf
} from "../domain/Payouts.ts"
import { CurrentUser } from "../domain/Principal.ts"
import { type InvalidRequest, NotFound, type Unavailable } from "../domain/Problem.ts"
import type { InsufficientFunds } from "../domain/Wallet.ts"
import { withDatabase } from "./Database.ts"
import { type Gateway, Gateways } from "./Gateway.ts"
import { OutboundMoney } from "./OutboundMoney.ts"
import { PaymentOffers } from "./PaymentOffers.ts"
import { PaymentSettings } from "./Payments.ts"
import { PayoutProgress } from "./PayoutProgress.ts"
import { type PayoutDecisionBy, PayoutStore } from "./PayoutStore.ts"
import { Sealed } from "./Sealed.ts"

interface Page {
  readonly cursor: string | undefined
  readonly limit: number
}
interface PageOfPayouts {
  readonly items: ReadonlyArray<PayoutView>
  readonly nextCursor: string | null
}

const position = cursorOf(PayoutId)
const sealable = Schema.encodeEffect(Schema.fromJsonString(PayoutDestination))

/** Money from a wallet to a bank or a mobile wallet, and the people who decide on the large ones. */
export class Payouts extends Context.Service<Payouts, {
  /** Records the intent, holds the money at once, and hands it to the provider or to whoever approves. */
  create(request: PayoutRequest): Effect.Effect<
    PayoutView,
    | UnsupportedCurrency
    | AmountNotAccepted
    | ProviderNotConfigured
    | PayoutLimitReached
    | InsufficientFunds
    | Unavailable,
    MoneyRequest
  >
  list(page: Page): Effect.Effect<PageOfPayouts, InvalidRequest | Unavailable, CurrentUser>
  find(id: PayoutId): Effect.Effect<PayoutView, NotFound | Unavailable, CurrentUser>
  /** While it waits for approval. */
  cancel(id: PayoutId): Effect.Effect<PayoutView, NotFound | PayoutNotPending | Unavailable, CurrentUser>
  /** Those that wait for approval, the oldest first. */
  waiting(page: Page): Effect.Effect<PageOfPayouts, InvalidRequest | Unavailable>
  decide(
    id: PayoutId,
    to: "processing" | "canceled",
    reason: string
  ): Effect.Effect<PayoutView, NotFound | PayoutNotPending | OwnPayout | Unavailable, CurrentUser>
}>()("midnight/services/payments/Payouts") {
  static readonly layer = Layer.effect(
    Payouts,
    Effect.gen(function*() {
      const store = yield* PayoutStore
      const money = yield* OutboundMoney
      const offers = yield* PaymentOffers
      const gateways = yield* Gateways
      const settings = yield* PaymentSettings
      const progress = yield* PayoutProgress
      const sealed = yield* Sealed

      const shown = Effect.fnUntraced(function*(id: PayoutId) {
        const payout = yield* withDatabase(store.find(id))
        return Option.isSome(payout) && payout.value.held
          ? payout.value
          : yield* new NotFound({ detail: "There is no such payout." })
      })
      const own = Effect.fnUntraced(function*(id: PayoutId) {
        const { userId } = yield* CurrentUser
        const payout = yield* shown(id)
        return payout.userId === userId ? payout : yield* new NotFound({ detail: "There is no such payout." })
      })

      const record = Effect.fnUntraced(
        function*(id: PayoutId, userId: UserId, request: PayoutRequest, { provider }: Gateway) {
          const { amount, currency, destination } = request
          const asked = (yield* store.askedToday(userId, currency)) + amount
          if (asked > settings.payoutDailyLimit) {
            return yield* new PayoutLimitReached({
              limit: settings.payoutDailyLimit,
              asked,
              currency,
              detail:
                `At most ${settings.payoutDailyLimit} minor units are paid out in 24 hours; with this it would be ${asked}.`
            })
          }
          const text = yield* Effect.orDie(sealable(destination))
          yield* store.insert({
            id,
            userId,
            provider,
            amount,
            currency,
            destinationType: destination.type,
            last4: last4Of(destination),
            destination: yield* sealed.seal(Redacted.make(text), placeOf(id)),
            status: amount > settings.payoutApprovalAbove ? "pending_approval" : "processing"
          })
          yield* offers.later({ payoutId: id }, `${id}:created`)
        }
      )

      const create = Effect.fn("Payouts.create")(function*(request: PayoutRequest) {
        const { operationId, userId } = yield* MoneyRequest
        const gateway = yield* payerOf(request, gateways, settings)
        const id = PayoutId.make(operationId)
        yield* Effect.annotateCurrentSpan({ "midnight.payout.id": id })
        if (Option.isNone(yield* withDatabase(store.find(id)))) {
          yield* withDatabase(store.transaction(record(id, userId, request, gateway)))
        }
        const payout = yield* Effect.orDie(Effect.flatMap(withDatabase(store.find(id)), Effect.fromOption))
        if (!payout.held) {
          yield* money.hold({ ...payout, kind: "payout" }).pipe(
            Effect.tapErrorTag(
              "InsufficientFunds",
              () => withDatabase(store.fail(id, "the wallet did not hold enough", Option.none()))
            )
          )
          yield* withDatabase(store.hold(id))
        }
        // Whatever the provider cannot say now, the command will ask again.
        yield* Effect.ignore(progress.advance(id))
        return viewOf(yield* Effect.orDie(shown(id)))
      })

      const pageOf = (rows: ReadonlyArray<Payout>, limit: number) =>
        Effect.map(cut(rows, limit, (last) => position.encode(last.id)), (page) => ({
          ...page,
          items: page.items.map(viewOf)
        }))

      const list = Effect.fn("Payouts.list")(function*({ cursor, limit }: Page) {
        const { userId } = yield* CurrentUser
        const before = yield* position.decode(cursor)
        return yield* pageOf(yield* withDatabase(store.list({ userId, before, limit: limit + 1 })), limit)
      })

      const waiting = Effect.fn("Payouts.waiting")(function*({ cursor, limit }: Page) {
        const before = yield* position.decode(cursor)
        return yield* pageOf(yield* withDatabase(store.waiting({ before, limit: limit + 1 })), limit)
      })

      const find = Effect.fn("Payouts.find")((id: PayoutId) => Effect.map(own(id), viewOf))

      const move = Effect.fnUntraced(
        function*(payout: Payout, to: "processing" | "canceled", decision: Option.Option<PayoutDecisionBy>) {
          const { id } = payout
          const moved = yield* withDatabase(store.transaction(Effect.gen(function*() {
            if (!(yield* store.decide(id, to, decision))) return false
            yield* offers.now({ payoutId: id }, `${id}:${to}`)
            return true
          })))
          const current = yield* shown(id)
          if (!moved) {
            return yield* new PayoutNotPending({
              payout_status: current.status,
              detail: `The payout is ${current.status}.`
            })
          }
          yield* Effect.ignore(progress.advance(id))
          return viewOf(yield* shown(id))
        }
      )

      const cancel = Effect.fn("Payouts.cancel")(function*(id: PayoutId) {
        return yield* move(yield* own(id), "canceled", Option.none())
      })

      const decide = Effect.fn("Payouts.decide")(
        function*(id: PayoutId, to: "processing" | "canceled", reason: string) {
          const { userId } = yield* CurrentUser
          const payout = yield* shown(id)
          if (payout.userId === userId) return yield* new OwnPayout({})
          return yield* move(payout, to, Option.some({ by: userId, reason }))
        }
      )

      return Payouts.of({ create, list, find, cancel, waiting, decide })
    })
  )
}

/** The first configured provider that pays out in the currency, if it pays the amount too. */
const payerOf = Effect.fnUntraced(function*(
  { amount, currency }: PayoutRequest,
  gateways: Gateways["Service"],
  { currencies }: PaymentSettings["Service"]
) {
  const configured = gateways.configured.flatMap((provider) => Option.toArray(gateways.find(provider)))
  if (configured.length === 0) {
    return yield* new ProviderNotConfigured({ allowed: [], detail: "No payment provider is configured." })
  }
  const paysOut = (one: typeof currency) => configured.some((gateway) => Option.isSome(gateway.bounds("payout", one)))
  for (const gateway of currencies.includes(currency) ? configured : []) {
    const bounds = gateway.bounds("payout", currency)
    if (Option.isNone(bounds)) continue
    const { max, min, step } = bounds.value
    if (amount >= min && amount <= max && amount % step === 0n) return gateway
    return yield* new AmountNotAccepted({
      provider: gateway.provider,
      currency,
      minimum: min,
      maximum: max,
      multiple_of: step,
      detail: `Through ${gateway.provider} a payout in ${currency} is from ${min} to ${max}, in steps of ${step}.`
    })
  }
  return yield* new UnsupportedCurrency({
    currency,
    allowed: currencies.filter(paysOut),
    detail: `${currency} cannot be paid out here.`
  })
})
