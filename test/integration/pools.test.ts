import { assert, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Logger, Option } from "effect"
import { SqlClient } from "effect/sql"
import { Unavailable } from "../../src/domain/Problem.ts"
import { watchPeers } from "../../src/layers/IdentityLive.ts"
import { bulkheads, pool } from "../../src/layers/Pools.ts"
import { PaymentCommands, paymentCommands } from "../../src/services/Commands.ts"
import { NoConnection, withDatabase } from "../../src/services/Database.ts"
import { IdentityPeerStore } from "../../src/services/IdentityPeerStore.ts"
import { IdentityRevocationStore } from "../../src/services/IdentityRevocationStore.ts"
import { until } from "../layers/Held.ts"
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

it.live("gives a process that starts the time to connect, which a request has not", () =>
  Effect.gen(function*() {
    const impatient = pool("payments").pipe(
      Layer.provide(testConfig({ DATABASE_ACQUIRE_LIMIT: "1 millis" })),
      Layer.provide(PgTest.layer)
    )
    const queue = Effect.provide(PaymentCommands, paymentCommands())
    assert.isFunction((yield* Effect.provide(queue, impatient)).offer)
  }))

it.live("does not take a transaction for committed that had failed inside", () =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const exit = yield* Effect.exit(sql.withTransaction(Effect.ignore(sql`SELECT 1 / 0`)))
    assert.isTrue(Exit.isFailure(exit))
  }).pipe(Effect.provide(ground)))

it.live("lets an API process know of another one, and warns that each counts for itself", () =>
  Effect.gen(function*() {
    const said: Array<string> = []
    const capture = Logger.layer([Logger.make(({ message }) => said.push(String(message)))])
    const process = Layer.merge(
      IdentityPeerStore.layer.pipe(Layer.provideMerge(pool("identity"))),
      IdentityRevocationStore.layer.pipe(Layer.provide(pool("revocations")))
    )
    yield* Effect.gen(function*() {
      const first = yield* Layer.build(Layer.fresh(process))
      const second = yield* Layer.build(Layer.fresh(process))
      for (const one of [first, second]) {
        const { count } = Context.get(one, IdentityPeerStore)
        yield* Effect.retry(count, { times: 100 })
        yield* Effect.retry(Context.get(one, IdentityRevocationStore).since(Option.none(), 1), { times: 100 })
      }
      yield* Effect.forkScoped(Effect.provide(watchPeers, second))
      yield* until(() => said.some((line) => line.startsWith("2 API processes share this database without REDIS_URL")))
    }).pipe(Effect.provide(capture), Effect.scoped)
  }).pipe(Effect.provide(testConfig()), Effect.provide(PgTest.layer)))
