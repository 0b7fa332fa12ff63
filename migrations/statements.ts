import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/** Runs statements one by one: the wire protocol's prepared statements take one each, never a script. */
export const statements = (list: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    for (const statement of list) yield* sql.unsafe(statement).unprepared
  })
