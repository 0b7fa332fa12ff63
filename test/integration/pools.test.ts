import { assert, it } from "@effect/vitest"
import { Effect, Exit, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { Unavailable } from "../../src/domain/Problem.ts"
import { bulkheads, pool } from "../../src/layers/Pools.ts"
import { NoConnection, withDatabase } from "../../src/services/Database.ts"
import { PgTest } from "../layers/PgTest.ts"
import { testConfig } from "../layers/TestConfig.ts"

const ground = pool("wallet").pipe(
  Layer.provide(testConfig({ DATABASE_ACQUIRE_LIMIT: "50 millis" })),
  Layer.provide(PgTest.layer)
)

it.live("turns away whoever finds every connection taken, and serves again when one is free", () =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const one = sql<{ one: number }>`SELECT 1 AS one`
    yield* Effect.scoped(Effect.gen(function*() {
      // The first connections are made here, which may take longer than the limit on a busy machine.
      for (let taken = 0; taken < bulkheads.wallet.connections; taken++) {
        yield* Effect.retry(sql.reserve, { times: 100 })
      }
      const refused = yield* Effect.flip(one)
      assert.instanceOf(refused.reason.cause, NoConnection)
      assert.instanceOf((yield* Effect.flip(sql.withTransaction(one))).reason.cause, NoConnection)
      assert.instanceOf(yield* Effect.flip(withDatabase(one)), Unavailable)
    }))
    assert.deepStrictEqual(yield* Effect.retry(one, { times: 100 }), [{ one: 1 }])
  }).pipe(Effect.provide(ground)))

it.live("does not take a transaction for committed that had failed inside", () =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const exit = yield* Effect.exit(sql.withTransaction(Effect.ignore(sql`SELECT 1 / 0`)))
    assert.isTrue(Exit.isFailure(exit))
  }).pipe(Effect.provide(ground)))
