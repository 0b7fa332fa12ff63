import { Context, Effect, Layer, Option, Redacted, Schema } from "effect"
import { OutgoingId, type PayoutId, type UserId } from "../domain/Ids.ts"
import { type Currency, UnsupportedCurrency } from "../domain/Money.ts"
import { MoneyRequest } from "../domain/MoneyRequest.ts"
import type { Outgoing } from "../domain/Outgoing.ts"
import { cursorOf, cut } from "../domain/Page.ts"
import { type AmountNotAccepted, ProviderNotConfigured } from "../domain/Payments.ts"
import {
  type AdminPayout,
  adminPayout,
  Destination,
  IllegalPayoutTransition,
  last4Of,
  PayoutLimit,
  type PayoutRequest,
  type PayoutStatus,
  type PayoutView,
  payoutView,
  storedStatus
} from "../domain/Payouts.ts"
import { CurrentUser } from "../domain/Principal.ts"
import { type InvalidRequest, NotFound, TooManyRequests, type Unavailable } from "../domain/Problem.ts"
import { InsufficientFunds, walletOf } from "../domain/Wallet.ts"
import { PaymentActs } from "./AuditStore.ts"
import { createdCause, currentOrigin, offeredWith, PaymentCommands } from "./Commands.ts"
import { withDatabase } from "./Database.ts"
import { Gateways } from "./Gateway.ts"
import { Ledger } from "./Ledger.ts"
import { destinationPlace } from "./OutgoingProvider.ts"
import type { Written } from "./OutgoingRow.ts"
import { Outgoings } from "./Outgoings.ts"
import { OutgoingStore } from "./OutgoingStore.ts"
import { takerOf } from "./ProviderCalls.ts"
import { Sealed } from "./Sealed.ts"

/** What a deployment pays out without asking a person, and to one member in a day; in minor units of any currency. */
export class PayoutSettings extends Context.Service<PayoutSettings, {
  readonly currencies: ReadonlyArray<Currency>
  /** More than this waits for an administrator. */
  readonly approvalAbove: bigint
  /** In 24 hours, per member and currency. */
  readonly dailyLimit: bigint
  /** How many one member may ask for. */
  readonly atOnce: { readonly limit: number; readonly windowSeconds: number }
}>()("midnight/services/payments/PayoutSettings") {}

interface Page {
  readonly cursor: string | undefined
  readonly limit: number
}
interface PageOf<A> {
  readonly items: ReadonlyArray<A>
  readonly nextCursor: string | null
}
type Refusal =
  | TooManyRequests
  | UnsupportedCurrency
  | AmountNotAccepted
  | ProviderNotConfigured
  | PayoutLimit
  | InsufficientFunds
type ActError = NotFound | IllegalPayoutTransition | Unavailable

const position = cursorOf(OutgoingId)
const encodeDestination = Schema.encodeEffect(Schema.fromJsonString(Destination))

export class Payouts extends Context.Service<Payouts, {
  /** Records the payout and holds its money. The provider is asked by a command, after an administrator where one must agree. */
  create(request: PayoutRequest): Effect.Effect<PayoutView, Refusal | Unavailable, MoneyRequest>
  find(id: PayoutId): Effect.Effect<PayoutView, NotFound | Unavailable, CurrentUser>
  list(page: Page): Effect.Effect<PageOf<PayoutView>, InvalidRequest | Unavailable, CurrentUser>
  /** Until the provider was first asked. */
  cancel(id: PayoutId): Effect.Effect<PayoutView, ActError, CurrentUser>
  /** Everybody's in one state, newest first. */
  inStatus(status: PayoutStatus, page: Page): Effect.Effect<PageOf<AdminPayout>, InvalidRequest | Unavailable>
  approve(id: PayoutId, by: UserId, reason: string): Effect.Effect<AdminPayout, ActError>
  reject(id: PayoutId, by: UserId, reason: string): Effect.Effect<AdminPayout, ActError>
}>()("midnight/services/payments/Payouts") {
  static readonly layer = Layer.effect(Payouts, Effect.suspend(() => make))
}

