import { writeFileSync } from "node:fs"
import { faults } from "./Faults.ts"
import { bounds, type Options, type Pair, type Verdict } from "./Rounds.ts"

/** One row of the table. A fault that was run again has two, and so do its figures. */
export interface Row {
  readonly name: string
  readonly run: "first" | "again" | "regression"
  readonly verdict: Verdict
  readonly proof: string
  readonly pairs: ReadonlyArray<Pair>
}

export interface Report {
  readonly rows: ReadonlyArray<Row>
  /** Faults that this machine cannot have, with the reason. */
  readonly skipped: ReadonlyArray<string>
  /** Whether a pool that two bulkheads share was noticed; undefined where nobody looked. */
  readonly sharedPool: { readonly real: ReadonlyArray<string>; readonly mutant: ReadonlyArray<string> } | undefined
  readonly books: ReadonlyArray<string>
  readonly options: Options
  readonly machine: {
    readonly processor: string
    readonly cores: number
    readonly memoryGigabytes: number
    readonly system: string
  }
  readonly date: string
}

const ms = (value: number) => value >= 100 ? String(Math.round(value)) : value.toFixed(1)

const isWell = ({ run, verdict }: Row) => (verdict.broken.length === 0) !== (run === "regression")

const columns = ["", "fault", "errors", "p50", "with it", "ratio", "p99", "with it", "bound", "others", "seen"]

const cells = (row: Row): ReadonlyArray<string> => {
  const { errors, otherCores, p50, p99 } = row.verdict
  return [
    isWell(row) ? "✓" : "✗",
    row.run === "again" ? `${row.name} (again)` : row.name,
    String(errors),
    ms(p50.baseline),
    ms(p50.faulty),
    `${p50.ratio.toFixed(2)} ×`,
    ms(p99.baseline),
    ms(p99.faulty),
    ms(p99.bound),
    otherCores.toFixed(2),
    row.proof
  ]
}

const conditions = ({ date, machine, options }: Report) =>
  `${options.pairs} pairs of ${options.seconds} s, ${options.rate} payments/s; `
  + `${machine.processor}, ${machine.cores} cores, ${machine.memoryGigabytes} GB, ${machine.system}; ${
    date.slice(0, 10)
  }`

const poolsSay = ({ sharedPool }: Report): ReadonlyArray<string> =>
  sharedPool === undefined
    ? []
    : [
      sharedPool.real.length === 0
        ? "✓ every bulkhead has connections under its own name and role"
        : `✗ without a pool of their own: ${sharedPool.real.join(", ")}`,
      sharedPool.mutant.length > 0
        ? `✓ one pool for two bulkheads is noticed: ${sharedPool.mutant.join(", ")} has none of its own`
        : "✗ one pool for two bulkheads was NOT noticed"
    ]

/** Whether everything holds: a fault that was run again by its second run, unless payments failed in the first. */
export const holds = ({ books, rows, sharedPool }: Report): boolean =>
  rows.every((row, i) => isWell(row) || (row.verdict.errors === 0 && rows[i + 1]?.run === "again"))
  && books.length === 0
  && (sharedPool === undefined || (sharedPool.real.length === 0 && sharedPool.mutant.length > 0))

const words = (row: Row) => {
  const { broken } = row.verdict
  if (row.run === "regression") {
    return broken.length > 0 ? `✓ ${row.name} is caught: ${broken.join("; ")}` : `✗ ${row.name} is NOT caught`
  }
  return broken.length > 0 ? `✗ ${row.name}${row.run === "again" ? " (again)" : ""}: ${broken.join("; ")}` : undefined
}

/** The report for a terminal. */
export const table = (report: Report): string => {
  const lines = [columns, ...report.rows.map(cells)]
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => (line[i] ?? "").length)))
  const left = [0, 1, 10]
  const shown = lines.map((line) =>
    `  ${
      line.map((cell, i) => left.includes(i) ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)).join("  ")
    }`
      .trimEnd()
  )
  const notes = [
    ...report.rows.flatMap((row) => words(row) ?? []),
    ...poolsSay(report),
    ...report.skipped.map((what) => `– skipped ${what}`),
    ...(report.books.length === 0 ? ["✓ the books are in order"] : report.books.map((fault) => `✗ ${fault}`))
  ]
  return [
    "",
    ...shown,
    "",
    `  Milliseconds; medians over the pairs. Bounds: no error, p50 ≤ ${bounds.p50} ×, p99 ≤ the larger of ${bounds.p99} × and `
    + `${bounds.p99Floor} ms. others: cores busy with what is not ours.`,
    "",
    ...notes.map((note) => `  ${note}`),
    "",
    `  ${conditions(report)}`,
    ""
  ].join("\n")
}

