import { OTLPLogExporter } from "@opentelemetry/exporter-logs-otlp-http"
import { OTLPMetricExporter } from "@opentelemetry/exporter-metrics-otlp-http"
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http"
import { BatchLogRecordProcessor, type LogRecordProcessor } from "@opentelemetry/sdk-logs"
import { type MetricReader, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics"
import { BatchSpanProcessor, type SpanExporter, type SpanProcessor } from "@opentelemetry/sdk-trace-base"
import { Config, Effect, Option } from "effect"

export interface Exporters {
  readonly traces: Option.Option<SpanProcessor>
  readonly logs: Option.Option<LogRecordProcessor>
  readonly metrics: Option.Option<MetricReader>
}

/** The signal's own endpoint as it stands, or the common one with the signal's path. */
const endpoint = (signal: "traces" | "logs" | "metrics") =>
  Effect.gen(function*() {
    const own = yield* Config.option(Config.URL(`OTEL_EXPORTER_OTLP_${signal.toUpperCase()}_ENDPOINT`))
    const common = yield* Config.option(Config.URL("OTEL_EXPORTER_OTLP_ENDPOINT"))
    return Option.orElse(
      Option.map(own, ({ href }) => href),
      () => Option.map(common, ({ href }) => `${href.replace(/\/$/, "")}/v1/${signal}`)
    )
  })

// The last flush of a process rejects when the collector refuses it. Effect's SDK layer would make a defect of that, and a
// process that served every request would end as a failed one.
const ignored = () => {}

/**
 * The SDK's batch processor drops spans without saying how many. Here every span that will not arrive is told: what finds
 * the queue full because the collector is slow, and what the collector refused or never took.
 */
const counted = (exporter: SpanExporter, maxQueue: number, onDrop: (spans: number) => void): SpanProcessor => {
  let waiting = 0
  const batches = new BatchSpanProcessor({
    export: (spans, done) => {
      exporter.export(spans, (result) => {
        waiting -= spans.length
        if (result.code !== 0) onDrop(spans.length)
        done(result)
      })
    },
    shutdown: () => exporter.shutdown(),
    forceFlush: () => exporter.forceFlush?.() ?? Promise.resolve()
  }, { maxQueueSize: maxQueue })
  return {
    onStart: (span, context) => batches.onStart(span, context),
    onEnd: (span) => {
      if ((span.spanContext().traceFlags & 1) === 0) return
      if (waiting >= maxQueue) return onDrop(1)
      waiting++
      batches.onEnd(span)
    },
    forceFlush: () => batches.forceFlush().catch(ignored),
    shutdown: () => batches.shutdown().catch(ignored)
  }
}

const quietLogs = (exporter: OTLPLogExporter): LogRecordProcessor => {
  const batches = new BatchLogRecordProcessor({ exporter })
  return {
    onEmit: (record) => batches.onEmit(record),
    forceFlush: () => batches.forceFlush().catch(ignored),
    shutdown: () => batches.shutdown().catch(ignored)
  }
}

class QuietReader extends PeriodicExportingMetricReader {
  override shutdown(): Promise<void> {
    return super.shutdown().catch(ignored)
  }
}

/** OTLP over HTTP for each signal whose endpoint is set. Headers and time limits are the standard variables, read by the SDK. */
export const exporters = Effect.fnUntraced(function*(
  onDrop: (spans: number) => void
): Effect.fn.Return<Exporters, Config.ConfigError> {
  const maxQueue = yield* Config.Int("OTEL_BSP_MAX_QUEUE_SIZE").pipe(Config.withDefault(8192))
  const exportEvery = yield* Config.Int("OTEL_METRIC_EXPORT_INTERVAL").pipe(Config.withDefault(60_000))
  return {
    traces: Option.map(yield* endpoint("traces"), (url) => counted(new OTLPTraceExporter({ url }), maxQueue, onDrop)),
    logs: Option.map(
      yield* endpoint("logs"),
      (url) => quietLogs(new OTLPLogExporter({ url }))
    ),
    metrics: Option.map(
      yield* endpoint("metrics"),
      (url) =>
        new QuietReader({
          exporter: new OTLPMetricExporter({ url }),
          exportIntervalMillis: exportEvery,
          exportTimeoutMillis: Math.min(exportEvery, 10_000)
        })
    )
  }
})
