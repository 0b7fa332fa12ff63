import { Effect } from "effect"
import { PersistedQueue } from "effect/persistence"
import { SqlClient } from "effect/sql"
import { statements } from "./statements.ts"

/**
 * The durable queues between bulkheads. Their tables are the library's: it creates them here, as the owner, so that no
 * server role needs CREATE. Each queue has one consumer, which works its rows, and producers, which only add to it.
 */
const queues = [
  { table: "payment_commands", consumer: "midnight_payments", producers: ["midnight_payments"] },
  { table: "settlement_commands", consumer: "midnight_rewards", producers: ["midnight_video_worker"] },
  { table: "verification_commands", consumer: "midnight_video_worker", producers: ["midnight_video_api"] }
]

export const queueTables = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql.unsafe("SET LOCAL search_path = queue").unprepared
  for (const { table, consumer, producers } of queues) {
    yield* Effect.scoped(PersistedQueue.makeStoreSql({ tableName: table }))
    yield* statements([
      `GRANT SELECT, INSERT, UPDATE, DELETE ON queue.${table} TO ${consumer}`,
      ...[consumer, ...producers].flatMap((role) => [
        `GRANT SELECT, INSERT ON queue.${table} TO ${role}`,
        `GRANT USAGE ON SEQUENCE queue.${table}_sequence_seq TO ${role}`,
        // The library locks its migrations table whenever a store is built, which takes more than SELECT.
        `GRANT SELECT, UPDATE ON queue.${table}_migrations TO ${role}`
      ])
    ])
  }
  yield* sql.unsafe("SET LOCAL search_path = public").unprepared
})
