import { Schema } from "effect"
import { createServer } from "node:http"
import { text } from "node:stream/consumers"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"

// OTLP/JSON as far as the tests look at it; https://opentelemetry.io/docs/specs/otlp/ has the rest.
const AnyValue = Schema.Struct({
  stringValue: Schema.optionalKey(Schema.String),
  intValue: Schema.optionalKey(Schema.Union([Schema.Number, Schema.String])),
  doubleValue: Schema.optionalKey(Schema.Number),
  boolValue: Schema.optionalKey(Schema.Boolean)
})
const Attributes = Schema.Array(Schema.Struct({ key: Schema.String, value: AnyValue }))
const Nanos = Schema.Union([Schema.String, Schema.Number])
const Span = Schema.Struct({
  traceId: Schema.String,
  spanId: Schema.String,
  parentSpanId: Schema.optionalKey(Schema.String),
  name: Schema.String,
  kind: Schema.Int,
  startTimeUnixNano: Nanos,
  endTimeUnixNano: Nanos,
  attributes: Attributes,
  events: Schema.Array(Schema.Struct({ name: Schema.String })),
  links: Schema.Array(Schema.Struct({ traceId: Schema.String, spanId: Schema.String })),
  status: Schema.Struct({ code: Schema.Int })
})
const Resource = Schema.Struct({ attributes: Attributes })
const Traces = Schema.Struct({
  resourceSpans: Schema.Array(
    Schema.Struct({ resource: Resource, scopeSpans: Schema.Array(Schema.Struct({ spans: Schema.Array(Span) })) })
  )
})
const LogRecord = Schema.Struct({
  traceId: Schema.optionalKey(Schema.String),
  spanId: Schema.optionalKey(Schema.String),
  severityText: Schema.String,
  body: AnyValue,
  attributes: Attributes
})
const Logs = Schema.Struct({
  resourceLogs: Schema.Array(
    Schema.Struct({ scopeLogs: Schema.Array(Schema.Struct({ logRecords: Schema.Array(LogRecord) })) })
  )
})
const Metrics = Schema.Struct({
  resourceMetrics: Schema.Array(
    Schema.Struct({
      scopeMetrics: Schema.Array(Schema.Struct({ metrics: Schema.Array(Schema.Struct({ name: Schema.String })) }))
    })
  )
})

type Value = string | number | boolean | undefined
const flat = (attributes: typeof Attributes.Type): Record<string, Value> =>
  Object.fromEntries(attributes.map(({ key, value }) => [
    key,
    value.stringValue ?? value.boolValue ?? value.doubleValue ??
      (value.intValue === undefined ? undefined : Number(value.intValue))
  ]))

export interface ReceivedSpan extends Omit<typeof Span.Type, "attributes"> {
  readonly service: string
  readonly attributes: Record<string, Value>
}

export interface ReceivedLog extends Omit<typeof LogRecord.Type, "attributes"> {
  readonly attributes: Record<string, Value>
}

export interface Receiver {
  readonly url: string
  readonly spans: ReadonlyArray<ReceivedSpan>
  readonly logs: ReadonlyArray<ReceivedLog>
  readonly metrics: ReadonlySet<string>
  readonly close: () => Promise<void>
}

/** A collector on loopback that keeps what it is sent. */
export const start = (
  options: { readonly port?: number; readonly onSpans?: (spans: ReadonlyArray<ReceivedSpan>) => void } = {}
): Promise<Receiver> => {
  const spans: Array<ReceivedSpan> = []
  const logs: Array<ReceivedLog> = []
  const metrics = new Set<string>()
  const take = (path: string | undefined, body: string) => {
    if (path === "/v1/traces") {
      const { resourceSpans } = Schema.decodeUnknownSync(Schema.fromJsonString(Traces))(body)
      const received = resourceSpans.flatMap(({ resource, scopeSpans }) => {
        const service = String(flat(resource.attributes)["service.name"])
        return scopeSpans.flatMap(({ spans }) =>
          spans.map((span) => ({ ...span, service, attributes: flat(span.attributes) }))
        )
      })
      spans.push(...received)
      options.onSpans?.(received)
    } else if (path === "/v1/logs") {
      const { resourceLogs } = Schema.decodeUnknownSync(Schema.fromJsonString(Logs))(body)
      const records = resourceLogs.flatMap(({ scopeLogs }) => scopeLogs.flatMap(({ logRecords }) => logRecords))
      for (const record of records) logs.push({ ...record, attributes: flat(record.attributes) })
    } else if (path === "/v1/metrics") {
      const { resourceMetrics } = Schema.decodeUnknownSync(Schema.fromJsonString(Metrics))(body)
      for (const { scopeMetrics } of resourceMetrics) {
        for (const { metrics: found } of scopeMetrics) for (const { name } of found) metrics.add(name)
      }
    }
  }
  const server = createServer((request, response) => {
    text(request).then((body) => take(request.url, body)).then(
      () => response.setHeader("content-type", "application/json").end("{}"),
      (error: unknown) => response.writeHead(400).end(String(error))
    )
  })
  return new Promise((resolve, reject) => {
    server.once("error", reject)
    server.listen(options.port ?? 0, "127.0.0.1", () => {
      const address = server.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      resolve({
        url: `http://127.0.0.1:${port}`,
        spans,
        logs,
        metrics,
        close: () =>
          new Promise((done) => {
            server.close(() => done())
            server.closeAllConnections()
          })
      })
    })
  })
}

const print = (spans: ReadonlyArray<ReceivedSpan>) => {
  for (const span of spans) {
    const ms = Number((BigInt(span.endTimeUnixNano) - BigInt(span.startTimeUnixNano)) / 1000n) / 1000
    const parent = span.parentSpanId === undefined || span.parentSpanId === "" ? "root".padEnd(16) : span.parentSpanId
    const links = span.links.map(({ traceId }) => ` ↪ ${traceId}`).join("")
    process.stdout.write(
      `${span.traceId} ${span.spanId} ← ${parent} ${span.service.padEnd(14)} ${span.name} ${ms} ms${links}\n`
    )
  }
}

// `node test/layers/otlp-receiver.ts --port 4318` shows what a collector would get.
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { port: { type: "string", default: "4318" } } })
  const receiver = await start({ port: Number(values.port), onSpans: print })
  process.stdout.write(`OTLP/HTTP (JSON) on ${receiver.url}; set OTEL_EXPORTER_OTLP_ENDPOINT to it. Ctrl-C ends.\n`)
}
