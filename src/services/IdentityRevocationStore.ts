import { Context, Effect, Layer, Schema } from "effect"
import { SqlClient, type SqlError, SqlSchema } from "effect/sql"
import { SessionId, UserId } from "../domain/Ids.ts"
import { Role } from "../domain/Principal.ts"
import { decoded } from "./Database.ts"

/** A session that has ended, or how an account stands since a change: its roles, none when it may do nothing. */
const Row = Schema.Union([
  Schema.Struct({ sessionId: SessionId, userId: Schema.Null, roles: Schema.Null }),
  Schema.Struct({ sessionId: Schema.Null, userId: UserId, roles: Schema.NullOr(Schema.Array(Role)) })
])
export type RevocationRow = typeof Row.Type

/** What access tokens must no longer do; the tables' own triggers write it. */
export class IdentityRevocationStore extends Context.Service<IdentityRevocationStore, {
  /** Those of the last so many seconds by the database's clock, oldest first. */
  recent(seconds: number): Effect.Effect<ReadonlyArray<RevocationRow>, SqlError.SqlError>
}>()("midnight/services/identity/IdentityRevocationStore") {
  static readonly layer = Layer.effect(
    IdentityRevocationStore,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const recent = SqlSchema.findAll({
        Request: Schema.Finite,
        Result: Row,
        execute: (seconds) =>
          sql`SELECT session_id AS "sessionId", user_id AS "userId", roles FROM identity.revocations
               WHERE at > now() - make_interval(secs => ${seconds}::float8) ORDER BY at, id`
      })
      return IdentityRevocationStore.of({ recent: (seconds) => decoded(recent(seconds)) })
    })
  )
}
