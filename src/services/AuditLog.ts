import { Context, DateTime, Effect, Layer, Option, Schema } from "effect"
import type { AuditEntry } from "../domain/IdentityAdmin.ts"
import { SecurityEventId } from "../domain/Ids.ts"
import { cursorOf, PositionNumber } from "../domain/Page.ts"
import type { InvalidRequest, Unavailable } from "../domain/Problem.ts"
import { SecurityEvents } from "./IdentityEvents.ts"
import { LedgerAdmin } from "./LedgerAdmin.ts"

// Each of the two logs has its own order. A page takes from both what is newest; how far each was read is the cursor.
const position = cursorOf(Schema.Struct({
  event: Schema.OptionFromNullOr(SecurityEventId),
  act: Schema.OptionFromNullOr(PositionNumber)
}))

interface Line {
  readonly entry: AuditEntry
  readonly event: Option.Option<SecurityEventId>
  readonly act: Option.Option<bigint>
}

/** Always the newer of the two heads: sorting both together could leave out what one log has in another order than its times. */
const merged = (events: ReadonlyArray<Line>, acts: ReadonlyArray<Line>, limit: number): ReadonlyArray<Line> => {
  const taken: Array<Line> = []
  let [event, act] = [events[0], acts[0]]
  let [e, a] = [0, 0]
  while (taken.length < limit) {
    if (
      event !== undefined && (act === undefined || DateTime.isGreaterThan(event.entry.createdAt, act.entry.createdAt))
    ) {
      taken.push(event)
      event = events[++e]
    } else if (act !== undefined) {
      taken.push(act)
      act = acts[++a]
    } else return taken
  }
  return taken
}

/** What every bulkhead recorded, and what administrators did on the ledger, as one list. */
export class AuditLog extends Context.Service<AuditLog, {
  /** Newest first. */
  page(query: { readonly cursor: string | undefined; readonly limit: number }): Effect.Effect<
    { readonly items: ReadonlyArray<AuditEntry>; readonly nextCursor: string | null },
    InvalidRequest | Unavailable
  >
}>()("midnight/services/AuditLog") {
  static readonly layer = Layer.effect(
    AuditLog,
    Effect.gen(function*() {
      const events = yield* SecurityEvents
      const ledger = yield* LedgerAdmin
      return AuditLog.of({
        page: Effect.fn("AuditLog.page")(function*({ cursor, limit }) {
          const from = Option.getOrElse(yield* position.decode(cursor), () => ({
            event: Option.none<SecurityEventId>(),
            act: Option.none<bigint>()
          }))
          const [happened, acts] = yield* Effect.all([
            events.page({ of: Option.none(), before: from.event, limit: limit + 1 }),
            ledger.acts(from.act, limit + 1)
          ], { concurrency: 2 })
          const taken = merged(
            happened.map((entry) => ({ entry, event: Option.some(entry.id), act: Option.none() })),
            acts.map(({ act, seq }) => ({ entry: act, event: Option.none(), act: Option.some(seq) })),
            limit
          )
          const reached = taken.reduce((at, { act, event }) => ({
            event: Option.orElse(event, () => at.event),
            act: Option.orElse(act, () => at.act)
          }), from)
          const nextCursor = happened.length + acts.length > limit ? yield* position.encode(reached) : null
          return { items: taken.map(({ entry }) => entry), nextCursor }
        })
      })
    })
  )
}
