import { assert, layer } from "@effect/vitest"
import { Effect, Fiber, Layer, Logger } from "effect"
import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { Api } from "../../src/http/Api.ts"
import { serveHttp } from "../../src/layers/HttpServer.ts"
import { classesOf } from "../../src/layers/Shedding.ts"
import { until } from "../layers/Held.ts"

const fixed = (most: number) => ({ most, least: most, millis: 100 })

const gate = Promise.withResolvers<void>()
let arrived = 0

const waiting = Effect.promise(() => {
  arrived += 1
  return gate.promise
}).pipe(Effect.as(HttpServerResponse.text("served")))
const routes = Layer.mergeAll(
  HttpRouter.add("GET", "/api/wallet", waiting),
  HttpRouter.add("POST", "/api/auth/login", waiting),
  HttpRouter.add("POST", "/api/wallet/transfers", waiting),
  HttpRouter.add("GET", "/readyz", HttpServerResponse.text("ready"))
)

const Server = serveHttp(routes, {
  port: 0,
  host: "127.0.0.1",
  portVariable: "PORT",
  corsOrigins: ["https://app.example.org"],
  grace: 0,
  drain: 0,
  shedding: {
    classOf: classesOf(Api),
    limits: { payments: fixed(6), auth: fixed(4), reads: fixed(2), video: fixed(1) }
  }
}).pipe(Layer.provide(Logger.layer([])))

const send = Effect.fnUntraced(function*(method: string, path: string) {
  const { address } = yield* HttpServer.HttpServer
  const port = "port" in address ? address.port : 0
  return yield* Effect.promise(async (signal) => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
      method,
      signal,
      headers: { origin: "https://app.example.org", "x-request-id": "mine" }
    })
    return { status: answer.status, headers: answer.headers, text: await answer.text() }
  })
})

layer(Server, { excludeTestServices: true })("a server with more requests than it can answer", (it) => {
  it.effect("turns them away by class, payments last and probes never, as a problem like all others", () =>
    Effect.gen(function*() {
      const held = Effect.fnUntraced(function*(method: string, path: string, unanswered: number) {
        const fibers = yield* Effect.all([send(method, path), send(method, path)].map((one) => Effect.forkChild(one)))
        yield* until(() => arrived === unanswered)
        return fibers
      })
      const reads = yield* held("GET", "/api/wallet", 2)
      const read = yield* send("GET", "/api/wallet")
      assert.strictEqual(read.status, 503)
      assert.strictEqual((yield* send("GET", "/no/such/path?x=%00\"")).status, 503)
      const logins = yield* held("POST", "/api/auth/login", 4)
      assert.strictEqual((yield* send("POST", "/api/auth/login")).status, 503)
      const payments = yield* held("POST", "/api/wallet/transfers", 6)
      assert.strictEqual((yield* send("POST", "/api/wallet/transfers")).status, 503)
      assert.strictEqual((yield* send("GET", "/readyz")).status, 200)

      const { instance, request_id: requestId, ...problem } = JSON.parse(read.text)
      assert.deepStrictEqual([instance, requestId], ["/api/wallet", "mine"])
      assert.deepInclude(problem, { status: 503, code: "Unavailable", type: "/problems/unavailable", retry_after: 1 })
      for (
        const [name, value] of [
          ["content-type", "application/problem+json"],
          ["retry-after", "1"],
          ["x-request-id", "mine"],
          ["cache-control", "no-store"],
          ["access-control-allow-origin", "https://app.example.org"],
          ["vary", "Origin"]
        ] as const
      ) assert.strictEqual(read.headers.get(name), value)

      gate.resolve()
      const answers = yield* Effect.forEach([...reads, ...logins, ...payments], Fiber.join)
      assert.deepStrictEqual(answers.map(({ status }) => status), answers.map(() => 200))
      assert.strictEqual((yield* send("GET", "/api/wallet")).status, 200, "there is room again")
    }))
})
