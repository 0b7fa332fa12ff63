import * as NodeSdk from "@effect/opentelemetry/NodeSdk"
import { AlwaysOffSampler } from "@opentelemetry/sdk-trace-base"
import { Config, Effect, Layer, Logger, Metric, Option, Schema } from "effect"
import { join } from "node:path"
import { exporters } from "./telemetry/Exporters.ts"
import { frugalTracer } from "./telemetry/FrugalTracer.ts"
import { Handover } from "./telemetry/Handover.ts"
import { impersonalLogs, impersonalSpans } from "./telemetry/Impersonal.ts"
import * as Loggers from "./telemetry/Loggers.ts"
import { layer as redaction } from "./telemetry/Redaction.ts"
import { RotatingFile } from "./telemetry/RotatingFile.ts"
import { layer as runtimeMetrics } from "./telemetry/RuntimeMetrics.ts"
import { sampler } from "./telemetry/Sampler.ts"
import { spanFile } from "./telemetry/SpanFile.ts"
import { sqlSpanNames, withoutPolls } from "./telemetry/SqlSpans.ts"
import { writeLine } from "./telemetry/StandardOutput.ts"

export interface TelemetryOptions {
  /** Which process this is: `api`, `video`. Collectors see it behind OTEL_SERVICE_NAME: `midnight-api`. */
  readonly serviceName: string
  readonly version: string
  /** Folder of the local span files that `npm run trace` reads. None: no spans on disk. */
  readonly spanFolder?: string | undefined
  /** Folder of combined.log and error.log. */
  readonly logFolder?: string | undefined
  readonly logFormat: "json" | "pretty"
}

/** Counts what telemetry could not keep, so that a gap in the traces is known to be one. */
export const droppedSpans = Metric.counter("midnight.telemetry.dropped_spans", {
  description: "Spans that will never reach the collector",
  incremental: true
})

const logFile = (path: string) =>
  Effect.acquireRelease(
    Effect.sync(() => new RotatingFile({ path, maxBytes: 10 * 1024 * 1024, files: 4, flushEveryMs: 250 })),
    (file) => Effect.andThen(Effect.promise(() => file.flush()), Effect.sync(() => file.flushSync()))
  )

// Replaces Effect's own loggers: its default one, and the one that repeats every line as an event of the current span.
const loggers = ({ logFolder, logFormat, serviceName }: TelemetryOptions) => {
  const console = logFormat === "json"
    ? Loggers.json(serviceName)
    : Loggers.pretty(serviceName, process.stdout.isTTY)
  // A person at a terminal sees each line at once; a program that collects them does not need a system call for each.
  const toConsole = logFormat === "json" ? Logger.map(console, writeLine) : Logger.withConsoleLog(console)
  if (logFolder === undefined) return Logger.layer([toConsole])
  const toFiles = Effect.gen(function*() {
    const combined = yield* logFile(join(logFolder, "combined.log"))
    const errors = yield* logFile(join(logFolder, "error.log"))
    return Loggers.files(serviceName, combined, errors)
  })
  return Logger.layer([toConsole, toFiles])
}

const sdk = (options: TelemetryOptions, handover: Handover) =>
  NodeSdk.layer(Effect.gen(function*() {
    const context = yield* Effect.context<never>()
    const run = Effect.runForkWith(context)
    let warned = false
    const onDrop = (spans: number) => {
      droppedSpans.updateUnsafe(spans, context)
      if (warned) return
      warned = true
      run(Effect.logWarning("Spans are being dropped: the collector is slow or away; requests are not affected"))
    }
    const { logs, metrics, traces } = yield* exporters(onDrop)
    const local = options.spanFolder === undefined ? [] : [spanFile(options.spanFolder, options.serviceName)]
    const keepers = [...local, ...Option.toArray(traces)]
    const family = yield* Config.NonEmptyString("OTEL_SERVICE_NAME").pipe(Config.withDefault("midnight"))
    return {
      resource: { serviceName: `${family}-${options.serviceName}`, serviceVersion: options.version },
      spanProcessor: [impersonalSpans, sqlSpanNames, ...keepers],
      // Where nobody keeps spans none is recorded; a request has its trace id all the same.
      tracerConfig: { sampler: keepers.length === 0 ? new AlwaysOffSampler() : handover, idGenerator: handover },
      metricReader: Option.toArray(metrics),
      logRecordProcessor: Option.match(logs, { onNone: () => [], onSome: (logs) => [impersonalLogs, logs] }),
      shutdownTimeout: 3_000
    }
  }))

const tracing = (options: TelemetryOptions) =>
  Layer.unwrap(Effect.map(sampler, ({ off, sampler }) => {
    const handover = new Handover(withoutPolls(sampler), !off)
    return frugalTracer(handover).pipe(Layer.provideMerge(sdk(options, handover)))
  }))

/**
 * Traces, logs and metrics of one process. Without an endpoint nothing leaves the machine, and yet every request has a
 * trace id. Nothing here ever waits for a collector or a disk: what cannot be kept is dropped and counted.
 */
export const layer = (options: TelemetryOptions): Layer.Layer<never, Config.ConfigError> =>
  Layer.mergeAll(tracing(options), runtimeMetrics).pipe(
    Layer.provideMerge(loggers(options)),
    Layer.provideMerge(redaction)
  )

const LogFormat = Schema.Literals(["json", "pretty"])

/** LOG_FORMAT and LOG_DIR. A person at a terminal gets `pretty` unless told otherwise. */
export const logConfig = Config.all({
  logFormat: Config.schema(LogFormat, "LOG_FORMAT").pipe(Config.withDefault(process.stdout.isTTY ? "pretty" : "json")),
  logFolder: Config.option(Config.NonEmptyString("LOG_DIR")).pipe(Config.map(Option.getOrUndefined))
})
