import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Duration, Effect, Layer, Metric, Option, Schema } from "effect"
import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { serveHttp } from "../../src/layers/HttpServer.ts"
import * as Telemetry from "../../src/layers/Telemetry.ts"
import * as SpanStore from "../../src/layers/telemetry/SpanStore.ts"
import * as TraceContext from "../../src/services/TraceContext.ts"
import * as Receiver from "../layers/otlp-receiver.ts"

const receiver = Effect.acquireRelease(
  Effect.promise(() => Receiver.start()),
  (receiver) => Effect.promise(() => receiver.close())
)

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "midnight-telemetry-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

const ledger = Effect.fn("Ledger.post")(function*() {
  return yield* Effect.annotateCurrentSpan("transfer.id", "t1")
})

const routes = Layer.mergeAll(
  HttpRouter.add("GET", "/things/:id", Effect.as(ledger(), HttpServerResponse.text("ok"))),
  HttpRouter.add(
    "GET",
    "/trace",
    Effect.map(TraceContext.current, (current) => HttpServerResponse.text(Option.getOrElse(current, () => "none")))
  ),
  HttpRouter.add("GET", "/bug", Effect.die(new Error("a defect")))
)

interface Options {
  readonly env: Record<string, string>
  readonly service?: string
  readonly spans?: string
  readonly logs?: string
}

/** Runs one process's worth of telemetry and releases it, so that everything has been flushed when this returns. */
const within = <A, E>(options: Options, effect: Effect.Effect<A, E, HttpServer.HttpServer>) =>
  effect.pipe(
    Effect.provide(serveHttp(routes, { port: 0, host: "127.0.0.1", portVariable: "PORT", corsOrigins: [], grace: 0 })),
    Effect.provide(Telemetry.layer({
      serviceName: options.service ?? "api",
      version: "1.2.3",
      spanFolder: options.spans,
      logFolder: options.logs,
      logFormat: "json"
    })),
    Effect.provide(ConfigProvider.layer(ConfigProvider.fromUnknown(options.env)))
  )

const get = Effect.fnUntraced(function*(path: string, headers: Record<string, string> = {}) {
  const { address } = yield* HttpServer.HttpServer
  const port = "port" in address ? address.port : 0
  return yield* Effect.promise(async () => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers })
    return {
      status: response.status,
      text: await response.text(),
      requestId: response.headers.get("x-request-id") ?? ""
    }
  })
})

const Line = Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown))
const lines = (path: string) =>
  readFileSync(path, "utf8").trim().split("\n").filter((line) => line !== "").map((line) =>
    Schema.decodeUnknownSync(Line)(line)
  )

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

