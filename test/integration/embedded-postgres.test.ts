import { PgConnection } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { PgTest } from "../layers/PgTest.ts"

const value = (url: Redacted.Redacted<string>, sql: string) =>
  Effect.gen(function*() {
    const connection = yield* PgConnection.make({ url })
    const rows = yield* connection.queryValues(sql, [])
    return rows[0]?.[0]
  }).pipe(Effect.scoped)

layer(PgTest.layer)("the database of a test file", (it) => {
  it.effect("lets each bulkhead's role log in with its derived password", () =>
    Effect.gen(function*() {
      const pg = yield* PgTest
      for (const role of ["identity", "wallet", "payments", "rewards", "video_api", "video_worker"]) {
        assert.strictEqual(yield* value(pg.urlFor(role), "SELECT current_user::text"), `midnight_${role}`)
      }
    }))
})
