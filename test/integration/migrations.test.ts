import { PgClient } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { migrate } from "../../src/layers/Migrations.ts"
import { PgTest } from "../layers/PgTest.ts"

layer(PgTest.layer, { excludeTestServices: true })("migrating", (it) => {
  it.effect("applies nothing to a database that is up to date, and refuses one that lacks an earlier migration", () =>
    Effect.gen(function*() {
      const { ownerUrl } = yield* PgTest
      yield* Effect.gen(function*() {
        const sql = yield* PgClient.PgClient
        assert.deepStrictEqual(yield* migrate, [])
        yield* sql`DELETE FROM midnight_migrations WHERE name = 'uploads'`
        const refused = yield* Effect.flip(migrate)
        assert.strictEqual(refused._tag, "MigrationsSkipped")
        assert.include(refused.message, "0012_uploads")
        assert.notInclude(refused.message, "0013")
      }).pipe(Effect.provide(PgClient.layer({ url: ownerUrl, maxConnections: 1 })))
    }))
})