describe("telemetry", () => {
  it.live("continues the caller's trace: server span under it, service span under that, current conventions", () =>
    Effect.gen(function*() {
      const collector = yield* receiver
      yield* within(
        { env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url } },
        get("/things/7?token=hush&page=2", { traceparent, "x-request-id": "req-1" })
      )
      const server = collector.spans.find(({ kind }) => kind === 2)
      const post = collector.spans.find(({ name }) => name === "Ledger.post")
      assert.isDefined(server)
      assert.isDefined(post)
      assert.strictEqual(server.name, "GET /things/:id")
      assert.strictEqual(server.traceId, "4bf92f3577b34da6a3ce929d0e0e4736")
      assert.strictEqual(server.parentSpanId, "00f067aa0ba902b7")
      assert.strictEqual(server.service, "midnight-api")
      assert.strictEqual(post.traceId, server.traceId)
      assert.strictEqual(post.parentSpanId, server.spanId)
      const { attributes } = server
      assert.strictEqual(attributes["http.request.method"], "GET")
      assert.strictEqual(attributes["http.route"], "/things/:id")
      assert.strictEqual(attributes["http.response.status_code"], 200)
      assert.strictEqual(attributes["url.path"], "/things/7")
      assert.strictEqual(attributes["url.scheme"], "http")
      assert.strictEqual(attributes["server.address"], "127.0.0.1")
      assert.strictEqual(attributes["midnight.request_id"], "req-1")
      assert.isUndefined(attributes["client.address"])
      assert.isUndefined(attributes["error.type"])
      assert.notInclude(JSON.stringify(collector.spans), "hush")
      assert.deepStrictEqual(collector.spans.flatMap(({ events }) => events), [])
    }).pipe(Effect.scoped))

  it.live("marks a failed request on its span and names what failed", () =>
    Effect.gen(function*() {
      const collector = yield* receiver
      yield* within(
        { env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url } },
        Effect.andThen(get("/bug"), get("/nowhere"))
      )
      const bug = collector.spans.find(({ name }) => name === "GET /bug")
      assert.strictEqual(bug?.attributes["error.type"], "InternalError")
      assert.strictEqual(bug?.status.code, 2)
      const nowhere = collector.spans.find(({ name }) => name === "GET")
      assert.strictEqual(nowhere?.attributes["midnight.problem"], "NotFound")
      assert.notStrictEqual(nowhere?.status.code, 2)
    }).pipe(Effect.scoped))

  it.live("sends logs that carry their trace, and metrics of HTTP and of the process", () =>
    Effect.gen(function*() {
      const collector = yield* receiver
      yield* within(
        { env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url } },
        get("/things/7", { "x-request-id": "req-2" })
      )
      const log = collector.logs.find(({ attributes }) => attributes["request_id"] === "req-2")
      const server = collector.spans.find(({ kind }) => kind === 2)
      assert.strictEqual(log?.body.stringValue, "request")
      assert.strictEqual(log?.traceId, server?.traceId)
      assert.strictEqual(log?.attributes["http.route"], "/things/:id")
      assert.include([...collector.metrics], "http.server.request.duration")
      assert.include([...collector.metrics], "nodejs.eventloop.delay.p99")
    }).pipe(Effect.scoped))

  it.live("samples as OTEL_TRACES_SAMPLER says, and refuses a sampler that does not exist", () =>
    Effect.gen(function*() {
      const collector = yield* receiver
      const env = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_TRACES_SAMPLER: "always_off" }
      const { text } = yield* within({ env }, get("/trace"))
      assert.match(text, /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/)
      assert.deepStrictEqual(collector.spans, [])
      const misspelt = yield* Effect.flip(within({ env: { OTEL_TRACES_SAMPLER: "allways_on" } }, Effect.void))
      assert.include(String(misspelt), "OTEL_TRACES_SAMPLER")
    }).pipe(Effect.scoped))

  it.live("gives every request a trace id when there is no collector", () =>
    Effect.gen(function*() {
      const { text } = yield* within({ env: {} }, get("/nowhere"))
      assert.match(text, /"trace_id":"[0-9a-f]{32}"/)
    }))

  it.live("writes one line per request to combined.log, failures to error.log, ids in both", () =>
    Effect.gen(function*() {
      const logs = yield* folder
      yield* within(
        { env: {}, logs },
        Effect.andThen(get("/things/7", { "x-request-id": "req-3" }), get("/bug", { "x-request-id": "req-4" }))
      )
      const combined = lines(join(logs, "combined.log"))
      const request = combined.filter((line) => line["request_id"] === "req-3")
      assert.strictEqual(request.length, 1)
      assert.strictEqual(request[0]?.["message"], "request")
      assert.strictEqual(request[0]?.["service"], "api")
      assert.strictEqual(request[0]?.["level"], "info")
      assert.strictEqual(request[0]?.["http.response.status_code"], 200)
      assert.match(String(request[0]?.["trace_id"]), /^[0-9a-f]{32}$/)
      const errors = lines(join(logs, "error.log"))
      assert.deepStrictEqual([...new Set(errors.map((line) => line["request_id"]))], ["req-4"])
      assert.isTrue(errors.some((line) => String(line["error"]).includes("a defect")))
    }).pipe(Effect.scoped))

  it.live("finds a request's spans on disk and follows them into another process", () =>
    Effect.gen(function*() {
      const spans = yield* folder
      const { text } = yield* within({ env: {}, spans }, get("/trace", { "x-request-id": "req-5" }))
      const work = Effect.void.pipe(Effect.withSpan("Verification.run"), TraceContext.continueFrom(Option.some(text)))
      yield* within({ env: {}, spans, service: "video" }, work)
      yield* within({ env: {}, spans }, get("/trace", { "x-request-id": "req-6" }))
      const found = yield* SpanStore.find(spans, "req-5").pipe(Effect.provide(NodeServices.layer))
      assert.deepStrictEqual(found.map(({ name, service }) => [service, name]), [
        ["api", "GET /trace"],
        ["video", "Verification.run"]
      ])
      assert.strictEqual(found[1]?.parentSpanId, found[0]?.spanId)
      assert.deepStrictEqual(yield* SpanStore.find(spans, "req-0").pipe(Effect.provide(NodeServices.layer)), [])
      assert.strictEqual(readdirSync(spans).length, 2)
    }).pipe(Effect.scoped))

  it.live("does not let a collector that never answers hold up requests or the end", () =>
    Effect.gen(function*() {
      const silent = yield* Effect.acquireRelease(
        Effect.callback<ReturnType<typeof createServer>>((resume) => {
          const server = createServer(() => {})
          server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
        }),
        (server) =>
          Effect.sync(() => server.closeAllConnections()).pipe(Effect.andThen(Effect.sync(() => server.close())))
      )
      const address = silent.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      const env = {
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `http://127.0.0.1:${port}/v1/traces`,
        OTEL_BSP_MAX_QUEUE_SIZE: "10"
      }
      const before = yield* Metric.value(Telemetry.droppedSpans)
      const [took, statuses] = yield* Effect.timed(
        within({ env }, Effect.replicateEffect(Effect.map(get("/things/7"), ({ status }) => status), 50))
      )
      const after = yield* Metric.value(Telemetry.droppedSpans)
      assert.deepStrictEqual([...new Set(statuses)], [200])
      // Two spans a request; the queue holds ten.
      assert.isAtLeast(after.count - before.count, 90)
      assert.isBelow(Duration.toMillis(took), 8_000)
    }).pipe(Effect.scoped))
})
