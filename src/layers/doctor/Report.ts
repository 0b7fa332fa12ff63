import { PgClient } from "@effect/sql-pg"
import { Effect, Schema } from "effect"
import { diagnose, type Finding } from "./Diagnosis.ts"
import { examineAll, type Examined } from "./Examination.ts"
import { expectedIndexes } from "./Indexes.ts"
import { indexesOf, nodesOf } from "./Plan.ts"
import { type IndexUse, indexUse, type Slow, slowStatements, type TableSize, tableSizes } from "./Reports.ts"

export class NotMigrated extends Schema.TaggedError<NotMigrated>()("NotMigrated", { message: Schema.String }) {}

/** How a named query was run today, by EXPLAIN (ANALYZE, BUFFERS). */
export interface PlanReport {
  readonly query: string
  readonly statements: number
  /** All its statements together. */
  readonly milliseconds: number
  readonly blocksHit: number
  readonly blocksRead: number
  /** Indexes that were read, by the plans or by functions and triggers. */
  readonly indexes: ReadonlyArray<string>
  readonly healthy: boolean
}

export interface DoctorReport {
  readonly database: string
  readonly server: string
  readonly slow: Slow
  readonly plans: ReadonlyArray<PlanReport>
  readonly indexes: ReadonlyArray<IndexUse & { readonly neededBy: string; readonly unused: boolean }>
  readonly tables: ReadonlyArray<TableSize>
  readonly findings: ReadonlyArray<Finding>
  /** Parameters that had to be made up, as their table is empty. */
  readonly madeUpParameters: number
  readonly healthy: boolean
}

const sum = (numbers: ReadonlyArray<number>) => numbers.reduce((total, n) => total + n, 0)

const planReport = ({ failure, name, statements }: Examined, findings: ReadonlyArray<Finding>): PlanReport => {
  const plans = statements.map(({ explained }) => explained.Plan)
  const scanned = statements.flatMap(({ scans }) =>
    [...scans.keys()].filter((relation) => expectedIndexes[relation] === undefined)
      .map((relation) => relation.slice(relation.indexOf(".") + 1))
  )
  const planned = plans.flatMap(indexesOf)
  return {
    query: name,
    statements: statements.length,
    milliseconds: sum(statements.map(({ explained }) => explained["Execution Time"] ?? 0)),
    // The topmost node counts those below it.
    blocksHit: sum(plans.map((plan) => plan["Shared Hit Blocks"] ?? 0)),
    blocksRead: sum(plans.map((plan) => plan["Shared Read Blocks"] ?? 0)),
    indexes: [...new Set([...planned, ...scanned])].filter((index) => isIndex(index)),
    healthy: failure === undefined && plans.every((plan) => nodesOf(plan).length > 0)
      && !findings.some(({ query, severity }) => query === name && severity === "failure")
  }
}

const names = new Set(Object.values(expectedIndexes).flatMap((indexes) => Object.keys(indexes)))
const isIndex = (name: string) => names.has(name)

const neededBy = ({ index, table }: IndexUse): string => {
  const expected = expectedIndexes[table]?.[index]
  if (expected === undefined) return table.endsWith("_migrations") ? "the queue's library" : ""
  return expected.rule ?? expected.queries.join(", ")
}

/**
 * The four reports and what follows from them. Changes nothing: what is run to be explained is rolled back. `wanted` chooses
 * the queries whose plans are looked at; all by default.
 */
export const examineDatabase = Effect.fnUntraced(function*(wanted?: (query: string) => boolean) {
  const sql = yield* PgClient.PgClient
  const [place] = yield* sql.unsafe<{ readonly name: string; readonly server: string; readonly migrated: boolean }>(
    `SELECT current_database() AS name, current_setting('server_version') AS server,
            to_regclass('wallet.entries') IS NOT NULL AS migrated`
  )
  if (place === undefined || !place.migrated) {
    return yield* new NotMigrated({
      message: `The database ${place?.name ?? ""} has none of Midnight's tables. Run npm run migrate first.`
    })
  }
  const slow = yield* slowStatements(sql)
  // Read before the examination, whose own scans would count as use.
  const indexes = yield* indexUse(sql)
  const tables = yield* tableSizes(sql)
  const { madeUp, today, unscanned } = yield* examineAll(wanted)
  const findings = diagnose({ today, unscanned, indexes, tables })
  const report: DoctorReport = {
    database: place.name,
    server: place.server,
    slow,
    plans: today.map((examined) => planReport(examined, findings)),
    indexes: indexes.map((index) => ({ ...index, neededBy: neededBy(index), unused: index.scans === 0 })),
    tables,
    findings,
    madeUpParameters: madeUp,
    healthy: !findings.some(({ severity }) => severity === "failure")
  }
  return report
})
