import { PgConnection } from "@effect/sql-pg"
import { Effect } from "effect"
import { PgTest } from "./PgTest.ts"

/**
 * Tells whether a statement like this waits for a lock, in the database of this test file: the server's other databases have the
 * same statements, of other files. A server's statement waits for a second at most, so the connection is there before it.
 */
export const lockWatch = Effect.map(
  Effect.flatMap(PgTest, ({ ownerUrl }) => PgConnection.make({ url: ownerUrl })),
  (connection) => (pattern: string) =>
    Effect.map(
      connection.queryValues(
        `SELECT 1 FROM pg_stat_activity
          WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE $1`,
        [pattern]
      ),
      (rows) => rows.length > 0
    )
)
