import { assert, describe, it } from "@effect/vitest"
import { Effect, Metric } from "effect"
import { droppedSpans } from "../../src/layers/Telemetry.ts"
import { get, listening, within } from "../layers/ObservedServer.ts"

/** A time limit of the SDK's own, which it reads from the process's environment, out of the way for a test. */
const forGood = (variable: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      process.env[variable] = "600000"
    }),
    () =>
      Effect.sync(() => {
        delete process.env[variable]
      })
  )

describe("a collector that is not well", () => {
  it.live("counts the spans that a collector refuses", () =>
    Effect.gen(function*() {
      const address = (yield* listening((_request, response) => response.writeHead(400).end())).address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      const before = yield* Metric.value(droppedSpans)
      yield* within(
        { env: { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `http://127.0.0.1:${port}/v1/traces` } },
        get("/things/7")
      )
      const after = yield* Metric.value(droppedSpans)
      assert.strictEqual(after.count - before.count, 2)
    }).pipe(Effect.scoped))

  it.live("does not let a collector that never answers hold up requests or the end", () =>
    Effect.gen(function*() {
      const address = (yield* listening(() => {})).address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      const env = {
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `http://127.0.0.1:${port}/v1/traces`,
        OTEL_BSP_MAX_QUEUE_SIZE: "10"
      }
      // Whoever waited for the collector would wait until the test's time is over.
      yield* Effect.forEach(["OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_BSP_EXPORT_TIMEOUT"], forGood)
      const before = yield* Metric.value(droppedSpans)
      const statuses = yield* within(
        { env },
        Effect.replicateEffect(Effect.map(get("/things/7"), ({ status }) => status), 50)
      )
      const after = yield* Metric.value(droppedSpans)
      assert.deepStrictEqual([...new Set(statuses)], [200])
      // Two spans a request; the queue holds ten.
      assert.isAtLeast(after.count - before.count, 90)
    }).pipe(Effect.scoped))
})
