import { Context, DateTime, Effect, Layer, Schema } from "effect"
import { SqlClient, type SqlError, SqlSchema } from "effect/sql"
import { SecurityEvent, type SecurityEventKind } from "../domain/IdentityAdmin.ts"
import { SecurityEventId, type SessionId, type UserId } from "../domain/Ids.ts"
import type { Role } from "../domain/Principal.ts"
import { CurrentRequest } from "../domain/Request.ts"
import type { WebhookScope } from "../domain/WebhookEndpoints.ts"
import { decoded } from "./Database.ts"
import { newId } from "./NewId.ts"

/** What happened, to whom, by whom; what is left out was not there. */
export interface Happened {
  readonly kind: SecurityEventKind
  readonly userId?: UserId | undefined
  readonly by?: UserId | undefined
  readonly sessionId?: SessionId | undefined
  readonly reason?: string | undefined
  readonly roles?: ReadonlyArray<Role> | undefined
  /** The id of what was acted on, where it is no account. Nothing personal. */
  readonly subject?: string | undefined
  readonly scope?: WebhookScope | undefined
}

/** A row of the log: what the domain says of an event, with the driver's time. */
export const EventRow = Schema.Struct({ ...SecurityEvent.fields, createdAt: Schema.DateTimeUtcFromDate })
export type EventRow = typeof EventRow.Type

/**
 * How a bulkhead writes the audit log, over connections of its own: within a transaction of theirs, what happened and its
 * record commit together. The database refuses kinds that are not that bulkhead's.
 */
export const recorder = (sql: SqlClient.SqlClient) => {
  const insert = SqlSchema.void({
    Request: EventRow,
    execute: (e) =>
      sql`INSERT INTO identity.security_events
            (id, kind, user_id, by_id, session_id, reason, roles, subject, scope, request_id, created_at)
          VALUES (${e.id}, ${e.kind}, ${e.userId}, ${e.by}, ${e.sessionId}, ${e.reason}, ${e.roles}::text[],
                  ${e.subject}, ${e.scope}, ${e.requestId}, ${e.createdAt})`
  })
  return Effect.fnUntraced(function*(happened: Happened) {
    const { by, kind, reason, roles, scope, sessionId, subject, userId } = happened
    yield* decoded(insert({
      id: yield* newId(SecurityEventId),
      kind,
      userId: userId ?? null,
      by: by ?? null,
      sessionId: sessionId ?? null,
      reason: reason ?? null,
      roles: roles ?? null,
      subject: subject ?? null,
      scope: scope ?? null,
      requestId: (yield* CurrentRequest).id,
      createdAt: yield* DateTime.now
    }))
  })
}

/** The payments bulkhead's own record of what administrators do in it. */
export class PaymentActs extends Context.Service<PaymentActs, {
  record(happened: Happened): Effect.Effect<void, SqlError.SqlError>
  /** Both or neither. */
  recording<A, E, R>(happened: Happened, act: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError.SqlError, R>
}>()("midnight/services/payments/PaymentActs") {
  static readonly layer = Layer.effect(
    PaymentActs,
    Effect.map(SqlClient.SqlClient, (sql) => {
      const record = recorder(sql)
      return PaymentActs.of({
        record,
        recording: (happened, act) => sql.withTransaction(Effect.andThen(record(happened), act))
      })
    })
  )
}
