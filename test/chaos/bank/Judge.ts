import { PgConnection } from "@effect/sql-pg"
import { Effect, Redacted, Schema } from "effect"
import { spawnSync } from "node:child_process"
import { closeSync, openSync, readFileSync } from "node:fs"
import { join } from "node:path"

/** A claim that does not hold, how often, and the first cases of it. */
export interface Finding {
  readonly claim: string
  readonly times: number
  readonly first: ReadonlyArray<string>
}

const script = join(import.meta.dirname, "../reconcile.sql")

// The script's statements end with a semicolon before an empty line; what is for psql alone starts with a backslash.
const statements = (): ReadonlyArray<string> =>
  readFileSync(script, "utf8").split("\n").filter((line) => !line.startsWith("--"))
    .map((line) => line.startsWith("\\copy") ? "COPY;\n" : line).join("\n")
    .split(/;\s*\n\s*\n/).map((part) => part.trim().replace(/;$/, "")).filter((part) => part !== "")

const load = `INSERT INTO journal SELECT f[1], f[2], f[3], f[4], f[5]::bigint, f[6]
  FROM regexp_split_to_table($1, E'\\n') line, string_to_array(line, E'\\t') f WHERE line <> ''`

const Rows = Schema.decodeUnknownSync(
  Schema.Array(Schema.Tuple([Schema.String, Schema.Int, Schema.Array(Schema.String)]))
)

/** Runs reconcile.sql over the books and a journal, as its owner: what it finds to be broken. */
export const reconcile = (database: Redacted.Redacted<string>, journal: string) =>
  Effect.gen(function*() {
    const connection = yield* PgConnection.make({ url: database })
    const findings: Array<Finding> = []
    for (const statement of statements()) {
      if (statement === "COPY") yield* connection.query(load, [journal])
      else if (statement.startsWith("SELECT")) {
        for (const [claim, times, first] of Rows(yield* connection.queryValues(statement, []))) {
          findings.push({ claim, times, first })
        }
      } else if (!statement.startsWith("DO")) yield* connection.query(statement, [])
    }
    return findings
  }).pipe(Effect.scoped, Effect.orDie)

/** `clean` when the script ends without an error; what it printed otherwise. */
export interface PsqlVerdict {
  readonly clean: boolean
  readonly output: string
}

/** Runs the script by psql alone, with nothing of this program in between; nothing where psql is not installed. */
export const psql = (database: Redacted.Redacted<string>, journal: string): PsqlVerdict | undefined => {
  const { hostname, password, pathname, port, username } = new URL(Redacted.value(database))
  const input = openSync(journal, "r")
  const ended = spawnSync("psql", ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", script], {
    encoding: "utf8",
    stdio: [input, "pipe", "pipe"],
    timeout: 60_000,
    env: {
      PATH: process.env["PATH"] ?? "",
      PGHOST: hostname,
      PGPORT: port,
      PGUSER: username,
      PGPASSWORD: password,
      PGDATABASE: pathname.slice(1)
    }
  })
  closeSync(input)
  if (ended.error !== undefined) return undefined
  return { clean: ended.status === 0, output: `${ended.stdout}${ended.stderr}` }
}

const Glances = Schema.decodeUnknownSync(Schema.Array(Schema.Tuple([Schema.String])))

/** Deadlocks that PostgreSQL broke in this database since its start; statistics lag by a second. */
export const deadlocks = (database: Redacted.Redacted<string>) =>
  Effect.gen(function*() {
    const connection = yield* PgConnection.make({ url: database })
    const query = "SELECT deadlocks::text FROM pg_stat_database WHERE datname = current_database() AND deadlocks > 0"
    return Glances(yield* connection.queryValues(query, [])).map(([number]) => number)
  }).pipe(Effect.scoped, Effect.orDie)

const glance = `SELECT currency || ': all accounts together ' || sum(balance) FROM wallet.accounts
  GROUP BY currency HAVING sum(balance) <> 0
  UNION ALL SELECT 'account ' || id || ' below its floor' FROM wallet.accounts WHERE balance - held < floor`

/**
 * Looks at the books while they are written, one snapshot after another, for what must hold at every instant: a state that
 * is wrong only until the next commit would otherwise be seen by nobody. Waits out the crashes of the database.
 */
export const watch = (database: Redacted.Redacted<string>, report: (broken: string) => void) =>
  Effect.gen(function*() {
    const connection = yield* PgConnection.make({ url: database, connectTimeout: "1 second" })
    const look = Effect.map(connection.queryValues(glance, []), (rows) => Glances(rows).forEach(([one]) => report(one)))
    yield* Effect.forever(Effect.andThen(look, Effect.sleep("20 millis")))
  }).pipe(Effect.scoped, Effect.ignore, Effect.andThen(Effect.sleep("100 millis")), Effect.forever)
