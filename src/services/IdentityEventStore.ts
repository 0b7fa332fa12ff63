import { Context, Effect, Layer, Option, Schema } from "effect"
import { SqlClient, type SqlError, SqlSchema } from "effect/sql"
import { SecurityEventKind } from "../domain/IdentityAdmin.ts"
import { SecurityEventId, SessionId, UserId } from "../domain/Ids.ts"
import { Role } from "../domain/Principal.ts"
import { decoded } from "./Database.ts"

const Row = Schema.Struct({
  id: SecurityEventId,
  kind: SecurityEventKind,
  userId: Schema.NullOr(UserId),
  by: Schema.NullOr(UserId),
  sessionId: Schema.NullOr(SessionId),
  reason: Schema.NullOr(Schema.String),
  roles: Schema.NullOr(Schema.Array(Role)),
  requestId: Schema.String,
  createdAt: Schema.DateTimeUtcFromDate
})
export type EventRow = typeof Row.Type

/** The log of security events: it only grows. */
export class IdentityEventStore extends Context.Service<IdentityEventStore, {
  insert(event: EventRow): Effect.Effect<void, SqlError.SqlError>
  /** Newest first, older than `before`: of everybody, or of one account. */
  page(query: {
    readonly of: Option.Option<UserId>
    readonly before: Option.Option<SecurityEventId>
    readonly limit: number
  }): Effect.Effect<ReadonlyArray<EventRow>, SqlError.SqlError>
}>()("midnight/services/identity/IdentityEventStore") {
  static readonly layer = Layer.effect(
    IdentityEventStore,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient

      const insert = SqlSchema.void({
        Request: Row,
        execute: (e) =>
          sql`INSERT INTO identity.security_events
                (id, kind, user_id, by_id, session_id, reason, roles, request_id, created_at)
              VALUES (${e.id}, ${e.kind}, ${e.userId}, ${e.by}, ${e.sessionId}, ${e.reason}, ${e.roles}::text[],
                      ${e.requestId}, ${e.createdAt})`
      })
      const columns = sql.literal(
        `id, kind, user_id AS "userId", by_id AS by, session_id AS "sessionId", reason, roles,
         request_id AS "requestId", created_at AS "createdAt"`
      )
      const last = "ffffffff-ffff-ffff-ffff-ffffffffffff"
      const page = SqlSchema.findAll({
        Request: Schema.Struct({ of: Schema.NullOr(UserId), before: Schema.String, limit: Schema.Int }),
        Result: Row,
        execute: ({ before, limit, of }) =>
          of === null
            ? sql`SELECT ${columns} FROM identity.security_events WHERE id < ${before} ORDER BY id DESC LIMIT ${limit}`
            : sql`SELECT ${columns} FROM identity.security_events WHERE user_id = ${of} AND id < ${before}
                   ORDER BY id DESC LIMIT ${limit}`
      })

      return IdentityEventStore.of({
        insert: (event) => decoded(insert(event)),
        page: ({ before, limit, of }) =>
          decoded(page({ of: Option.getOrNull(of), before: Option.getOrElse(before, () => last), limit }))
      })
    })
  )
}
