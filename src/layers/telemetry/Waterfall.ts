import { DateTime } from "effect"
import type { SpanRecord } from "./SpanRecord.ts"

export interface WaterfallOptions {
  /** Columns of the terminal; below 60 the lines are wider than asked. */
  readonly width: number
  readonly colour?: boolean
  /** The request the trace is drawn for, named in the heading. */
  readonly requestId?: string
}

interface Row {
  readonly span: SpanRecord
  /** The tree's branches before the name. */
  readonly branches: string
  /** How the span hangs in the tree: under its parent, by a link, or under a parent that was never recorded. */
  readonly by: "parent" | "link" | "root" | "orphan"
  /** Equal siblings drawn as one line. */
  readonly times: number
}

const palette = [36, 35, 33, 32, 34, 95, 96]
const [plain, dim, bold, red] = [0, 90, 1, 31]

const painter = (colour: boolean) => (code: number, text: string) =>
  colour && code !== plain && text !== "" ? `\u001b[${code}m${text}\u001b[0m` : text

const id = (span: { readonly traceId: string; readonly spanId: string }) => `${span.traceId}/${span.spanId}`

/** Three significant digits in the unit that suits: `0 ms`, `840 µs`, `12.3 ms`, `2.41 s`, `3 m 05 s`. */
export const duration = (micros: number): string => {
  if (micros === 0) return "0 ms"
  if (micros < 1000) return `${micros} µs`
  const [value, unit] = micros < 999_500 ? [micros / 1e3, "ms"] : [micros / 1e6, "s"]
  if (unit === "s" && value >= 120) {
    const seconds = Math.round(value)
    return `${Math.floor(seconds / 60)} m ${String(seconds % 60).padStart(2, "0")} s`
  }
  return `${value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)} ${unit}`
}

// Children stand under their parent. A span of another trace, or of a retried delivery, stands under the span it links to.
const hang = (spans: ReadonlyArray<SpanRecord>) => {
  const known = new Map(spans.map((span) => [id(span), span]))
  const children = new Map<string, Array<{ readonly span: SpanRecord; readonly by: Row["by"] }>>()
  const tops: Array<{ readonly span: SpanRecord; readonly by: Row["by"] }> = []
  const add = (parent: string, span: SpanRecord, by: Row["by"]) =>
    children.set(parent, [...(children.get(parent) ?? []), { span, by }])
  for (const span of spans) {
    const parent = span.parentSpanId === undefined
      ? undefined
      : id({ traceId: span.traceId, spanId: span.parentSpanId })
    const link = span.links.find((link) => known.has(id(link)) && id(link) !== id(span))
    if (parent !== undefined && known.has(parent)) add(parent, span, "parent")
    else if (link !== undefined) add(id(link), span, "link")
    else tops.push({ span, by: parent === undefined ? "root" : "orphan" })
  }
  return { tops, children }
}

type Hung = ReturnType<typeof hang>["tops"][number]

// A loop that runs forty queries is one line "× 40", not a screenful; failures and spans with children always stand alone.
const grouped = (siblings: ReadonlyArray<Hung>, leaf: (hung: Hung) => boolean): ReadonlyArray<ReadonlyArray<Hung>> => {
  const groups: Array<Array<Hung>> = []
  for (const hung of siblings) {
    const first = groups.at(-1)?.[0]
    const same = first !== undefined && first.by === hung.by && first.span.name === hung.span.name &&
      first.span.service === hung.span.service &&
      [first, hung].every((one) => leaf(one) && one.span.error === undefined)
    if (same) groups.at(-1)?.push(hung)
    else groups.push([hung])
  }
  // Up to three are few enough to be seen one by one.
  return groups.flatMap((group) => group.length > 3 ? [group] : group.map((hung) => [hung]))
}

const rows = (spans: ReadonlyArray<SpanRecord>): ReadonlyArray<Row> => {
  const { children, tops } = hang(spans)
  const under = ({ span }: Hung) => (children.get(id(span)) ?? []).sort((a, b) => a.span.start - b.span.start)
  const drawn = new Set<string>()
  const found: Array<Row> = []
  const visit = (siblings: ReadonlyArray<Hung>, indent: string, top: boolean): void => {
    const groups = grouped(siblings, (hung) => under(hung).length === 0)
    for (const [at, group] of groups.entries()) {
      const [first] = group
      if (first === undefined || drawn.has(id(first.span))) continue
      for (const { span } of group) drawn.add(id(span))
      const last = at === groups.length - 1
      const span = { ...first.span, end: Math.max(...group.map(({ span }) => span.end)) }
      found.push({ span, branches: top ? "" : `${indent}${last ? "└" : "├"} `, by: first.by, times: group.length })
      visit(under(first), top ? "" : `${indent}${last ? "  " : "│ "}`, false)
    }
  }
  visit(tops, "", true)
  // Links can form a circle, which hangs on nothing.
  for (const span of spans) if (!drawn.has(id(span))) visit([{ span, by: "orphan" }], "", true)
  return found
}

const fit = (text: string, width: number) =>
  text.length <= width ? text.padEnd(width) : `${text.slice(0, Math.max(0, width - 1))}…`

