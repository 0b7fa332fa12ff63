import { writeFileSync } from "node:fs"
import { median, type Sample } from "./rounds.ts"
import { type Row, standing, targets } from "./rows.ts"

export interface Report {
  readonly rows: ReadonlyArray<Row>
  readonly machine: {
    readonly processor: string
    readonly cores: number
    readonly memoryGigabytes: number
    readonly system: string
  }
  readonly versions: Readonly<Record<string, string>>
  readonly date: string
  readonly rounds: number
  readonly seconds: number
  readonly samples: Readonly<Record<string, ReadonlyArray<Sample>>>
}

export const writeJson = (file: string, report: Report): void => {
  writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`)
}

const figure = (value: number | null): string =>
  value === null ? "" : value >= 100 ? Math.round(value).toLocaleString("en-US") : value.toFixed(value >= 10 ? 1 : 2)

const marks = ["✗", "✓", "★"] as const
const mark = (row: Row) => {
  const reached = standing(row)
  return reached === undefined ? "–" : marks[reached]
}

const columns = ["", "row", "ours", "peer", "unit", "ratio", "range", "least", "goal"]

const cells = (row: Row): ReadonlyArray<string> => [
  mark(row),
  row.row,
  figure(row.ours),
  figure(row.peer),
  row.unit,
  row.ratio === null ? "" : `${figure(row.ratio)} ×`,
  row.low === null ? "" : `${figure(row.low)}–${figure(row.high)}`,
  figure(row.atLeast),
  figure(row.goal)
]

const right = new Set([2, 3, 5, 6, 7, 8])

const resources = (name: string, samples: ReadonlyArray<Sample>): string => {
  const of = (pick: (sample: Sample) => number) => median(samples.map(pick))
  return [
    `  ${name.padEnd(28)}`,
    `${figure(of((s) => s.perSecond)).padStart(8)}/s`,
    `p50 ${figure(of((s) => s.p50)).padStart(6)} ms`,
    `p99 ${figure(of((s) => s.p99)).padStart(6)} ms`,
    `server ${figure(of((s) => s.serverMicros)).padStart(6)} µs`,
    `PostgreSQL ${figure(of((s) => s.postgresMicros)).padStart(6)} µs`,
    `load ${of((s) => s.generatorCores).toFixed(2)} cores`,
    `others ${of((s) => s.otherCores).toFixed(2)} cores`
  ].join("  ")
}

const words = ["below", "at least", "goal"] as const

/** The rows as a table for a page of documentation, with the machine and the date. */
export const markdown = ({ date, machine, rounds, rows, seconds, versions }: Report): string => {
  const line = (row: Row) => {
    const reached = standing(row)
    const [, name, ours, peer, unit, ratio, range, least, goal] = cells(row)
    const result = reached === undefined ? `skipped: ${row.reason ?? ""}` : words[reached]
    return `| \`${name}\` | ${ours} | ${peer} | ${unit} | ${ratio} | ${range} | ${least} | ${goal} | ${result} |`
  }
  const notes = rows.filter(({ pass, reason }) => pass !== null && reason !== undefined)
    .map(({ reason, row }) => `- \`${row}\`: ${reason}`)
  return [
    "| row | ours | peer | unit | ratio | range | at least | goal | reached |",
    "|---|--:|--:|---|--:|--:|--:|--:|---|",
    ...rows.map(line),
    "",
    ...notes,
    ...(notes.length === 0 ? [] : [""]),
    `${
      date.slice(0, 10)
    }; ${machine.processor}, ${machine.cores} cores, ${machine.memoryGigabytes} GB, ${machine.system};`,
    `${rounds} rounds of ${seconds} s; ${
      Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(", ")
    }.`,
    ""
  ].join("\n")
}

export const table = (report: Report): string => {
  const lines = [columns, ...report.rows.map(cells)]
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => (line[i] ?? "").length)))
  const shown = lines.map((line) =>
    `  ${line.map((cell, i) => right.has(i) ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)).join("  ")}`
      .trimEnd()
  )
  const notes = report.rows.filter(({ reason }) => reason !== undefined).map(({ reason, row }) => `  ${row}: ${reason}`)
  const { machine, versions } = report
  return [
    "",
    ...shown,
    "",
    "  ★ goal reached   ✓ at least reached   ✗ neither   – skipped. Ratios are medians over the rounds.",
    ...(notes.length === 0 ? [] : ["", ...notes]),
    "",
    ...Object.entries(report.samples).map(([name, samples]) => resources(name, samples)),
    "",
    `  ${machine.processor}, ${machine.cores} cores, ${machine.memoryGigabytes} GB, ${machine.system}`,
    `  ${Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(" · ")}`,
    `  ${report.date}, ${report.rounds} rounds of ${report.seconds} s`,
    ""
  ].join("\n")
}

const escape = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")

/** How far a row is from its least: 1 is exactly there, 2 is twice as good. */
const reach = ({ atLeast, goal, ours, ratio }: Row) => {
  const value = ratio ?? ours
  if (value === null) return undefined
  const better = (to: number) => goal < atLeast ? to === 0 ? 0 : atLeast / to : to / atLeast
  return { value: better(value), goal: better(goal) }
}

const rowHeight = 34
const left = 230
const width = 900

/** A bar per row on a logarithmic scale, with a line at "at least" and a tick at the goal. Readable on light and dark. */
export const plot = ({ date, machine, rows }: Report): string => {
  const x = (value: number) => left + Math.max(0, Math.log2(Math.max(value, 0.25)) + 2) * 110
  const shown = rows.flatMap((row) => {
    const at = reach(row)
    return at === undefined ? [] : [{ row, at }]
  })
  const height = 70 + shown.length * rowHeight + 30
  const bars = shown.map(({ at, row }, i) => {
    const y = 60 + i * rowHeight
    const end = Math.min(x(at.value), width - 130)
    const value = row.ratio === null ? `${figure(row.ours)} ${row.unit}` : `${figure(row.ratio)} ×`
    const against = targets.get(row.row)?.against
    return [
      `<text x="${left - 10}" y="${y + 14}" text-anchor="end" class="name">${escape(row.row)}</text>`,
      `<rect x="${left}" y="${y}" width="${(end - left).toFixed(0)}" height="20" rx="2" class="${
        row.pass === true ? "good" : "bad"
      }"><title>${escape(against ?? row.row)}</title></rect>`,
      `<path d="M${x(at.goal).toFixed(0)} ${y - 3}v26" class="goal"/>`,
      `<text x="${(end + 8).toFixed(0)}" y="${y + 15}" class="value">${escape(value)}</text>`
    ].join("\n")
  })
  const foot = height - 12
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="14">
<style>
.name, .value, .head { fill: #57606a } .head { font-weight: 600 } .good { fill: #2da44e } .bad { fill: #cf222e }
.least { stroke: #57606a; stroke-width: 1.5 } .goal { stroke: #bf8700; stroke-width: 2.5; stroke-dasharray: 4 2 }
@media (prefers-color-scheme: dark) { .name, .value, .head { fill: #c9d1d9 } .least { stroke: #c9d1d9 } }
</style>
<text x="${left}" y="24" class="head">Each row against the least that is asked of it</text>
<text x="${x(1).toFixed(0)}" y="46" text-anchor="middle" class="value">at least</text>
<path d="M${x(1).toFixed(0)} 52V${height - 30}" class="least"/>
${bars.join("\n")}
<text x="${left}" y="${foot}" class="value" font-size="12">${
    escape(`${date.slice(0, 10)}, ${machine.processor}, ${machine.cores} cores; dashed: the goal; logarithmic`)
  }</text>
</svg>
`
}
