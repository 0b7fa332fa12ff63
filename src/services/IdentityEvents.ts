import { Context, DateTime, Effect, Layer, type Option } from "effect"
import type { SqlError } from "effect/sql"
import type { SecurityEventKind } from "../domain/IdentityAdmin.ts"
import { SecurityEventId, type SessionId, type UserId } from "../domain/Ids.ts"
import type { Role } from "../domain/Principal.ts"
import type { Unavailable } from "../domain/Problem.ts"
import { CurrentRequestId } from "../domain/Request.ts"
import { withDatabase } from "./Database.ts"
import { type EventRow, IdentityEventStore } from "./IdentityEventStore.ts"
import { newId } from "./NewId.ts"

/** What happened, to whom, by whom; what is left out was not there. */
export interface Happened {
  readonly kind: SecurityEventKind
  readonly userId?: UserId | undefined
  readonly by?: UserId | undefined
  readonly sessionId?: SessionId | undefined
  readonly reason?: string | undefined
  readonly roles?: ReadonlyArray<Role> | undefined
}

/** The audit log of accounts. */
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
        record: Effect.fnUntraced(function*({ by, kind, reason, roles, sessionId, userId }) {
          yield* store.insert({
            id: yield* newId(SecurityEventId),
            kind,
            userId: userId ?? null,
            by: by ?? null,
            sessionId: sessionId ?? null,
            reason: reason ?? null,
            roles: roles ?? null,
            requestId: yield* CurrentRequestId,
            createdAt: yield* DateTime.now
          })
        }),
        page: Effect.fn("SecurityEvents.page")((query) => withDatabase(store.page(query)))
      })
    })
  )
}
