import { assert, layer } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Latch, Layer, Logger, Schema, Scope } from "effect"
import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApiGroup } from "effect/http-api"
import { connect } from "node:net"
import { Problem, TooManyRequests, Unauthorized } from "../../src/domain/Problem.ts"
import { CurrentRequestId } from "../../src/domain/Request.ts"
import { securityHeaders } from "../../src/http/middleware/SecurityHeaders.ts"
import { serveHttp } from "../../src/layers/HttpServer.ts"
import { Readiness } from "../../src/services/Readiness.ts"

class OutOfStock extends Problem<OutOfStock>()("OutOfStock", {
  type: "/problems/out-of-stock",
  status: 422,
  title: "Nothing is left"
}, { code: Schema.tag("OutOfStock"), left: Schema.Int }) {}

const Order = Schema.Struct({
  item: Schema.String.check(Schema.isMaxLength(20)),
  amount: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100 })),
  tags: Schema.optionalKey(Schema.Array(Schema.String))
})

const shop = HttpApiGroup.make("shop").add(
  HttpApiEndpoint.get("order", "/orders/:id", {
    params: { id: Schema.String.check(Schema.isPattern(/^[a-z0-9]{1,8}$/)) },
    success: Schema.Struct({ requestId: Schema.String }),
    error: [OutOfStock, Unauthorized, TooManyRequests]
  }),
  HttpApiEndpoint.post("place", "/orders", { payload: Order, success: Order, error: OutOfStock }),
  HttpApiEndpoint.patch("change", "/orders", { payload: Order, success: Order })
)
const Api = HttpApi.make("shop-api").add(shop).annotate(HttpApi.ParseOptions, {
  onExcessProperty: "error",
  errors: "all"
})

const handlers = HttpApiBuilder.group(Api, "shop", (handlers) =>
  handlers.handleAll({
    order: ({ params }) =>
      params.id === "gone"
        ? Effect.fail(new OutOfStock({ left: 0, detail: "None" }))
        : params.id === "who"
        ? Effect.fail(new Unauthorized({}))
        : params.id === "many"
        ? Effect.fail(new TooManyRequests({ retry_after: 7 }))
        : params.id === "bug"
        ? Effect.die(new Error("secret-of-the-house"))
        : Effect.map(CurrentRequestId, (requestId) => ({ requestId })),
    place: ({ payload }) => Effect.succeed(payload),
    change: ({ payload }) => Effect.succeed(payload)
  }))

const page = HttpRouter.add(
  "GET",
  "/page",
  HttpServerResponse.html("<p>hello</p>").pipe(
    HttpServerResponse.setHeader("cache-control", "public, max-age=60")
  )
)

const Server = serveHttp(
  Layer.mergeAll(HttpApiBuilder.layer(Api).pipe(Layer.provide(handlers)), page),
  { port: 0, host: "127.0.0.1", portVariable: "PORT", corsOrigins: ["https://app.example"], grace: 0, drain: 0 }
)

const port = Effect.map(HttpServer.HttpServer, ({ address }) => "port" in address ? address.port : 0)

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  readonly json: Record<string, unknown>
}

const Json = Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown))
const parse = (text: string) => text.startsWith("{") ? Schema.decodeUnknownSync(Json)(text) : {}

const send = Effect.fnUntraced(function*(path: string, init: RequestInit = {}) {
  const at = yield* port
  return yield* Effect.promise(async (): Promise<Answer> => {
    const response = await fetch(`http://127.0.0.1:${at}${path}`, init)
    const text = await response.text()
    return { status: response.status, headers: response.headers, text, json: parse(text) }
  })
})

const post = (body: string, headers: Record<string, string> = {}) =>
  send("/orders", { method: "POST", body, headers: { "content-type": "application/json", ...headers } })

/** Writes bytes to a socket and collects what comes back until the server closes, for what fetch will not send. */
const raw = Effect.fnUntraced(function*(...chunks: ReadonlyArray<string | Buffer>) {
  const at = yield* port
  return yield* Effect.callback<string>((resume) => {
    let answer = ""
    const socket = connect(at, "127.0.0.1", () => {
      for (const chunk of chunks) socket.write(chunk)
    })
    socket.on("data", (data) => void (answer += data.toString()))
    socket.on("error", () => {})
    socket.on("close", () => resume(Effect.succeed(answer)))
  })
})

