import { Context, Effect, Layer, Schema } from "effect"
import { SqlClient, type SqlError, SqlSchema } from "effect/sql"
import { decoded } from "./Database.ts"

/** The API processes that are connected now, by the database's own list of sessions. */
export class IdentityPeerStore extends Context.Service<IdentityPeerStore, {
  /** How many there are, this one included. */
  readonly count: Effect.Effect<number, SqlError.SqlError>
}>()("midnight/services/identity/IdentityPeerStore") {
  static readonly layer = Layer.effect(
    IdentityPeerStore,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      // Each process connects under a name of its own, of eight digits; what else it has connections for stands behind. A role sees its own sessions, and no more is needed.
      const count = SqlSchema.findOne({
        Request: Schema.Void,
        Result: Schema.Struct({ processes: Schema.Int }),
        execute: () =>
          sql`SELECT count(DISTINCT application_name)::int AS processes FROM pg_stat_activity
               WHERE usename = current_user AND datname = current_database() AND application_name LIKE 'midnight-identity ________'`
      })
      return IdentityPeerStore.of({
        count: Effect.map(
          Effect.catchTag(decoded(count(undefined)), "NoSuchElementError", Effect.die),
          (row) => row.processes
        )
      })
    })
  )
}
