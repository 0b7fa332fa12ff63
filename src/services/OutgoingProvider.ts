import { Clock, DateTime, Effect, Option, Redacted, Schema } from "effect"
import { PayoutId, RefundId } from "../domain/Ids.ts"
import type { Outgoing } from "../domain/Outgoing.ts"
import type { ProviderUnavailable } from "../domain/Payments.ts"
import { Destination } from "../domain/Payouts.ts"
import type { Unavailable } from "../domain/Problem.ts"
import { withDatabase } from "./Database.ts"
import {
  type Gateway,
  type ProviderError,
  ProviderNonsense,
  type ProviderPayout,
  type ProviderRefund
} from "./Gateway.ts"
import { mayBe, mostPages } from "./GatewayLists.ts"
import { OutgoingStore } from "./OutgoingStore.ts"
import { PaymentStore } from "./PaymentStore.ts"
import { lost, nonsense } from "./ProviderCalls.ts"
import { Sealed } from "./Sealed.ts"

export type Report = ProviderRefund | ProviderPayout

/** What a destination is sealed for: it opens in the row of this payout only. */
export const destinationPlace = (id: string): string => `payout:${id}`

// Providers remember a key for a day (Stripe: 24 h at least). What is older is looked for in their list before it is asked for again.
const keyLivesHours = 20

type Made = { readonly _tag: "Made"; readonly report: Report } | { readonly _tag: "Refused"; readonly code: string }

/** How a provider is asked to pay: under our own id, so that asking again finds what the first question made. */
export const asking = Effect.gen(function*() {
  const store = yield* OutgoingStore
  const payments = yield* PaymentStore
  const sealed = yield* Sealed
  const decode = Schema.decodeEffect(Schema.fromJsonString(Destination))

  const inList = Effect.fnUntraced(function*(gateway: Gateway, row: Outgoing, since: DateTime.Utc) {
    let cursor = Option.none<string>()
    let isUnsure = false
    for (let read = 0; read < mostPages; read++) {
      const page = { since, cursor }
      const { items, next, strange } = yield* row.kind === "refund"
        ? gateway.listRefunds(page)
        : gateway.listPayouts(page)
      const found: Report | undefined = items.find((one) => Option.contains(one.operationId, row.id))
      if (found !== undefined) return found
      isUnsure ||= strange.some((one) => mayBe(one, row.id))
      if (Option.isSome(next)) cursor = next
      // What cannot be read may be what was asked for: to take it for missing would be to pay twice, or to release what is paid.
      else if (isUnsure) break
      else return undefined
    }
    return yield* new ProviderNonsense({
      provider: row.provider,
      detail: "The provider's list has what cannot be read, or more than is read of it."
    })
  })

  const recipientOf = Effect.fnUntraced(function*(gateway: Gateway, row: Outgoing) {
    if (Option.isSome(row.recipient)) return row.recipient.value
    if (Option.isNone(row.destination)) return yield* Effect.die(new Error(`Payout ${row.id} has no destination`))
    const text = yield* sealed.open(row.destination.value, destinationPlace(row.id))
    const destination = yield* Effect.orDie(decode(Redacted.value(text)))
    const payoutId = PayoutId.make(row.id)
    const recipient = yield* gateway.createRecipient({ payoutId, destination, currency: row.currency })
    const written = yield* withDatabase(store.recipient(row.id, recipient))
    return Option.getOrElse(written.row.recipient, () => recipient)
  })

  const make = Effect.fnUntraced(function*(gateway: Gateway, row: Outgoing) {
    const { amount, currency, id } = row
    if (row.kind === "payout") {
      const recipient = yield* recipientOf(gateway, row)
      return yield* gateway.createPayout({ payoutId: PayoutId.make(id), recipient, amount, currency })
    }
    const payment = Option.isNone(row.paymentId)
      ? Option.none()
      : yield* withDatabase(payments.find(row.paymentId.value))
    const chargeReference = Option.flatMap(payment, (one) => one.providerReference)
    if (Option.isNone(chargeReference)) return yield* Effect.die(new Error(`Refund ${id} has no charge`))
    return yield* gateway.createRefund({
      refundId: RefundId.make(id),
      chargeReference: chargeReference.value,
      amount,
      currency
    })
  })

  /** What the list has of it, and where that is only the beginning, the rest. Undefined: the provider has nothing. */
  const found = Effect.fnUntraced(function*(gateway: Gateway, row: Outgoing, begunAt: DateTime.Utc) {
    const report = yield* inList(gateway, row, DateTime.subtract(begunAt, { hours: 1 }))
    if (report?.status !== "begun") return report
    const { amount, currency, id } = row
    return yield* gateway.resumePayout({ payoutId: PayoutId.make(id), begun: report.reference, amount, currency })
  })

  /** `before`: when it was first asked for, if it was. */
  const create = Effect.fnUntraced(function*(gateway: Gateway, row: Outgoing, before: Option.Option<DateTime.Utc>) {
    const now = DateTime.makeUnsafe(yield* Clock.currentTimeMillis)
    const isOld = Option.exists(before, (at) => DateTime.isLessThan(DateTime.add(at, { hours: keyLivesHours }), now))
    const looked: Effect.Effect<Report | undefined, ProviderError> = isOld && Option.isSome(before)
      ? found(gateway, row, before.value)
      : Effect.undefined
    const made = looked.pipe(
      Effect.flatMap((known): Effect.Effect<Report, ProviderError | Unavailable> =>
        known === undefined ? make(gateway, row) : Effect.succeed(known)
      ),
      // Perhaps because an earlier question made it, also one of this same call whose answer was lost: only the list can tell.
      Effect.catchTag("ProviderRefused", (refusal): Effect.Effect<Report, ProviderError> =>
        Effect.flatMap(
          found(gateway, row, Option.getOrElse(before, () => now)),
          // What was undone on the way, or failed there, is what was refused; the refusal says why.
          (known) => known === undefined || known.status === "failed" ? Effect.fail(refusal) : Effect.succeed(known)
        ))
    )
    return yield* made.pipe(
      Effect.map((report): Made => ({ _tag: "Made", report })),
      Effect.catchTags({
        ProviderNonsense: nonsense(row),
        ProviderRefused: (refusal) =>
          Effect.as(
            Effect.logWarning("The provider refused a refund or payout", { id: row.id, code: refusal.code }),
            { _tag: "Refused", code: refusal.code.slice(0, 500) } satisfies Made
          )
      })
    )
  })

  const retrieve = (
    gateway: Gateway,
    row: Outgoing,
    reference: string
  ): Effect.Effect<Report, ProviderUnavailable> => {
    const asked: Effect.Effect<Report, ProviderError> = row.kind === "refund"
      ? gateway.retrieveRefund(reference)
      : gateway.retrievePayout(reference)
    return Effect.catchTags(asked, { ProviderRefused: lost(row), ProviderNonsense: nonsense(row) })
  }

  /** What the provider has of it, also where its name for it was never heard. */
  const again = (gateway: Gateway, row: Outgoing): Effect.Effect<Option.Option<Report>, ProviderUnavailable> => {
    if (Option.isSome(row.providerReference)) {
      return Effect.map(retrieve(gateway, row, row.providerReference.value), Option.some)
    }
    const listed = inList(gateway, row, DateTime.subtract(row.createdAt, { hours: 1 }))
    return Effect.map(
      Effect.catchTags(listed, { ProviderRefused: lost(row), ProviderNonsense: nonsense(row) }),
      Option.fromUndefinedOr
    )
  }
  return { create, retrieve, again }
})
