import { Effect, FileSystem, Option, Path, Schema } from "effect"
import { requestIdAttribute, SpanRecord } from "./SpanRecord.ts"

const decodeLine = Schema.decodeUnknownOption(Schema.fromJsonString(SpanRecord))

const byStart = (a: SpanRecord, b: SpanRecord) => a.start - b.start || b.end - a.end

/** Every line of the folder's files. */
const readLines = Effect.fnUntraced(function*(folder: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const names = yield* fs.readDirectory(folder)
  const texts = yield* Effect.forEach(
    names.filter((name) => name.includes(".jsonl")),
    // A file may be rotated away between the listing and the reading.
    (name) => fs.readFileString(path.join(folder, name)).pipe(Effect.orElseSucceed(() => ""))
  )
  return texts.flatMap((text) => text.split("\n"))
})

// Decoding a hundred megabytes takes seconds; looking for an id in them does not. A line cut off by a killed process does
// not decode and is skipped.
const mentioning = (lines: ReadonlyArray<string>, ids: ReadonlySet<string>): ReadonlyArray<SpanRecord> =>
  lines.filter((line) => [...ids].some((id) => line.includes(id))).flatMap((line) => Option.toArray(decodeLine(line)))

const id = (span: { readonly traceId: string; readonly spanId: string }) => `${span.traceId}/${span.spanId}`

/**
 * The spans that belong to a request, in the order they began: everything in the traces of its server spans, and what
 * links to that from other traces (a batch that carried it, a repeated delivery) with all that happened beneath. The rest
 * of those other traces is left out: a batch serves many requests.
 */
export const ofRequest = (spans: ReadonlyArray<SpanRecord>, requestId: string): ReadonlyArray<SpanRecord> => {
  const traces = new Set(
    spans.filter((span) => span.attributes[requestIdAttribute] === requestId).map(({ traceId }) => traceId)
  )
  const chosen = new Map(spans.filter(({ traceId }) => traces.has(traceId)).map((span) => [id(span), span]))
  for (let before = -1; before < chosen.size;) {
    before = chosen.size
    for (const span of spans) {
      const parent = span.parentSpanId === undefined
        ? undefined
        : chosen.get(id({ traceId: span.traceId, spanId: span.parentSpanId }))
      if (parent !== undefined || span.links.some((link) => chosen.has(id(link)))) chosen.set(id(span), span)
    }
  }
  return [...chosen.values()].sort(byStart)
}

/** Reads the span files of all processes for what belongs to a request; empty when nothing does. */
export const find = Effect.fn("SpanStore.find")(function*(folder: string, requestId: string) {
  const lines = yield* readLines(folder)
  let spans = ofRequest(mentioning(lines, new Set([requestId])), requestId)
  // Each round knows the traces the last one reached, until there is none left to reach.
  for (let before = -1; before < spans.length;) {
    before = spans.length
    spans = ofRequest(mentioning(lines, new Set(spans.map(({ traceId }) => traceId))), requestId)
  }
  return spans
})