// Round steps of which two to five fit, so that the eye can read times off the axis.
const step = (total: number): number => {
  const rough = total / 5
  const power = 10 ** Math.floor(Math.log10(Math.max(rough, 1)))
  return [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough) ?? power
}

const axis = (total: number, width: number): readonly [string, string] => {
  const labels = Array.from<string>({ length: width }).fill(" ")
  const ruler = Array.from<string>({ length: width }).fill("─")
  const size = step(total)
  for (let at = 0; at <= total; at += size) {
    const column = Math.min(width - 1, Math.floor((at / total) * width))
    const label = duration(at).replace(/(\.\d*?)0+ /, "$1 ").replace(". ", " ")
    if (column + label.length > width) break
    ruler[column] = at === 0 ? "├" : "┬"
    for (const [offset, character] of [...label].entries()) labels[column + offset] = character
  }
  ruler[width - 1] = "┤"
  return [labels.join(""), ruler.join("")]
}

const eighths = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]

const bar = (row: SpanRecord, start: number, total: number, width: number): readonly [string, string, string] => {
  const from = Math.min(width - 1, Math.floor(((row.start - start) / total) * width))
  const length = Math.min(((row.end - row.start) / total) * width, width - from)
  // To an eighth of a cell, and never nothing: a short span is a thin mark, not as long as one of a whole cell.
  const steps = Math.max(1, Math.round(length * 8))
  const filled = "█".repeat(Math.floor(steps / 8)) + (eighths[steps % 8] ?? "")
  return ["·".repeat(from), filled, "·".repeat(width - from - filled.length)]
}

const heading = (spans: ReadonlyArray<SpanRecord>, start: number, total: number, requestId: string | undefined) => {
  const count = (values: ReadonlyArray<string | number>) => new Set(values).size
  const errors = spans.filter(({ error }) => error !== undefined).length
  const plural = (number: number, one: string, many: string) => `${number} ${number === 1 ? one : many}`
  const facts = [
    duration(total),
    plural(spans.length, "span", "spans"),
    plural(count(spans.map(({ pid }) => pid)), "process", "processes"),
    errors === 0 ? "no errors" : plural(errors, "error", "errors")
  ]
  return [
    ...(requestId === undefined ? [] : [`request ${requestId}`]),
    ...[...new Set(spans.map(({ traceId }) => traceId))].map((traceId) => `trace   ${traceId}`),
    `began   ${DateTime.formatIso(DateTime.makeUnsafe(start / 1000))}`,
    facts.join(" · ")
  ]
}

/**
 * A trace as a waterfall: one line per span, the tree at the left, the time it took at the right, and between them a bar
 * on a scale that all lines share. Pure: the same spans and width give the same lines.
 */
export const draw = (spans: ReadonlyArray<SpanRecord>, options: WaterfallOptions): ReadonlyArray<string> => {
  if (spans.length === 0) return ["No spans."]
  const paint = painter(options.colour ?? false)
  const start = Math.min(...spans.map((span) => span.start))
  const total = Math.max(1, Math.max(...spans.map((span) => span.end)) - start)
  const services = [...new Set(spans.map(({ service }) => service))]
  const lines = rows([...spans].sort((a, b) => a.start - b.start || b.end - a.end))
  const label = ({ branches, by, span, times }: Row) =>
    `${branches}${by === "link" ? "↪ " : by === "orphan" ? "⋯ " : ""}${span.name}${times > 1 ? ` × ${times}` : ""}`

  const serviceWidth = Math.min(10, Math.max(...services.map(({ length }) => length)))
  const rest = Math.max(60, options.width) - serviceWidth - 1 - 1 - 11
  const nameWidth = Math.min(Math.max(...lines.map((row) => label(row).length)), Math.floor(rest * 0.55))
  const barWidth = rest - nameWidth
  const [labels, ruler] = axis(total, barWidth)
  const indent = " ".repeat(serviceWidth + 1 + nameWidth + 1)

  const body = lines.map((row) => {
    const colour = palette[services.indexOf(row.span.service) % palette.length] ?? dim
    const failed = row.span.error !== undefined
    const [before, filled, after] = bar(row.span, start, total, barWidth)
    const took = `${failed ? "✗ " : ""}${duration(row.span.end - row.span.start)}`.padStart(11)
    return [
      paint(colour, fit(row.span.service, serviceWidth)),
      " ",
      paint(failed ? red : plain, fit(label(row), nameWidth)),
      " ",
      paint(dim, before) + paint(failed ? red : colour, filled) + paint(dim, after),
      paint(failed ? red : plain, took)
    ].join("")
  })
  const failures = lines.flatMap(({ span }) => span.error === undefined ? [] : [`✗ ${span.name}: ${span.error}`])
  return [
    ...heading(spans, start, total, options.requestId).map((text) => paint(bold, text)),
    "",
    paint(dim, indent + labels),
    paint(dim, indent + ruler),
    ...body,
    ...(failures.length === 0 ? [] : ["", ...failures.map((text) => paint(red, fit(text, options.width).trimEnd()))])
  ]
}
