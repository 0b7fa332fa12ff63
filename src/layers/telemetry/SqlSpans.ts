import { type Context, SpanKind, trace } from "@opentelemetry/api"
import { type Sampler, SamplingDecision, type SpanProcessor } from "@opentelemetry/sdk-trace-base"

// The first table (or function) that a statement names: enough to tell one line of a waterfall from the next.
const target = /\b(?:from|into|update|join)\s+(?:only\s+)?"?([a-z_][\w.]*(?:"\."\w+)?)"?|\bselect\s+(\w+\.\w+)\(/i

/** `SELECT rewards.slots`: what OpenTelemetry's database conventions ask for, where Effect has the database's name. */
export const nameOf = (query: string): { readonly operation: string; readonly target: string } => {
  const text = query.trim()
  const cte = /^with\b/i.test(text)
  const verb = (cte ? /\b(update|insert|delete)\b/i.exec(text)?.[1] : /^\w+/.exec(text)?.[0]) ?? "SELECT"
  const found = target.exec(cte ? text.slice(text.search(new RegExp(`\\b${verb}\\b`, "i"))) : text)
  return { operation: verb.toUpperCase(), target: (found?.[1] ?? found?.[2] ?? "").replaceAll("\"", "") }
}

/** Names the spans of statements. Runs before every processor that keeps spans. */
export const sqlSpanNames: SpanProcessor = {
  onStart() {},
  onEnd: (span) => {
    const query = span.attributes["db.query.text"]
    if (typeof query !== "string") return
    const { operation, target } = nameOf(query)
    span.attributes["db.operation.name"] = operation
    if (target !== "") span.attributes["db.collection.name"] = target
    Object.assign(span, { name: `${operation} ${target}`.trim() })
  },
  forceFlush: () => Promise.resolve(),
  shutdown: () => Promise.resolve()
}

/**
 * A statement without a parent is a queue's poll or a heartbeat: a dozen a second from an idle server, which nobody asked
 * for and which would push the requests out of every bounded store of spans.
 */
export const withoutPolls = (sampler: Sampler): Sampler => ({
  shouldSample: (context: Context, traceId, name, kind, attributes, links) =>
    kind === SpanKind.CLIENT && attributes["db.system.name"] !== undefined && trace.getSpan(context) === undefined
      ? { decision: SamplingDecision.NOT_RECORD }
      : sampler.shouldSample(context, traceId, name, kind, attributes, links),
  toString: () => `WithoutPolls{${sampler.toString()}}`
})
