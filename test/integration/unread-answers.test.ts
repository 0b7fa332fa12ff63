import { assert, layer } from "@effect/vitest"
import { Deferred, Effect, Layer, Logger, Stream } from "effect"
import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { connect } from "node:net"
import { Api } from "../../src/http/Api.ts"
import { serveHttp } from "../../src/layers/HttpServer.ts"
import { classesOf } from "../../src/layers/Shedding.ts"
import { until } from "../layers/Held.ts"
import { send } from "../layers/Shop.ts"

// A stranger asks for what is large and reads none of it.

const fixed = (most: number) => ({ most, least: most, millis: 100 })
const large = new Uint8Array(8 * 1024 * 1024)
const cut = Deferred.makeUnsafe<void>()
let asked = 0

const routes = Layer.mergeAll(
  HttpRouter.add(
    "GET",
    "/docs",
    Effect.sync(() => {
      asked += 1
      return HttpServerResponse.uint8Array(large)
    })
  ),
  HttpRouter.add("GET", "/api/wallet", HttpServerResponse.text("served")),
  HttpRouter.add("POST", "/api/wallet/transfers", HttpServerResponse.text("served")),
  HttpRouter.add(
    "GET",
    "/api/wallet/statement",
    HttpServerResponse.stream(
      Stream.succeed(new Uint8Array(65_536)).pipe(Stream.forever, Stream.ensuring(Deferred.succeed(cut, undefined)))
    )
  )
)

const Server = serveHttp(routes, {
  port: 0,
  host: "127.0.0.1",
  portVariable: "PORT",
  corsOrigins: ["https://app.example"],
  grace: 0,
  drain: 0,
  stalled: 300,
  shedding: {
    classOf: classesOf(Api),
    limits: { payments: fixed(6), auth: fixed(4), reads: fixed(2), video: fixed(1) }
  }
}).pipe(Layer.provide(Logger.layer([])))

/** A connection that has sent this, reads nothing, and is closed with the scope. */
const deaf = Effect.fnUntraced(function*(text: string) {
  const { address } = yield* HttpServer.HttpServer
  return yield* Effect.acquireRelease(
    Effect.sync(() => {
      const socket = connect("port" in address ? address.port : 0, "127.0.0.1", () => socket.write(text))
      return socket.on("error", () => {}).pause()
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )
})

const get = (path: string) => `GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`

layer(Server, { excludeTestServices: true })("a server whose answers are not read", (it) => {
  it.effect("has answered what it has handed over, on a connection of its own or behind another answer", () =>
    Effect.gen(function*() {
      yield* deaf(get("/docs").repeat(5))
      yield* Effect.forEach(Array.from({ length: 5 }, () => get("/docs")), deaf)
      yield* until(() => asked === 10)
      assert.strictEqual((yield* send("/api/wallet")).status, 200)
    }).pipe(Effect.scoped))

  it.effect("cuts the connection of whoever stops reading, and no other", () =>
    Effect.gen(function*() {
      const patient = yield* deaf(get("/api/wallet"))
      yield* deaf(get("/api/wallet/statement"))
      yield* Deferred.await(cut)
      // Between two requests nothing is due, and the time of keep-alive holds.
      patient.write(get("/api/wallet").replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n"))
      const answers = yield* Effect.promise(async () => {
        let text = ""
        for await (const data of patient) text += String(data)
        return text
      })
      assert.strictEqual(answers.match(/HTTP\/1\.1 200/g)?.length, 2)
    }).pipe(Effect.scoped))
})
