import { assert, layer } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Latch, Layer, Logger, Scope } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { securityHeaders } from "../../src/http/middleware/SecurityHeaders.ts"
import { serveHttp } from "../../src/layers/HttpServer.ts"
import { Readiness } from "../../src/services/Readiness.ts"
import { isProblem, page, port, post, send, Shop } from "../layers/Shop.ts"

layer(Shop, { excludeTestServices: true })("the HTTP edge", (it) => {
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

  it.effect("sends the security headers on every answer, whatever its status", () =>
    Effect.gen(function*() {
      const answers = [
        yield* send("/orders/a1"),
        yield* post("{"),
        yield* send("/orders/who"),
        yield* send("/nowhere"),
        yield* send("/orders", { method: "PUT" }),
        yield* post("x", { "content-type": "text/xml" }),
        yield* post(JSON.stringify({ item: "x".repeat(70_000), amount: 2 })),
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

  it.effect("keeps connections for longer than balancers do, and says so", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* send("/page")).headers.get("keep-alive"), "timeout=65")
    }))

  it.effect("keeps a document's own Cache-Control", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* send("/page")).headers.get("cache-control"), "public, max-age=60")
    }))

  it.effect("shares answers, refusals too, with the origins on the list and no other", () =>
    Effect.gen(function*() {
      const ours = yield* send("/nowhere", { headers: { origin: "https://app.example" } })
      assert.strictEqual(ours.headers.get("access-control-allow-origin"), "https://app.example")
      // Typed here once more: what a page may read of an answer is a promise.
      assert.strictEqual(
        ours.headers.get("access-control-expose-headers"),
        "X-Request-Id, Location, Retry-After, Idempotency-Replayed, RateLimit, RateLimit-Policy, RateLimit-Limit, "
          + "RateLimit-Remaining, RateLimit-Reset"
      )
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
          // Long enough for a busy machine to ask in time.
          grace: "5 seconds"
        }).pipe(Layer.provide(Logger.layer([]))),
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
