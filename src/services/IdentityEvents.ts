import { Context, Effect, Layer, type Option } from "effect"
import type { SqlError } from "effect/sql"
import type { SecurityEventId, UserId } from "../domain/Ids.ts"
import type { Unavailable } from "../domain/Problem.ts"
import type { EventRow, Happened } from "./AuditStore.ts"
import { withDatabase } from "./Database.ts"
import { IdentityEventStore } from "./IdentityEventStore.ts"

/** The audit log: what happened to accounts, and what every bulkhead recorded beside it. */
export class SecurityEvents extends Context.Service<SecurityEvents, {
  /** Part of the caller's own transaction: what happened and its record commit together. */
  record(happened: Happened): Effect.Effect<void, SqlError.SqlError>
  page(query: {
    readonly of: Option.Option<UserId>
    readonly before: Option.Option<SecurityEventId>
    readonly limit: number
  }): Effect.Effect<ReadonlyArray<EventRow>, Unavailable>
}>()("midnight/services/identity/SecurityEvents") {
  static readonly layer = Layer.effect(
    SecurityEvents,
    Effect.gen(function*() {
      const store = yield* IdentityEventStore
      return SecurityEvents.of({
        record: store.record,
        page: Effect.fn("SecurityEvents.page")((query) => withDatabase(store.page(query)))
      })
    })
  )
}
