import { Context, Effect, Layer, Option, Schema } from "effect"
import { SqlClient, type SqlError, SqlSchema } from "effect/sql"
import { type SecurityEventId, UserId } from "../domain/Ids.ts"
import { EventRow, type Happened, recorder } from "./AuditStore.ts"
import { decoded } from "./Database.ts"

/** The log of security events: it only grows. */
export class IdentityEventStore extends Context.Service<IdentityEventStore, {
  record(happened: Happened): Effect.Effect<void, SqlError.SqlError>
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

      const columns = sql.literal(
        `id, kind, user_id AS "userId", by_id AS by, session_id AS "sessionId", reason, roles, subject, scope,
         request_id AS "requestId", created_at AS "createdAt"`
      )
      const last = "ffffffff-ffff-ffff-ffff-ffffffffffff"
      const page = SqlSchema.findAll({
        Request: Schema.Struct({ of: Schema.NullOr(UserId), before: Schema.String, limit: Schema.Int }),
        Result: EventRow,
        execute: ({ before, limit, of }) =>
          of === null
            ? sql`SELECT ${columns} FROM identity.security_events WHERE id < ${before} ORDER BY id DESC LIMIT ${limit}`
            : sql`SELECT ${columns} FROM identity.security_events WHERE user_id = ${of} AND id < ${before}
                   ORDER BY id DESC LIMIT ${limit}`
      })

      return IdentityEventStore.of({
        record: recorder(sql),
        page: ({ before, limit, of }) =>
          decoded(page({ of: Option.getOrNull(of), before: Option.getOrElse(before, () => last), limit }))
      })
    })
  )
}