const make = Effect.gen(function*() {
  const store = yield* OutgoingStore
  const outgoings = yield* Outgoings
  const gateways = yield* Gateways
  const commands = yield* PaymentCommands
  const acts = yield* PaymentActs
  const ledger = yield* Ledger
  const sealed = yield* Sealed
  const { approvalAbove, atOnce, currencies, dailyLimit } = yield* PayoutSettings

  const providerOf = Effect.fnUntraced(function*({ amount, currency, destination }: PayoutRequest) {
    if (!currencies.includes(currency)) {
      return yield* new UnsupportedCurrency({
        currency,
        allowed: [...currencies],
        detail: `${currency} is not enabled here.`
      })
    }
    const candidates = gateways.configured.flatMap((provider) => Option.toArray(gateways.find(provider)))
      .filter((gateway) => gateway.reaches(destination))
    if (candidates.length === 0) {
      return yield* new ProviderNotConfigured({
        allowed: gateways.configured,
        detail: "No configured provider pays to such a destination."
      })
    }
    return (yield* takerOf("payout", { amount, currency }, candidates, currencies)).provider
  })

  const record = Effect.fnUntraced(function*(id: OutgoingId, userId: UserId, request: PayoutRequest) {
    const provider = yield* providerOf(request)
    const { amount, currency, destination } = request
    const text = yield* Effect.orDie(encodeDestination(destination))
    const intent = {
      id,
      userId,
      provider,
      amount,
      currency,
      needsApproval: amount > approvalAbove,
      destinationType: destination.type,
      last4: last4Of(destination),
      destination: yield* sealed.seal(Redacted.make(text), destinationPlace(id)),
      most: { daily: dailyLimit, atOnce }
    }
    const recorded = yield* withDatabase(store.transaction(Effect.gen(function*() {
      const row = yield* store.insertPayout(intent)
      const command = { ...(yield* currentOrigin), outgoingId: id }
      if ("id" in row) yield* offeredWith(commands.offer(command, createdCause(id)))
      return row
    })))
    if ("id" in recorded) return recorded
    if ("retryAfter" in recorded) {
      const { limit, windowSeconds } = atOnce
      return yield* new TooManyRequests({
        detail: `The limit is ${limit} payouts in ${windowSeconds} seconds.`,
        policy: "payouts",
        retry_after: recorded.retryAfter
      })
    }
    const { left } = recorded
    return yield* new PayoutLimit({ available: left, currency, detail: `${left} minor units are left for today.` })
  })

  const create = Effect.fn("Payouts.create")(function*(request: PayoutRequest) {
    const { operationId, userId } = yield* MoneyRequest
    const id = OutgoingId.make(operationId)
    yield* Effect.annotateCurrentSpan({ "midnight.outgoing.id": id })
    const known = yield* withDatabase(store.find(id))
    const held = yield* outgoings.hold(Option.isSome(known) ? known.value : yield* record(id, userId, request))
    if (held.status !== "refused") return payoutView(held)
    const { available } = yield* ledger.balance(walletOf(userId), held.currency)
    return yield* new InsufficientFunds({
      detail: `Available: ${available} minor units.`,
      available,
      currency: held.currency
    })
  })

  const isShown = ({ kind, status }: Outgoing) => kind === "payout" && status !== "reserving" && status !== "refused"
  const shown = Effect.fnUntraced(function*(id: PayoutId) {
    const row = yield* withDatabase(store.find(OutgoingId.make(id)))
    return Option.isSome(row) && isShown(row.value)
      ? row.value
      : yield* new NotFound({ detail: "There is no such payout." })
  })
  const own = Effect.fnUntraced(function*(id: PayoutId) {
    const { userId } = yield* CurrentUser
    const row = yield* shown(id)
    return row.userId === userId ? row : yield* new NotFound({ detail: "There is no such payout." })
  })

  /** The row decided; the ledger follows. Who comes second to the same end is told of it as if he had come first. */
  const decided = Effect.fnUntraced(function*({ changed, row }: Written, to: Outgoing["status"]) {
    const settled = yield* outgoings.settle(row)
    if (changed || row.status === to) return settled
    return yield* new IllegalPayoutTransition({
      payout_status: payoutView(row).status,
      detail: "The provider was asked already, or it was decided otherwise."
    })
  })

  const cancel = Effect.fn("Payouts.cancel")(function*(id: PayoutId) {
    const { id: own_ } = yield* own(id)
    return payoutView(yield* decided(yield* withDatabase(store.cancel(own_)), "canceled"))
  })

  const approve = Effect.fn("Payouts.approve")(function*(id: PayoutId, by: UserId, reason: string) {
    const { id: outgoingId, userId } = yield* shown(id)
    const written = yield* withDatabase(store.transaction(Effect.gen(function*() {
      const written = yield* store.approve(outgoingId, by, reason)
      const command = { ...(yield* currentOrigin), outgoingId }
      if (!written.changed) return written
      yield* acts.record({ kind: "payout_approved", userId, by, reason, subject: outgoingId })
      yield* offeredWith(commands.offer(command, { id: `${outgoingId}:approved` }))
      return written
    })))
    return adminPayout(yield* decided(written, "processing"))
  })

  const reject = Effect.fn("Payouts.reject")(function*(id: PayoutId, by: UserId, reason: string) {
    const { id: outgoingId, userId } = yield* shown(id)
    const written = yield* withDatabase(store.transaction(Effect.gen(function*() {
      const written = yield* store.reject(outgoingId, by, reason)
      if (written.changed) yield* acts.record({ kind: "payout_rejected", userId, by, reason, subject: outgoingId })
      return written
    })))
    return adminPayout(yield* decided(written, "failed"))
  })

  const list = Effect.fn("Payouts.list")(function*({ cursor, limit }: Page) {
    const { userId } = yield* CurrentUser
    const before = yield* position.decode(cursor)
    const rows = yield* withDatabase(store.payouts({ userId, before, limit: limit + 1 }))
    const page = yield* cut(rows, limit, (last) => position.encode(last.id))
    return { ...page, items: page.items.map(payoutView) }
  })

  const inStatus = Effect.fn("Payouts.inStatus")(function*(status: PayoutStatus, { cursor, limit }: Page) {
    const before = yield* position.decode(cursor)
    const rows = yield* withDatabase(store.inStatus({ status: storedStatus(status), before, limit: limit + 1 }))
    const page = yield* cut(rows, limit, (last) => position.encode(last.id))
    return { ...page, items: page.items.map(adminPayout) }
  })

  return Payouts.of({
    create,
    find: Effect.fn("Payouts.find")((id: PayoutId) => Effect.map(own(id), payoutView)),
    list,
    cancel,
    inStatus,
    approve,
    reject
  })
})
