import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import * as SpanStore from "../../src/layers/telemetry/SpanStore.ts"
import * as TraceContext from "../../src/services/TraceContext.ts"
import { folder, get, lines, receiver, within } from "../layers/ObservedServer.ts"

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

  it.live("sends the server span alone of a request outside of the sample that failed, under the ids that it was served with", () =>
    Effect.gen(function*() {
      const collector = yield* receiver
      const logs = yield* folder
      const env = {
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
        OTEL_TRACES_SAMPLER: "parentbased_traceidratio",
        OTEL_TRACES_SAMPLER_ARG: "0"
      }
      const unsampled = traceparent.replace(/01$/, "00")
      yield* within(
        { env, logs },
        Effect.all([
          get("/things/7"),
          get("/nowhere"),
          get("/bug", { "x-request-id": "req-7" }),
          get("/bug", { "x-request-id": "req-8", traceparent: unsampled })
        ])
      )
      assert.deepStrictEqual(collector.spans.map(({ name }) => name), ["GET /bug", "GET /bug"])
      const [own, continued] = collector.spans
      const line = lines(join(logs, "combined.log")).find((line) =>
        line["request_id"] === "req-7" && line["message"] === "request"
      )
      assert.strictEqual(own?.traceId, line?.["trace_id"])
      assert.strictEqual(own?.spanId, line?.["span_id"])
      assert.strictEqual(own?.status.code, 2)
      assert.strictEqual(own?.attributes["http.request.method"], "GET")
      assert.strictEqual(own?.attributes["http.route"], "/bug")
      assert.strictEqual(own?.attributes["http.response.status_code"], 500)
      assert.strictEqual(own?.attributes["midnight.request_id"], "req-7")
      assert.strictEqual(own?.attributes["error.type"], "InternalError")
      assert.strictEqual(continued?.traceId, "4bf92f3577b34da6a3ce929d0e0e4736")
      assert.strictEqual(continued?.parentSpanId, "00f067aa0ba902b7")
      assert.notMatch(JSON.stringify(collector.spans), /example\.org/)
    }).pipe(Effect.scoped))

  it.live("keeps the spans below a request that the sampler chose", () =>
    Effect.gen(function*() {
      const collector = yield* receiver
      const env = {
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
        OTEL_TRACES_SAMPLER: "traceidratio",
        OTEL_TRACES_SAMPLER_ARG: "1"
      }
      yield* within({ env }, get("/things/7"))
      const server = collector.spans.find(({ name }) => name === "GET /things/:id")
      const post = collector.spans.find(({ name }) => name === "Ledger.post")
      assert.isDefined(server)
      assert.strictEqual(post?.parentSpanId, server.spanId)
      assert.strictEqual(post?.traceId, server.traceId)
    }).pipe(Effect.scoped))

  it.live("repeats nobody's e-mail address, though a library's message quotes it", () =>
    Effect.gen(function*() {
      const collector = yield* receiver
      const [spans, logs] = [yield* folder, yield* folder]
      const failing = Effect.ignoreCause(
        Effect.die(new Error("no such mailbox: jane@example.org")).pipe(Effect.withSpan("Mail.send"))
      )
      const env = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url }
      yield* within({ env, spans, logs }, Effect.andThen(get("/bug"), failing))
      const kept = [
        JSON.stringify(collector.spans),
        JSON.stringify(collector.logs),
        ...[spans, logs].flatMap((path) => readdirSync(path).map((name) => readFileSync(join(path, name), "utf8")))
      ]
      for (const text of kept) assert.notMatch(text, /jane|example\.org/)
      assert.match(kept.join(""), /no such mailbox: <email>/)
      assert.match(kept.join(""), /Key \(email\)=\(<email>\)/)
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
})
