import { Schema } from "effect"

/** One span as a line of the local span file. Times are microseconds since 1970: nanoseconds do not fit a JSON number. */
export const SpanRecord = Schema.Struct({
  traceId: Schema.String,
  spanId: Schema.String,
  parentSpanId: Schema.optionalKey(Schema.String),
  name: Schema.String,
  kind: Schema.Literals(["internal", "server", "client", "producer", "consumer"]),
  service: Schema.String,
  pid: Schema.Int,
  start: Schema.Int,
  end: Schema.Int,
  error: Schema.optionalKey(Schema.String),
  attributes: Schema.Record(Schema.String, Schema.Json),
  links: Schema.Array(Schema.Struct({ traceId: Schema.String, spanId: Schema.String }))
})
export type SpanRecord = typeof SpanRecord.Type

/** The attribute of a server span that says which request it served. */
export const requestIdAttribute = "midnight.request_id"
