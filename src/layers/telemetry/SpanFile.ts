import type { HrTime, Link } from "@opentelemetry/api"
import type { ReadableSpan, SpanProcessor } from "@opentelemetry/sdk-trace-base"
import { readdirSync, statSync, unlinkSync } from "node:fs"
import { join } from "node:path"
import { RotatingFile } from "./RotatingFile.ts"
import type { SpanRecord } from "./SpanRecord.ts"

const maxBytes = 8 * 1024 * 1024
// Every process writes its own files; a slow demo of a minute fills three. Those of processes that ended are kept, up to so
// many in all.
const filesOfProcess = 6
const maxFiles = 24

const kinds = ["internal", "server", "client", "producer", "consumer"] as const
const micros = ([seconds, nanos]: HrTime): number => seconds * 1_000_000 + Math.round(nanos / 1000)
const statusError = 2

const attributes = (span: ReadableSpan): SpanRecord["attributes"] => {
  const kept: Record<string, string | number | boolean> = {}
  for (const [name, value] of Object.entries(span.attributes)) {
    if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") kept[name] = value
    else if (value !== undefined) kept[name] = JSON.stringify(value)
  }
  return kept
}

const link = ({ context }: Link) => ({ traceId: context.traceId, spanId: context.spanId })

export const toRecord = (span: ReadableSpan, service: string): SpanRecord => {
  const { spanId, traceId } = span.spanContext()
  return {
    traceId,
    spanId,
    ...(span.parentSpanContext === undefined ? {} : { parentSpanId: span.parentSpanContext.spanId }),
    name: span.name,
    kind: kinds[span.kind] ?? "internal",
    service,
    pid: process.pid,
    start: micros(span.startTime),
    end: micros(span.endTime),
    ...(span.status.code === statusError ? { error: span.status.message ?? "failed" } : {}),
    attributes: attributes(span),
    links: span.links.map(link)
  }
}

const forgetOldest = (folder: string): void => {
  const files = readdirSync(folder).map((name) => join(folder, name))
    .map((path) => ({ path, changed: statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0 }))
    .sort((a, b) => b.changed - a.changed)
  for (const { path } of files.slice(maxFiles)) unlinkSync(path)
}

/** Spans as JSON lines in `<folder>/<service>-<pid>.jsonl`, within half a second of their end, bounded on disk. */
export const spanFile = (folder: string, service: string): SpanProcessor => {
  const file = new RotatingFile({
    path: join(folder, `${service}-${process.pid}.jsonl`),
    maxBytes,
    files: filesOfProcess,
    flushEveryMs: 500
  })
  forgetOldest(folder)
  return {
    onStart() {},
    onEnd: (span) => file.append(JSON.stringify(toRecord(span, service))),
    forceFlush: () => file.flush(),
    shutdown: async () => {
      await file.flush()
      file.flushSync()
    }
  }
}
