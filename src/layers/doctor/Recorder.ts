import { PgClient, PgConnection } from "@effect/sql-pg"
import { Effect, Semaphore, Stream } from "effect"
import { Reactivity } from "effect/reactivity"
import { SqlClient, type SqlConnection, type SqlError } from "effect/sql"
import { decodeExplained, type Explained } from "./Plan.ts"

/** One statement that a store sent, with the plan PostgreSQL made for these very parameters. */
export interface Recorded {
  readonly sql: string
  readonly explained: Explained
  /** Scans that running it began, by `schema.relation`: of tables sequentially, of indexes in any way. With what it calls. */
  readonly scans: ReadonlyMap<string, { readonly scans: number; readonly rows: number }>
}

/** The schemas of the application. */
export const schemas = [
  "identity",
  "wallet",
  "payments",
  "webhooks",
  "rewards",
  "video",
  "queue",
  "idempotency"
] as const

// Counts of this transaction alone, and so of this connection. Functions, triggers and foreign keys are in them, whose
// statements EXPLAIN does not show.
const counting = `SELECT n.nspname || '.' || c.relname, pg_stat_get_xact_numscans(c.oid)::int,
    pg_stat_get_xact_tuples_returned(c.oid)::int
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = ANY('{${schemas.join(",")}}') AND c.relkind IN ('r', 'i')`

const countScans = Effect.fnUntraced(function*(connection: PgConnection.PgConnection) {
  const rows = yield* connection.queryValues(counting)
  return new Map(rows.map(([name, scans, read]) => [String(name), { scans: Number(scans), rows: Number(read) }]))
})

type Counts = Effect.Success<ReturnType<typeof countScans>>

const grown = (before: Counts, after: Counts): Counts =>
  new Map(
    [...after].flatMap(([name, now]) => {
      const then = before.get(name) ?? { scans: 0, rows: 0 }
      const scans = now.scans - then.scans
      return scans > 0 ? [[name, { scans, rows: now.rows - then.rows }] as const] : []
    })
  )

export interface RecorderOptions {
  /** Runs each statement once more, before it is run for the store, under EXPLAIN ANALYZE. */
  readonly analyze: boolean
  /** Settings of the session. */
  readonly settings: Readonly<Record<string, string>>
}

/**
 * A SqlClient for stores that notes what they send, and lets nothing stay: `examine` runs its work in a transaction that
 * is rolled back. So the statements are the application's own, not copies of them that age. A store's own transactions
 * become savepoints in it.
 */
export const makeRecorder = Effect.fnUntraced(function*(options: RecorderOptions) {
  const { config } = yield* PgClient.PgClient
  const connection = yield* PgConnection.make({
    ...config,
    startupParameters: {
      TimeZone: "UTC",
      search_path: "queue, public",
      // What the doctor waits for, or holds, is short: it may look at a database that serves.
      lock_timeout: "2000",
      statement_timeout: "30000",
      ...options.settings
    }
  })
  // The queue's poller runs beside its taker; each statement is one sequence of several on the connection.
  const turn = yield* Semaphore.make(1)
  let recorded: Array<Recorded> | undefined

  const explain = Effect.fnUntraced(function*(sql: string, params: ReadonlyArray<unknown>) {
    const how = options.analyze ? "ANALYZE, BUFFERS, VERBOSE, FORMAT JSON" : "VERBOSE, FORMAT JSON"
    yield* connection.query("SAVEPOINT doctor")
    const [row] = yield* connection.queryValues(`EXPLAIN (${how}) ${sql}`, params, false)
    yield* connection.query("ROLLBACK TO SAVEPOINT doctor")
    const [explained] = yield* Effect.orDie(decodeExplained(row?.[0]))
    return explained
  })

  const note = <A>(sql: string, params: ReadonlyArray<unknown>, run: Effect.Effect<A, SqlError.SqlError>) =>
    turn.withPermit(Effect.gen(function*() {
      const list = recorded
      if (list === undefined || !/^\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b/i.test(sql)) return yield* run
      const explained = yield* explain(sql, params)
      const before = yield* countScans(connection)
      const result = yield* run
      list.push({ sql, explained, scans: grown(before, yield* countScans(connection)) })
      return result
    }))

  const execute: SqlConnection.Connection["execute"] = (sql, params) =>
    note(sql, params, Effect.map(connection.query(sql, params), (result) => result.rows))
  const unrecorded: SqlConnection.Connection["execute"] = (sql, params) =>
    turn.withPermit(Effect.map(connection.query(sql, params, false), (result) => result.rows))
  const client = yield* SqlClient.make({
    acquirer: Effect.succeed({
      execute,
      executeRaw: (sql, params) => note(sql, params, connection.query(sql, params)),
      executeStream: (sql, params, transform) => Stream.fromIterableEffect(execute(sql, params, transform)),
      executeValues: (sql, params) => note(sql, params, connection.queryValues(sql, params)),
      executeValuesUnprepared: (sql, params) => note(sql, params, connection.queryValues(sql, params, false)),
      executeUnprepared: unrecorded
    }),
    compiler: PgClient.makeCompiler(),
    driver: "pg",
    spanAttributes: [],
    beginTransaction: "SAVEPOINT store",
    commit: "RELEASE SAVEPOINT store",
    rollback: "ROLLBACK TO SAVEPOINT store"
  }).pipe(Effect.provide(Reactivity.layer))

  return {
    client,
    connection,
    /** Everything inside is undone. */
    undone: <A, E, R>(work: Effect.Effect<A, E, R>) =>
      Effect.acquireUseRelease(connection.query("BEGIN"), () => work, () => Effect.orDie(connection.query("ROLLBACK"))),
    /** What the work sends to the database; to be called inside `undone`. */
    record: Effect.fnUntraced(function*<E, R>(work: Effect.Effect<unknown, E, R>) {
      const list: Array<Recorded> = []
      recorded = list
      const exit = yield* Effect.exit(Effect.ensuring(work, Effect.sync(() => recorded = undefined)))
      return { statements: list, exit }
    })
  }
})

export type Recorder = Effect.Success<ReturnType<typeof makeRecorder>>
