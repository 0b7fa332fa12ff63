import { Context, DateTime, Effect, Layer, Option, Schema } from "effect"
import type { UserId } from "../domain/Ids.ts"
import { cursorOf, cut, PositionInstant } from "../domain/Page.ts"
import { Provider } from "../domain/Payments.ts"
import { type InvalidRequest, NotFound, type Unavailable } from "../domain/Problem.ts"
import { EventId, type InboxEvent, type Replayed } from "../domain/Reconciliation.ts"
import { PaymentActs } from "./AuditStore.ts"
import { currentOrigin, offeredWith, PaymentCommands, subjectOf } from "./Commands.ts"
import { withDatabase } from "./Database.ts"
import { ReconciliationStore } from "./ReconciliationStore.ts"

const position = cursorOf(
  Schema.Struct({ at: PositionInstant, provider: Provider, eventId: EventId })
)

/** The inbox of provider events, for administrators. */
export class Webhooks extends Context.Service<Webhooks, {
  /** Newest first. */
  list(page: { readonly cursor: string | undefined; readonly limit: number }): Effect.Effect<
    { readonly items: ReadonlyArray<InboxEvent>; readonly nextCursor: string | null },
    InvalidRequest | Unavailable
  >
  /** Does again what the event led to: the provider is asked about what it was about. As often as one likes. */
  replay(provider: Provider, eventId: string, by: UserId): Effect.Effect<typeof Replayed.Type, NotFound | Unavailable>
}>()("midnight/services/payments/Webhooks") {
  static readonly layer = Layer.effect(
    Webhooks,
    Effect.gen(function*() {
      const store = yield* ReconciliationStore
      const commands = yield* PaymentCommands
      const acts = yield* PaymentActs

      const list = Effect.fn("Webhooks.list")(
        function*({ cursor, limit }: { readonly cursor: string | undefined; readonly limit: number }) {
          const before = yield* position.decode(cursor)
          const rows = yield* withDatabase(store.events(before, limit + 1))
          const page = yield* cut(
            rows,
            limit,
            (last) => position.encode({ at: last.position, provider: last.provider, eventId: last.eventId })
          )
          const items = page.items.map(({ operationId, paymentId, position: _, reference, ...event }) => ({
            ...event,
            id: `${event.provider}:${event.eventId}`,
            reference: Option.getOrNull(reference),
            paymentId: Option.getOrNull(paymentId),
            operationId: Option.getOrNull(operationId)
          }))
          return { items, nextCursor: page.nextCursor }
        }
      )

      const replay = Effect.fn("Webhooks.replay")(function*(provider: Provider, eventId: string, by: UserId) {
        const event = yield* withDatabase(store.event(provider, eventId))
        if (Option.isNone(event)) return yield* new NotFound({ detail: "There is no such event." })
        const replayedAt = yield* DateTime.now
        const subject = subjectOf(provider, event.value)
        const again = Effect.gen(function*() {
          if (Option.isNone(subject)) return
          const { about, id } = subject.value
          const command = { ...(yield* currentOrigin), ...about }
          const cause = `${id}:${eventId}:${DateTime.toEpochMillis(replayedAt)}`
          yield* offeredWith(commands.offer(command, { id: cause }))
        })
        yield* withDatabase(
          acts.recording({ kind: "webhook_replayed", by, subject: `${provider}:${eventId}` }, again)
        )
        return { provider, eventId, replayedAt }
      })

      return Webhooks.of({ list, replay })
    })
  )
}