const isProblem = (answer: Answer, status: number, code: string) => {
  assert.strictEqual(answer.status, status)
  assert.strictEqual(answer.headers.get("content-type"), "application/problem+json")
  assert.strictEqual(answer.json["status"], status)
  assert.strictEqual(answer.json["code"], code)
  assert.strictEqual(answer.json["request_id"], answer.headers.get("x-request-id"))
  assert.match(String(answer.json["trace_id"]), /^[0-9a-f]{32}$/)
  assert.isString(answer.json["title"])
  assert.isString(answer.json["type"])
  assert.match(String(answer.json["instance"]), /^\/[^?]*$/)
}

const pointers = ({ json }: Answer) =>
  Schema.decodeUnknownSync(
    Schema.Struct({ errors: Schema.Array(Schema.Struct({ pointer: Schema.String, detail: Schema.String })) })
  )(json)
    .errors

const order = { item: "tea", amount: 2 }

// What the edge logs is the telemetry test's subject; here it would bury the results.
layer(Server.pipe(Layer.provide(Logger.layer([]))), { excludeTestServices: true })("the HTTP edge", (it) => {
  it.effect("returns the caller's request id and hands it to the handler", () =>
    Effect.gen(function*() {
      const answer = yield* send("/orders/a1", { headers: { "x-request-id": "call.1_a-b" } })
      assert.strictEqual(answer.headers.get("x-request-id"), "call.1_a-b")
      assert.deepStrictEqual(answer.json, { requestId: "call.1_a-b" })
    }))

  it.effect("makes a request id when the caller's is too long or has other characters", () =>
    Effect.gen(function*() {
      for (const given of ["x".repeat(129), "a b", "a\"b", "é"]) {
        const answer = yield* send("/orders/a1", { headers: { "x-request-id": given } })
        assert.match(String(answer.json["requestId"]), /^[0-9a-f-]{36}$/)
      }
    }))

  it.effect("completes a typed problem that HttpApi encoded", () =>
    Effect.gen(function*() {
      const answer = yield* send("/orders/gone?token=t", { headers: { "x-request-id": "abc" } })
      isProblem(answer, 422, "OutOfStock")
      assert.strictEqual(answer.json["left"], 0)
      assert.strictEqual(answer.json["detail"], "None")
      assert.strictEqual(answer.json["instance"], "/orders/gone")
      assert.strictEqual(answer.json["type"], "/problems/out-of-stock")
    }))

  it.effect("answers 401 with WWW-Authenticate and 429 with Retry-After", () =>
    Effect.gen(function*() {
      const who = yield* send("/orders/who")
      isProblem(who, 401, "Unauthorized")
      assert.strictEqual(who.headers.get("www-authenticate"), "Bearer")
      const many = yield* send("/orders/many")
      isProblem(many, 429, "TooManyRequests")
      assert.strictEqual(many.headers.get("retry-after"), "7")
    }))

  it.effect("answers a defect with InternalError and tells the caller nothing of it", () =>
    Effect.gen(function*() {
      const answer = yield* send("/orders/bug")
      isProblem(answer, 500, "InternalError")
      assert.notInclude(answer.text, "secret-of-the-house")
    }))

  it.effect("answers an unknown path with NotFound and a wrong method with Allow", () =>
    Effect.gen(function*() {
      isProblem(yield* send("/nowhere"), 404, "NotFound")
      const wrong = yield* send("/orders", { method: "DELETE" })
      isProblem(wrong, 405, "MethodNotAllowed")
      assert.strictEqual(wrong.headers.get("allow"), "POST, PATCH, OPTIONS")
      const page = yield* send("/page", { method: "POST" })
      assert.strictEqual(page.headers.get("allow"), "GET, HEAD, OPTIONS")
    }))

  it.effect("names every rejected place of a body and what is allowed there", () =>
    Effect.gen(function*() {
      const answer = yield* post(JSON.stringify({ item: 5, amount: 101, "a/b~c": 1 }))
      isProblem(answer, 400, "InvalidRequest")
      assert.deepStrictEqual(pointers(answer), [
        { pointer: "/body/a~1b~0c", detail: "Unknown property; known are item, amount, tags" },
        { pointer: "/body/item", detail: "Expected string" },
        { pointer: "/body/amount", detail: "Expected a value between 1 and 100" }
      ])
      const missing = yield* post("{\"item\":\"tea\"}")
      assert.deepStrictEqual(pointers(missing), [{ pointer: "/body/amount", detail: "This is required" }])
      const path = yield* send("/orders/NOPE")
      assert.deepStrictEqual(pointers(path).map(({ pointer }) => pointer), ["/path/id"])
    }))

  it.effect("refuses malformed, empty and hostile JSON with 400 and never a 5xx", () =>
    Effect.gen(function*() {
      const hostile = [
        "",
        "{",
        "null",
        "[]",
        "\"x\"",
        "{\"item\":\"a\\u0000b\",\"amount\":1}",
        "{\"item\":\"\\ud800\",\"amount\":1}",
        "{\"item\":\"\\udc00\\ud800\",\"amount\":1}",
        "{\"item\":\"a\u0000\",\"amount\":1}",
        "[".repeat(5000) + "]".repeat(5000),
        "{\"item\":" + "[".repeat(40) + "]".repeat(40) + "}",
        "{\"__proto__\":{\"item\":\"x\"},\"amount\":1}",
        "{\"__proto__\":null,\"item\":\"x\",\"amount\":1}",
        "{\"item\":\"a\",\"amount\":1e400}",
        "{\"item\":\"a\",\"amount\":\"5\"}",
        JSON.stringify(Object.fromEntries(Array.from({ length: 3000 }, (_, at) => [`key${at}`, at])))
      ]
      for (const body of hostile) {
        const answer = yield* post(body)
        isProblem(answer, 400, "InvalidRequest")
        assert.isAtMost(answer.text.length, 16_000, body.slice(0, 50))
      }
    }))

  it.effect("takes what is unusual and yet allowed", () =>
    Effect.gen(function*() {
      const bodies = [
        "{\"amount\":1,\"item\":\"a\",\"item\":\"b\"}",
        "{\"item\":\"\\ud83d\\ude00 \\\\u0000\",\"amount\":1}",
        " \n{\"item\":\"\\\"[[[[\",\"amount\":1}"
      ]
      for (const body of bodies) assert.strictEqual((yield* post(body)).status, 200, body)
      assert.strictEqual((yield* post(bodies[0] ?? "")).json["item"], "b")
    }))

  it.effect("refuses NUL and broken escapes in a path or query", () =>
    Effect.gen(function*() {
      isProblem(yield* send("/orders/a%00b"), 400, "InvalidRequest")
      const query = yield* send("/orders/a?x=%00")
      assert.deepStrictEqual(pointers(query).map(({ pointer }) => pointer), ["/query"])
      for (const path of ["/orders/%zz", "/orders/%ff", "/%", "/orders/%c0%80"]) {
        assert.isBelow((yield* send(path)).status, 500)
      }
    }))

  it.effect("answers another media type with 415", () =>
    Effect.gen(function*() {
      isProblem(yield* post("item=tea", { "content-type": "text/xml" }), 415, "UnsupportedMediaType")
    }))

  it.effect("refuses a body over the limit before it has arrived", () =>
    Effect.gen(function*() {
      const announced = yield* raw(
        "POST /orders HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 62914560\r\n\r\n{"
      )
      assert.match(announced, /^HTTP\/1\.1 413 /)
      assert.include(announced, "\"limit_bytes\":65536")
      const chunk = Buffer.alloc(1 << 20, 32)
      const frame = Buffer.concat([Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from("\r\n")])
      const chunked = yield* raw(
        "POST /orders HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
        ...Array.from({ length: 60 }, () => frame)
      )
      assert.match(chunked, /^HTTP\/1\.1 413 /)
      assert.include(chunked, "PayloadTooLarge")
    }))

  it.effect("answers what is not HTTP, or has too many headers, with a problem", () =>
    Effect.gen(function*() {
      const nonsense = yield* raw("NONSENSE\r\n\r\n")
      assert.match(nonsense, /^HTTP\/1\.1 400 /)
      assert.include(nonsense, "application/problem+json")
      assert.include(nonsense, "x-content-type-options: nosniff")
      const hostless = yield* raw("GET /page HTTP/1.1\r\nconnection: close\r\n\r\n")
      assert.match(hostless, /^HTTP\/1\.1 400 /)
      assert.include(hostless, "/headers/host")
      const expecting = yield* raw("GET /page HTTP/1.1\r\nhost: x\r\nexpect: tea\r\nconnection: close\r\n\r\n")
      assert.match(expecting, /^HTTP\/1\.1 417 /)
      assert.include(expecting, "ExpectationFailed")
      const headers = yield* raw(`GET /page HTTP/1.1\r\nhost: x\r\nx-big: ${"a".repeat(9000)}\r\n\r\n`)
      assert.match(headers, /^HTTP\/1\.1 431 /)
      assert.include(headers, "HeadersTooLarge")
    }))

  it.effect("sends the security headers on every answer, whatever its status", () =>
    Effect.gen(function*() {
      const answers = [
        yield* send("/orders/a1"),
        yield* post("{"),
        yield* send("/orders/who"),
        yield* send("/nowhere"),
        yield* send("/orders", { method: "PUT" }),
        yield* post("x", { "content-type": "text/xml" }),
        yield* post(JSON.stringify({ ...order, item: "x".repeat(70_000) })),
        yield* send("/orders/gone"),
        yield* send("/orders/many"),
        yield* send("/orders/bug"),
        yield* send("/orders", { method: "OPTIONS" }),
        yield* send("/nowhere", { method: "HEAD" })
      ]
      assert.deepStrictEqual(
        answers.map(({ status }) => status),
        [200, 400, 401, 404, 405, 415, 413, 422, 429, 500, 204, 404]
      )
      for (const answer of answers) {
        for (const [name, value] of Object.entries(securityHeaders)) {
          assert.strictEqual(answer.headers.get(name), value, `${name} on ${answer.status}`)
        }
        assert.isNotNull(answer.headers.get("x-request-id"))
        assert.isNull(answer.headers.get("server"))
        assert.isNull(answer.headers.get("x-powered-by"))
      }
    }))

  it.effect("keeps a document's own Cache-Control", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* send("/page")).headers.get("cache-control"), "public, max-age=60")
    }))

  it.effect("shares answers, refusals too, with the origins on the list and no other", () =>
    Effect.gen(function*() {
      const ours = yield* send("/nowhere", { headers: { origin: "https://app.example" } })
      assert.strictEqual(ours.headers.get("access-control-allow-origin"), "https://app.example")
      assert.include(ours.headers.get("access-control-expose-headers"), "X-Request-Id")
      const theirs = yield* send("/orders/a1", { headers: { origin: "https://evil.example" } })
      assert.isNull(theirs.headers.get("access-control-allow-origin"))
      const preflight = yield* send("/orders", {
        method: "OPTIONS",
        headers: { origin: "https://app.example", "access-control-request-method": "POST" }
      })
      assert.strictEqual(preflight.status, 204)
      assert.include(preflight.headers.get("access-control-allow-headers"), "Idempotency-Key")
    }))

  it.effect("says which port is taken and which variable changes it", () =>
    Effect.gen(function*() {
      const taken = yield* port
      const second = serveHttp(page, { port: taken, host: "127.0.0.1", portVariable: "VIDEO_PORT", corsOrigins: [] })
      const error = yield* Effect.flip(Effect.scoped(Layer.build(second)))
      assert.strictEqual(error._tag, "CannotListen")
      assert.include(error.message, `Port ${taken} on 127.0.0.1 is already in use`)
      assert.include(error.message, "VIDEO_PORT")
    }))

  it.effect("still answers during the grace, not ready, and lets a request in flight end", () =>
    Effect.gen(function*() {
      const arrived = yield* Deferred.make<void>()
      const release = yield* Deferred.make<void>()
      const slow = HttpRouter.add(
        "GET",
        "/slow",
        Effect.gen(function*() {
          yield* Deferred.succeed(arrived, undefined)
          yield* Deferred.await(release)
          return HttpServerResponse.text("done")
        })
      )
      const ready = HttpRouter.add(
        "GET",
        "/ready",
        Effect.gen(function*() {
          const readiness = yield* Readiness
          return HttpServerResponse.text(String(yield* readiness.isDraining))
        })
      )
      const scope = yield* Scope.make()
      const stopping = yield* Latch.make()
      const server = yield* Layer.buildWithScope(
        serveHttp(Layer.mergeAll(slow, ready), {
          port: 0,
          host: "127.0.0.1",
          portVariable: "PORT",
          corsOrigins: [],
          grace: "300 millis"
        }),
        scope
      )
      const ask = (path: string) => Effect.provideContext(send(path), server)
      const inFlight = yield* Effect.forkChild(ask("/slow"))
      yield* Deferred.await(arrived)
      assert.strictEqual((yield* ask("/ready")).text, "false")
      const closing = yield* Effect.forkChild(Effect.andThen(stopping.open, Scope.close(scope, Exit.void)))
      yield* stopping.await
      const draining = yield* ask("/ready")
      assert.strictEqual(draining.text, "true")
      assert.strictEqual(draining.headers.get("connection"), "close")
      yield* Deferred.succeed(release, undefined)
      assert.strictEqual((yield* Fiber.join(inFlight)).text, "done")
      yield* Fiber.join(closing)
      assert.strictEqual((yield* Effect.exit(ask("/ready")))._tag, "Failure")
    }))
})
