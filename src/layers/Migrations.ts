import { Effect, Redacted, Schema } from "effect"
import { Migrator, SqlClient } from "effect/sql"
import { migrations } from "../../migrations/index.ts"
import { bulkheads, rolePassword } from "./Pools.ts"

export class MigrationsSkipped extends Schema.TaggedError<MigrationsSkipped>()("MigrationsSkipped", {
  message: Schema.String
}) {}

const table = "midnight_migrations"
const idOf = (name: string) => Number.parseInt(name, 10)

/**
 * The library applies what is newer than the newest that was applied, and nothing else: one that was merged late with a lower
 * number would never run, and nobody would be told.
 */
const refuseGaps = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const [there] = yield* sql.unsafe<{ readonly there: boolean }>(`SELECT to_regclass('${table}') IS NOT NULL AS there`)
  if (there?.there !== true) return
  const rows = yield* sql.unsafe<{ readonly id: number }>(`SELECT migration_id AS id FROM ${table}`)
  const applied = new Set(rows.map(({ id }) => id))
  const newest = Math.max(0, ...applied)
  const skipped = Object.keys(migrations).filter((name) => idOf(name) < newest && !applied.has(idOf(name)))
  if (skipped.length === 0) return
  return yield* new MigrationsSkipped({
    message:
      `This database is at migration ${newest} and lacks earlier ones, which would never run: ${skipped.join(", ")}. `
      + "It was made by a version between two releases; restore it from before, or start with a new one."
  })
})

/**
 * Brings the database to the newest schema, as its owner. Every migration of a run commits together or not at all, and a
 * lock makes two runs at once follow one another.
 */
export const migrate = Effect.andThen(
  refuseGaps,
  Migrator.make({})({ loader: Migrator.fromRecord(migrations), table })
)

/** Lets the bulkheads' roles log in, with the passwords that servers derive from the same secret. */
export const setRolePasswords = Effect.fnUntraced(function*(rolesSecret: Redacted.Redacted<string>) {
  const sql = yield* SqlClient.SqlClient
  for (const bulkhead of Object.values(bulkheads)) {
    // ALTER ROLE takes no parameters; the password is base64url and the role a literal, so nothing needs quoting.
    const password = Redacted.value(rolePassword(rolesSecret, bulkhead.role))
    yield* sql.unsafe(`ALTER ROLE midnight_${bulkhead.role} PASSWORD '${password}'`).unprepared
  }
})
