import type { DoctorReport } from "./Report.ts"

export interface ScreenOptions {
  readonly width: number
  readonly colour: boolean
}

type Align = "left" | "right"

const bytes = (n: number): string => {
  const units = ["B", "kB", "MB", "GB", "TB"]
  let value = n
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${value >= 10 || unit === 0 ? value.toFixed(0) : value.toFixed(1)} ${units[unit]}`
}
const count = (n: number) => Math.round(n).toLocaleString("en-US")
const time = (n: number) => n >= 100 ? n.toFixed(0) : n >= 1 ? n.toFixed(1) : n.toFixed(2)

const cut = (text: string, width: number) => text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`

/** Columns as wide as their widest cell; the last one takes what is left of the line. */
const table = (
  columns: ReadonlyArray<readonly [title: string, align: Align]>,
  rows: ReadonlyArray<ReadonlyArray<string>>,
  width: number
): ReadonlyArray<string> => {
  const widths = columns.map(([title], i) => Math.max(title.length, ...rows.map((row) => (row[i] ?? "").length)))
  const last = columns.length - 1
  const before = widths.slice(0, last).reduce((sum, w) => sum + w + 2, 2)
  widths[last] = Math.max(20, width - before)
  const line = (cells: ReadonlyArray<string>) =>
    `  ${
      cells.map((cell, i) => {
        const w = widths[i] ?? 0
        if (i === last) return cut(cell, w)
        return columns[i]?.[1] === "right" ? cell.padStart(w) : cell.padEnd(w)
      }).join("  ")
    }`.trimEnd()
  return [line(columns.map(([title]) => title)), ...rows.map(line)]
}

/** The report for a terminal. */
export const drawReport = (report: DoctorReport, { colour, width }: ScreenOptions): ReadonlyArray<string> => {
  const paint = (code: string) => (text: string) => colour ? `\u001b[${code}m${text}\u001b[0m` : text
  const bold = paint("1")
  const dim = paint("2")
  const red = paint("31")
  const green = paint("32")
  const yellow = paint("33")
  const section = (title: string, note: string, lines: ReadonlyArray<string>) => {
    const [head, ...rest] = lines
    return ["", `${bold(title)}  ${dim(note)}`, ...(head === undefined ? [] : [dim(head)]), ...rest]
  }
  const { findings, indexes, plans, slow, tables } = report

  const slowest = table(
    [["total ms", "right"], ["calls", "right"], ["mean ms", "right"], ["rows", "right"], ["role", "left"], [
      "statement",
      "left"
    ]],
    slow.statements.map((s) => [time(s.totalMs), count(s.calls), time(s.meanMs), count(s.rows), s.role, s.statement]),
    width
  )
  const planned = table(
    [["", "left"], ["query", "left"], ["statements", "right"], ["ms", "right"], ["blocks hit", "right"], [
      "read",
      "right"
    ], ["by index", "left"]],
    plans.map((p) => [
      p.healthy ? "✓" : "✗",
      p.query,
      count(p.statements),
      time(p.milliseconds),
      count(p.blocksHit),
      count(p.blocksRead),
      p.indexes.join(" ")
    ]),
    width
  ).map((line) => line.startsWith("  ✗") ? red(line) : line)
  const used = table(
    [["index", "left"], ["table", "left"], ["size", "right"], ["scans", "right"], ["needed by", "left"]],
    indexes.map((i) => [
      i.index,
      i.table,
      bytes(i.bytes),
      i.unused ? "unused" : count(i.scans),
      i.neededBy === "" ? "nobody" : i.neededBy
    ]),
    width
  )
  const sized = table(
    [["table", "left"], ["rows, about", "right"], ["table", "right"], ["indexes", "right"], [
      "sequential scans",
      "left"
    ]],
    tables.map((t) => [t.table, count(t.rows), bytes(t.bytes), bytes(t.indexBytes), count(t.sequentialScans)]),
    width
  )
  const failures = findings.filter(({ severity }) => severity === "failure")
  const warnings = findings.length - failures.length
  const made = report.madeUpParameters
  return [
    `${bold("Doctor")}  ${report.database}, PostgreSQL ${report.server}`,
    ...section(
      "Slow statements",
      "by total_exec_time, since the statistics were reset",
      slow.unavailable === undefined
        ? slow.statements.length === 0 ? ["  none yet: no server has sent a statement"] : slowest
        : [`  ${slow.unavailable}`]
    ),
    ...section(
      "Plans",
      "of every named query, by EXPLAIN (ANALYZE, BUFFERS), rolled back"
        + (made === 0 ? "" : `; ${made} parameters made up where a table is empty`),
      planned
    ),
    ...section("Index use", "scans since the statistics were reset", used),
    ...section("Sizes", "of tables and their indexes", sized),
    ...(findings.length === 0 ? [] : ["", bold("Findings")]),
    ...findings.map(({ index, query, says, severity, table }) => {
      const text = `${query}: ${table} ${says}${index === undefined ? "" : ` [index ${index}]`}`
      return severity === "failure" ? red(`  ✗ ${text}`) : yellow(`  ! ${text}`)
    }),
    "",
    report.healthy
      ? green(`✓ healthy: ${plans.length} queries, each by its index; ${indexes.length} indexes, ${warnings} warnings`)
      : red(`✗ ${failures.length} failures, ${warnings} warnings`)
  ]
}
