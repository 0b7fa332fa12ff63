import { assert, it, layer } from "@effect/vitest"
import { Effect, Fiber, Layer, Logger } from "effect"
import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { once } from "node:events"
import { Agent, createServer, request } from "node:http"
import { connect } from "node:net"
import { Api } from "../../src/http/Api.ts"
import { serveHttp } from "../../src/layers/HttpServer.ts"
import { refuseEarly } from "../../src/layers/Refusal.ts"
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

/** Writes to a connection of its own and collects what comes until the server closes it. */
const raw = Effect.fnUntraced(function*(text: string) {
  const { address } = yield* HttpServer.HttpServer
  return yield* Effect.callback<string>((resume) => {
    let answer = ""
    const socket = connect("port" in address ? address.port : 0, "127.0.0.1", () => socket.write(text))
    socket.on("data", (data) => void (answer += data.toString())).on("error", () => {})
    socket.on("close", () => resume(Effect.succeed(answer)))
  })
})

const send = Effect.fnUntraced(function*(method: string, path: string, more: Record<string, string> = {}) {
  const { address } = yield* HttpServer.HttpServer
  const port = "port" in address ? address.port : 0
  return yield* Effect.promise(async (signal) => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
      method,
      signal,
      headers: { origin: "https://app.example.org", "x-request-id": "mine", ...more }
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
      const preflight = (path: string, method: string) =>
        Effect.map(send("OPTIONS", path, { "access-control-request-method": method }), ({ status }) => status)
      assert.strictEqual(yield* preflight("/api/wallet/transfers", "POST"), 204, "a page may ask whether it may pay")
      assert.strictEqual(yield* preflight("/api/wallet", "GET"), 503)
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

      // Two answers at once to whoever asks for two, and no third: the last one's body is not taken for a request.
      const get = "GET /api/wallet HTTP/1.1\r\nhost: x\r\n"
      const inside = "GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n"
      const pipelined = yield* raw(
        `${get}x-request-id: first\r\n\r\n${get}x-request-id: <b>\r\n\r\nHEAD /api/wallet HTTP/1.1\r\nhost: x\r\n\r\n`
          + `${get}content-length: ${inside.length}\r\n\r\n${inside}${inside}${get}connection: close\r\n\r\n`
      )
      const seen = [...pipelined.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => status)
      assert.deepStrictEqual(seen, ["503", "503", "503", "503", "200", "503"])
      assert.deepStrictEqual(pipelined.match(/x-request-id: first/g)?.length, 1)
      assert.notInclude(pipelined, "<b>")

      gate.resolve()
      const answers = yield* Effect.forEach([...reads, ...logins, ...payments], Fiber.join)
      assert.deepStrictEqual(answers.map(({ status }) => status), answers.map(() => 200))
      assert.strictEqual((yield* send("GET", "/api/wallet")).status, 200, "there is room again")
    }))
})

it.live("refuses a plain GET before Node makes a request of it, and only on the server that was asked to", () =>
  Effect.promise(async () => {
    const listening = async (refusing: boolean) => {
      let requests = 0
      let refused = 0
      const server = createServer((_, response) => {
        requests += 1
        response.end("served")
      })
      if (refusing) {
        // The first passes: from it is learnt how this Node numbers GET.
        const onRefused = () => void (refused += 1)
        refuseEarly(server, { corsOrigins: [], judge: () => requests === 0 ? undefined : "reads", onRefused })
      }
      await once(server.listen(0, "127.0.0.1"), "listening")
      const address = server.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      return { port, server, seen: () => [requests, refused] }
    }
    const full = await listening(true)
    const other = await listening(false)
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const ask = (port: number, method: string, path: string) =>
      new Promise<number | undefined>((settle, fail) => {
        const asked = request({ agent, host: "127.0.0.1", port, method, path }, (answer) => {
          answer.resume().once("end", () => settle(answer.statusCode))
        })
        asked.once("error", fail)
        asked.end()
      })
    const answers: Array<number | undefined> = []
    for (const path of ["/a", "/b", "/c?d=\"", "/e"]) answers.push(await ask(full.port, "GET", path))
    assert.deepStrictEqual(answers, [200, 503, 503, 503])
    assert.deepStrictEqual(full.seen(), [1, 3])
    assert.strictEqual(await ask(full.port, "POST", "/f"), 200, "what may have a body is for Node")
    assert.strictEqual(await ask(other.port, "GET", "/g"), 200)
    agent.destroy()
    for (const { server } of [full, other]) await once(server.close(), "close")
  }))
