import type { Examined } from "./Examination.ts"
import { expectedIndexes } from "./Indexes.ts"
import { type FullRead, fullReadsOf } from "./Plan.ts"
import type { IndexUse, TableSize } from "./Reports.ts"

export interface Finding {
  /** A failure ends the command with an exit code; a warning does not. */
  readonly severity: "failure" | "warning"
  /** The named query, or what else depends on it. */
  readonly query: string
  readonly table: string
  /** The index that is missing or wrong; undefined where none was ever made for that. */
  readonly index: string | undefined
  readonly says: string
}

/** From so many rows on, reading a whole table is a failure, whatever the planner thinks of it. */
export const largeRows = 10_000

// Tables that do not grow with use: a row per process that verifies, and one per migration of the queue's library.
const bounded = (table: string) => table === "video.heartbeats" || table.endsWith("_migrations")

// Whole indexes that may be walked: the query stops after a page, and most rows that it meets belong to it.
const walks: ReadonlyArray<readonly [query: string, index: string]> = [["RewardStore.list", "campaigns_listed"]]

const mayWalk = (query: string, index: string) => walks.some(([of, walked]) => of === query && walked === index)

/** Indexes that this query counts on and the database lacks, on that table. */
const missingFor = (query: string, table: string, present: ReadonlySet<string>): ReadonlyArray<string> =>
  Object.entries(expectedIndexes[table] ?? {})
    .filter(([index, expected]) => expected.queries.includes(query) && !present.has(`${table} ${index}`))
    .map(([index]) => index)

/** Holds the indexes of the database against those that are expected of it. */
export const judgeIndexes = (actual: ReadonlyArray<IndexUse>): ReadonlyArray<Finding> => {
  const found = new Map(actual.map((index) => [`${index.table} ${index.index}`, index]))
  const wrong = Object.entries(expectedIndexes).flatMap(([table, indexes]) =>
    Object.entries(indexes).flatMap(([index, { definition, queries, rule }]): ReadonlyArray<Finding> => {
      const there = found.get(`${table} ${index}`)
      if (there !== undefined && there.valid && there.definition === definition) return []
      const says = there === undefined
        ? `lacks its index: ${definition}`
        : there.valid
        ? `has another index of that name: ${there.definition} instead of ${definition}`
        : "has that index, but it is invalid: building it failed; REINDEX it"
      const depends = queries.length > 0 ? queries : [`the rule that ${rule ?? "it enforces"}`]
      return depends.map((query) => ({ severity: "failure", query, table, index, says }))
    })
  )
  const unneeded = actual.filter(({ index, table }) => expectedIndexes[table]?.[index] === undefined && !bounded(table))
  return [
    ...wrong,
    ...unneeded.map(({ index, table }): Finding => ({
      severity: "warning",
      query: "no query",
      table,
      index,
      says: "has an index that no query counts on: each write pays for it"
    }))
  ]
}

const describe = (read: FullRead): string =>
  read.filter === undefined ? "" : ` to find ${read.filter.replaceAll("::text", "")}`

interface Known {
  /** `wallet.entries entries_transfer`, of every index that is there. */
  readonly present: ReadonlySet<string>
  readonly almostEmpty: ReadonlySet<string>
}

/** What a query reads although it may not scan: there, PostgreSQL knows of no index that would do. */
const judgeUnscanned = (
  { name, statements }: Examined,
  { almostEmpty, present }: Known
): ReadonlyArray<Finding> => {
  const failures = new Map<string, Finding>()
  const add = (table: string, says: string) => {
    const missing = missingFor(name, table, present)
    const finding = { severity: "failure", query: name, table, index: missing.join(", ") || undefined, says } as const
    if (!failures.has(table)) failures.set(table, finding)
  }
  for (const { explained, scans } of statements) {
    for (const read of fullReadsOf(explained.Plan)) {
      if (bounded(read.table)) continue
      if (read.kind === "table") add(read.table, `is read as a whole${describe(read)}: no index serves that`)
      const { filter, index } = read
      // Without a filter it is one side of a join, which for a few rows is as good as any.
      if (index === undefined || filter === undefined || mayWalk(name, index)) continue
      // The plan of an almost empty table takes any index, and so tells nothing: there the list of indexes has to do.
      if (almostEmpty.has(read.table) && missingFor(name, read.table, present).length === 0) continue
      // A partial index that is read as a whole has just the rows that its condition asks for.
      if (/ WHERE /.test(expectedIndexes[read.table]?.[index]?.definition ?? "")) continue
      add(read.table, `is read by the whole of ${index}${describe(read)}: no index serves that`)
    }
    for (const [relation] of scans) {
      if (isTable(relation) && !bounded(relation)) {
        add(relation, "is read as a whole by a function, trigger or foreign key: no index serves that")
      }
    }
  }
  return [...failures.values()]
}

const isTable = (relation: string) => expectedIndexes[relation] !== undefined

/** What a query reads today that it should not. */
const judgeToday = ({ failure, name, statements }: Examined): ReadonlyArray<Finding> => {
  const failed: ReadonlyArray<Finding> = failure === undefined
    ? []
    : [{ severity: "failure", query: name, table: "?", index: undefined, says: `cannot run: ${failure}` }]
  const large = statements.flatMap(({ scans }) =>
    [...scans].flatMap(([relation, { rows, scans: times }]): ReadonlyArray<Finding> =>
      // Rows of one scan: a small table may be read many times.
      isTable(relation) && rows / times > largeRows
        ? [{
          severity: "failure",
          query: name,
          table: relation,
          index: undefined,
          says: `is scanned sequentially today, ${
            Math.round(rows / times)
          } rows: is there an index, and are the statistics fresh (ANALYZE)?`
        }]
        : []
    )
  )
  const walked = statements.flatMap(({ explained }) =>
    fullReadsOf(explained.Plan)
      .filter(({ index, kind, rows }) => kind === "index" && rows > largeRows && !mayWalk(name, index ?? ""))
      .map((read): Finding => ({
        severity: "failure",
        query: name,
        table: read.table,
        index: undefined,
        says: `is read by the whole of ${read.index ?? "an index"} today, ${read.rows} rows${describe(read)}`
      }))
  )
  return [...failed, ...large, ...walked]
}

export const diagnose = (given: {
  readonly today: ReadonlyArray<Examined>
  readonly unscanned: ReadonlyArray<Examined>
  readonly indexes: ReadonlyArray<IndexUse>
  readonly tables: ReadonlyArray<TableSize>
}): ReadonlyArray<Finding> => {
  const present = new Set(given.indexes.map(({ index, table }) => `${table} ${index}`))
  const almostEmpty = new Set(given.tables.filter((table) => table.almostEmpty).map(({ table }) => table))
  const byPlan = given.unscanned.flatMap((examined) => judgeUnscanned(examined, { present, almostEmpty }))
  const byList = judgeIndexes(given.indexes)
  const today = given.today.flatMap((examined) =>
    judgeToday(examined).map((finding) => {
      const missing = missingFor(finding.query, finding.table, present)
      return missing.length === 0 ? finding : { ...finding, index: missing.join(", ") }
    })
  )
  // One thing is said once: what a plan shows goes before what the list lacks.
  const said = new Set<string>()
  return [...byPlan, ...byList, ...today].filter(({ index, query, severity, table }) => {
    const key = `${severity} ${query} ${table} ${index ?? ""}`
    if (said.has(key)) return false
    said.add(key)
    return true
  }).sort((a, b) => a.severity.localeCompare(b.severity))
}
