import { assert, layer } from "@effect/vitest"
import { Effect, Fiber, Layer, Logger, Schema } from "effect"
import { HttpServer } from "effect/http"
import { HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApiGroup, HttpApiSchema } from "effect/http-api"
import { connect, type Socket } from "node:net"
import { Admission, AdmissionClass, AnsweredWithin } from "../../src/http/middleware/Admission.ts"
import { AdmissionLive } from "../../src/http/middleware/AdmissionLive.ts"
import { serveHttp } from "../../src/layers/HttpServer.ts"
import { classesOf } from "../../src/layers/Shedding.ts"
import { until } from "../layers/Held.ts"
import { raw } from "../layers/Shop.ts"

// A stranger announces a body and sends none of it, or one byte after the other.

const gate = Promise.withResolvers<void>()
let arrived = 0

const bytes = Schema.Uint8Array.pipe(HttpApiSchema.asUint8Array({ contentType: "application/json" }))
const Item = Schema.Struct({ item: Schema.String })
const Size = Schema.Struct({ bytes: Schema.Int })

const counter = HttpApiGroup.make("counter")
  .add(
    HttpApiEndpoint.post("pay", "/pay", { payload: Item, success: Item }).annotate(AdmissionClass, "payments"),
    HttpApiEndpoint.post("held", "/held", { payload: Item, success: Item }).annotate(AdmissionClass, "payments"),
    HttpApiEndpoint.post("hook", "/hook", { payload: bytes, success: Size })
      .annotate(AdmissionClass, "payments")
      // Long enough for whoever sends all of it, however busy the machine is.
      .annotate(AnsweredWithin, 2_000),
    HttpApiEndpoint.get("read", "/read", { success: Size })
  )
  .middleware(Admission)
const Api = HttpApi.make("counter-api").add(counter)

const handlers = HttpApiBuilder.group(Api, "counter", (handlers) =>
  handlers.handleAll({
    pay: ({ payload }) => Effect.succeed(payload),
    held: ({ payload }) =>
      Effect.promise(() => {
        arrived += 1
        return gate.promise
      }).pipe(Effect.as(payload)),
    hook: ({ payload }) => Effect.succeed({ bytes: payload.length }),
    read: () => Effect.succeed({ bytes: 0 })
  }))

const fixed = (most: number) => ({ most, least: most, millis: 100 })
const tight = { places: 1, waiting: 0 }
const kibibyte = 1_024

const Server = serveHttp(
  HttpApiBuilder.layer(Api).pipe(
    Layer.provide(handlers),
    Layer.provide(AdmissionLive({ payments: tight, auth: tight, reads: tight, video: tight }))
  ),
  {
    port: 0,
    host: "127.0.0.1",
    portVariable: "PORT",
    corsOrigins: [],
    grace: 0,
    drain: 0,
    shedding: {
      classOf: classesOf(Api),
      limits: { payments: fixed(3), auth: fixed(2), reads: fixed(1), video: fixed(1) },
      mostArriving: 10 * 16 * kibibyte
    }
  }
).pipe(Layer.provide(Logger.layer([])))

const body = "{\"item\":\"tea\"}"
const head = (path: string, length: number, more = "") =>
  `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n${more}\r\n`
const close = "connection: close\r\n"
const pay = raw(head("/pay", body.length, close) + body)
const read = raw(`GET /read HTTP/1.1\r\nhost: x\r\n${close}\r\n`)

const statusOf = (answer: string) => Number(/^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1])

interface Slow {
  readonly socket: Socket
  readonly answer: () => string
  readonly isClosed: () => boolean
}

/** A connection that is kept open and has sent this; what comes back is collected. */
const slow = Effect.fnUntraced(function*(text: string) {
  const { address } = yield* HttpServer.HttpServer
  return yield* Effect.acquireRelease(
    Effect.callback<Slow>((resume) => {
      let answer = ""
      let closed = false
      const socket = connect(
        "port" in address ? address.port : 0,
        "127.0.0.1",
        () => socket.write(text, () => resume(Effect.succeed({ socket, answer: () => answer, isClosed: () => closed })))
      )
      socket.on("data", (data) => void (answer += data.toString())).on("error", () => {})
      socket.on("close", () => {
        closed = true
      })
    }),
    ({ socket }) => Effect.sync(() => socket.destroy())
  )
})

layer(Server, { excludeTestServices: true })("a server to which bodies are sent slowly", (it) => {
  it.effect("gives no place and no room to a body that does not come", () =>
    Effect.gen(function*() {
      const lingering = yield* Effect.forEach(
        [head("/pay", 1_000), head("/held", 100), head("/pay", 1_000), head("/pay", 14)],
        slow
      )
      // One after the other: each answer shows that those before it are inside.
      for (let round = 0; round < 3; round++) {
        assert.strictEqual(statusOf(yield* pay), 200)
        assert.strictEqual(statusOf(yield* read), 200)
      }
      const last = lingering.at(-1)
      assert.strictEqual(last?.answer(), "")
      last?.socket.write(body)
      yield* until(() => last?.answer() !== "")
      assert.strictEqual(statusOf(last?.answer() ?? ""), 200)
    }).pipe(Effect.scoped))

  it.effect("counts a request from the end of its body on", () =>
    Effect.gen(function*() {
      const held = yield* Effect.forkChild(raw(head("/held", body.length, close) + body))
      yield* until(() => arrived === 1)
      assert.strictEqual(statusOf(yield* read), 503)
      const expecting = `GET /read HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n${close}\r\n`
      assert.strictEqual(statusOf(yield* raw(expecting)), 503, "also who waits to be asked for a body")
      gate.resolve()
      assert.strictEqual(statusOf(yield* Fiber.join(held)), 200)
      assert.strictEqual(statusOf(yield* read), 200)
    }))

  it.effect("gives up the body that has been on its way for longest when too many are", () =>
    Effect.gen(function*() {
      const lingering = yield* Effect.forEach(Array.from({ length: 10 }, () => head("/pay", 1_000)), slow)
      assert.strictEqual(statusOf(yield* pay), 200)
      const [first, second] = lingering
      yield* until(() => first?.isClosed() === true)
      assert.strictEqual(statusOf(first?.answer() ?? ""), 408)
      assert.include(first?.answer(), "RequestTimeout")
      assert.strictEqual(second?.answer(), "")
      const large = yield* slow(head("/pay", 60_000))
      yield* until(() => second?.isClosed() === true)
      assert.isFalse(large.isClosed())
    }).pipe(Effect.scoped))

  it.effect("answers in the endpoint's time to who sends no body, and closes", () =>
    Effect.gen(function*() {
      const answer = yield* raw(head("/hook", 1_000) + "{")
      assert.strictEqual(statusOf(answer), 503)
      assert.include(answer, "\"retry_after\":5")
      assert.include(yield* raw(head("/hook", body.length, close) + body), `{"bytes":${body.length}}`)
      const inChunks = `POST /hook HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n${close}`
      const chunked = `${inChunks}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n`
      assert.include(yield* raw(chunked), "{\"bytes\":5}")
    }))
})
