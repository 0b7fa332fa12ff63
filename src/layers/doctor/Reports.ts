import { Effect } from "effect"
import type { SqlClient } from "effect/sql"
import { schemas } from "./Recorder.ts"

const ours = `ANY('{${schemas.join(",")}}')`

export interface SlowStatement {
  readonly role: string
  readonly calls: number
  readonly totalMs: number
  readonly meanMs: number
  readonly rows: number
  readonly statement: string
}

export interface Slow {
  readonly statements: ReadonlyArray<SlowStatement>
  /** Why there are none to show. */
  readonly unavailable: string | undefined
}

const extensionMissing = "pg_stat_statements is not available: put it into shared_preload_libraries and restart "
  + "PostgreSQL, or ask your provider for it; creating it takes the right to create extensions."

/**
 * The statements that took most time since the statistics were reset, by total_exec_time. Those of the owner are left
 * out: they are migrations, audits and this command.
 */
export const slowStatements = Effect.fnUntraced(function*(sql: SqlClient.SqlClient) {
  const created = yield* Effect.result(sql.unsafe("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").unprepared)
  const statements = yield* Effect.result(sql.unsafe<SlowStatement>(
    `SELECT r.rolname AS role, s.calls::float8 AS calls, s.total_exec_time AS "totalMs", s.mean_exec_time AS "meanMs",
            s.rows::float8 AS rows, regexp_replace(s.query, '\\s+', ' ', 'g') AS statement
       FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid
      WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND r.rolname <> current_user
      ORDER BY s.total_exec_time DESC LIMIT 15`
  ))
  const slow: Slow = statements._tag === "Success"
    ? { statements: statements.success, unavailable: undefined }
    : { statements: [], unavailable: created._tag === "Failure" ? `${extensionMissing}` : extensionMissing }
  return slow
})

export interface IndexUse {
  readonly table: string
  readonly index: string
  readonly definition: string
  readonly valid: boolean
  readonly scans: number
  readonly bytes: number
}

export const indexUse = (sql: SqlClient.SqlClient) =>
  sql.unsafe<IndexUse>(
    `SELECT n.nspname || '.' || t.relname AS table, i.relname AS index,
            CASE WHEN x.indisunique THEN 'unique ' ELSE '' END || substring(pg_get_indexdef(i.oid) FROM 'USING (.*)')
              AS definition,
            x.indisvalid AND x.indisready AS valid, coalesce(u.idx_scan, 0)::float8 AS scans,
            pg_relation_size(i.oid)::float8 AS bytes
       FROM pg_index x
       JOIN pg_class i ON i.oid = x.indexrelid
       JOIN pg_class t ON t.oid = x.indrelid
       JOIN pg_namespace n ON n.oid = t.relnamespace
       LEFT JOIN pg_stat_user_indexes u ON u.indexrelid = i.oid
      WHERE n.nspname = ${ours}
      ORDER BY pg_relation_size(i.oid) DESC, 1, 2`
  )

export interface TableSize {
  readonly table: string
  /** The planner's estimate. */
  readonly rows: number
  readonly bytes: number
  readonly indexBytes: number
  readonly sequentialScans: number
  /** PostgreSQL has counted a row at most. To find that, walking any of its indexes costs the same as the right one. */
  readonly almostEmpty: boolean
}

export const tableSizes = (sql: SqlClient.SqlClient) =>
  sql.unsafe<TableSize>(
    `SELECT n.nspname || '.' || t.relname AS table, greatest(t.reltuples, u.n_live_tup, 0)::float8 AS rows,
            pg_table_size(t.oid)::float8 AS bytes, pg_indexes_size(t.oid)::float8 AS "indexBytes",
            coalesce(u.seq_scan, 0)::float8 AS "sequentialScans",
            t.reltuples BETWEEN 0 AND 1 AND pg_relation_size(t.oid) <= current_setting('block_size')::int AS "almostEmpty"
       FROM pg_class t
       JOIN pg_namespace n ON n.oid = t.relnamespace
       LEFT JOIN pg_stat_user_tables u ON u.relid = t.oid
      WHERE n.nspname = ${ours} AND t.relkind = 'r'
      ORDER BY pg_total_relation_size(t.oid) DESC, 1`
  )