/** The same as a table for a page of documentation. */
export const markdown = (report: Report): string =>
  [
    "| fault | errors | p50 ms | with it | ratio | p99 ms | with it | bound | others | seen |",
    "|---|--:|--:|--:|--:|--:|--:|--:|--:|---|",
    ...report.rows.map((row) => {
      const [, name = "", ...rest] = cells(row)
      const says = row.run === "regression"
        ? `planted: \`${name}\`, ${isWell(row) ? "caught" : "NOT caught"}`
        : `\`${name}\``
      return `| ${[says, ...rest].join(" | ")} |`
    }),
    "",
    `${conditions(report)}.`,
    ""
  ].join("\n")

export const writeJson = (path: string, report: Report): void =>
  writeFileSync(path, `${JSON.stringify({ ...report, bounds, holds: holds(report) }, null, 2)}\n`)

const escape = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")

const rowHeight = 30
const begin = 190
const width = 900
const scale = 165

/** The payments' p99 beside its baseline for each fault, on a logarithmic scale. Readable on light and dark. */
export const plot = (report: Report): string => {
  const x = (value: number) => begin + Math.max(0, Math.log10(Math.max(value, 3) / 3)) * scale
  const height = 80 + report.rows.length * rowHeight + 20
  const rows = report.rows.map((row, i) => {
    const { p99 } = row.verdict
    const y = 62 + i * rowHeight
    const says = row.run === "regression" ? "a wall taken away" : faults[row.name]?.says ?? ""
    const [from, to] = [x(Math.min(p99.baseline, p99.faulty)), x(Math.max(p99.baseline, p99.faulty))]
    return [
      `<text x="${begin - 12}" y="${y + 5}" text-anchor="end">${escape(row.name)}</text>`,
      `<path d="M${from.toFixed(0)} ${y}H${to.toFixed(0)}" class="span"/>`,
      `<circle cx="${x(p99.baseline).toFixed(0)}" cy="${y}" r="5" class="calm"/>`,
      `<circle cx="${x(p99.faulty).toFixed(0)}" cy="${y}" r="6" class="${
        row.verdict.broken.length === 0 ? "good" : "bad"
      }">`
      + `<title>${escape(says)}</title></circle>`,
      `<path d="M${x(p99.bound).toFixed(0)} ${y - 9}v18" class="bound"/>`,
      `<text x="${(Math.max(to, x(p99.bound)) + 12).toFixed(0)}" y="${y + 5}">${
        escape(
          `${ms(p99.faulty)} ms${row.verdict.errors > 0 ? `, ${row.verdict.errors} errors` : ""}`
        )
      }</text>`
    ].join("\n")
  })
  const ticks = [10, 100, 1_000, 10_000].map((value) =>
    `<path d="M${x(value).toFixed(0)} 46V${height - 30}" class="tick"/>`
    + `<text x="${x(value).toFixed(0)}" y="40" text-anchor="middle">${value.toLocaleString("en-US")} ms</text>`
  )
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="13">
<style>
text { fill: #57606a } .head { font-weight: 600 } .calm { fill: #8c959f } .good { fill: #2da44e } .bad { fill: #cf222e }
.span { stroke: #8c959f; stroke-width: 2 } .bound { stroke: #bf8700; stroke-width: 2.5 } .tick { stroke: #8c959f; opacity: .3 }
@media (prefers-color-scheme: dark) { text { fill: #c9d1d9 } }
</style>
<text x="${begin}" y="18" class="head">p99 of payments: without the fault (grey), with it, and what is allowed (bar)</text>
${ticks.join("\n")}
${rows.join("\n")}
<text x="12" y="${height - 8}" font-size="11">${escape(conditions(report))}</text>
</svg>
`
}
