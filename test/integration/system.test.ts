import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Logger } from "effect"
import { HttpServer } from "effect/http"
import { HttpApi, HttpApiBuilder } from "effect/http-api"
import { SystemApi } from "../../src/http/SystemApi.ts"
import { DocumentationRoutes, SystemHandlers } from "../../src/http/SystemHandlers.ts"
import { serveHttp } from "../../src/layers/HttpServer.ts"
import { Health } from "../../src/services/Health.ts"
import { Readiness } from "../../src/services/Readiness.ts"

const routes = Layer.mergeAll(
  HttpApiBuilder.layer(HttpApi.make("midnight").add(SystemApi)).pipe(
    Layer.provide(SystemHandlers),
    Layer.provide(Health.layer)
  ),
  DocumentationRoutes
)
const Server = serveHttp(routes, { port: 0, host: "127.0.0.1", portVariable: "PORT", corsOrigins: [], grace: 0 })

const get = Effect.fnUntraced(function*(path: string) {
  const { address } = yield* HttpServer.HttpServer
  const port = "port" in address ? address.port : 0
  return yield* Effect.promise(async () => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`)
    return { status: response.status, headers: response.headers, text: await response.text() }
  })
})

layer(Server.pipe(Layer.provide(Logger.layer([]))), { excludeTestServices: true })("system routes", (it) => {
  it.effect("explain a problem under its type: what to do, its members, the routes that answer it", () =>
    Effect.gen(function*() {
      const { status, text } = yield* get("/problems/insufficient-funds")
      assert.strictEqual(status, 200)
      assert.deepInclude(JSON.parse(text), {
        type: "/problems/insufficient-funds",
        status: 422,
        code: "InsufficientFunds"
      })
      assert.include(text, "POST /api/wallet/transfers")
    }))

  it.effect("explain what only the edge answers", () =>
    Effect.gen(function*() {
      for (const code of ["method-not-allowed", "payload-too-large", "unsupported-media-type", "internal-error"]) {
        assert.strictEqual((yield* get(`/problems/${code}`)).status, 200, code)
      }
      const { text } = yield* get("/problems/payload-too-large")
      assert.include(text, "\"members\":[\"limit_bytes\"]")
    }))

  it.effect("answer an unknown problem with those that exist", () =>
    Effect.gen(function*() {
      const { status, text } = yield* get("/problems/no-such-thing")
      assert.strictEqual(status, 404)
      assert.include(text, "insufficient-funds")
    }))

  it.effect("serve the document, and a page that shows it under a policy of its own", () =>
    Effect.gen(function*() {
      const document = yield* get("/openapi.json")
      assert.strictEqual(JSON.parse(document.text).openapi, "3.1.0")
      assert.strictEqual(document.headers.get("cache-control"), "public, max-age=300")
      const page = yield* get("/docs")
      assert.strictEqual(page.status, 200)
      assert.match(
        page.headers.get("content-security-policy") ?? "",
        /script-src 'unsafe-inline'.*frame-ancestors 'none'/
      )
      assert.strictEqual(page.headers.get("x-content-type-options"), "nosniff")
    }))

  it.effect("are alive always, and ready until the process stops", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* get("/livez")).text, "{\"status\":\"alive\"}")
      assert.strictEqual((yield* get("/readyz")).text, "{\"status\":\"ready\"}")
      const readiness = yield* Readiness
      yield* readiness.drain
      const draining = yield* get("/readyz")
      assert.strictEqual(draining.status, 503)
      assert.strictEqual(draining.headers.get("retry-after"), "1")
      assert.strictEqual((yield* get("/livez")).status, 200)
    }))
})
