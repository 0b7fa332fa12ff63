import { Effect, Redacted } from "effect"
import { Migrator, SqlClient } from "effect/sql"
import { migrations } from "../../migrations/index.ts"
import { bulkheads, rolePassword } from "./Pools.ts"

/**
 * Brings the database to the newest schema, as its owner. Every migration of a run commits together or not at all, and a
 * lock makes two runs at once follow one another.
 */
export const migrate = Migrator.make({})({ loader: Migrator.fromRecord(migrations), table: "midnight_migrations" })

/** Lets the bulkheads' roles log in, with the passwords that servers derive from the same secret. */
export const setRolePasswords = Effect.fnUntraced(function*(rolesSecret: Redacted.Redacted<string>) {
  const sql = yield* SqlClient.SqlClient
  for (const bulkhead of Object.values(bulkheads)) {
    // ALTER ROLE takes no parameters; the password is base64url and the role a literal, so nothing needs quoting.
    const password = Redacted.value(rolePassword(rolesSecret, bulkhead.role))
    yield* sql.unsafe(`ALTER ROLE midnight_${bulkhead.role} PASSWORD '${password}'`).unprepared
  }
})
