import { assert } from "@effect/vitest"
import { Effect, Layer, Logger, Schema } from "effect"
import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApiGroup } from "effect/http-api"
import { connect } from "node:net"
import { Problem, TooManyRequests, Unauthorized } from "../../src/domain/Problem.ts"
import { CurrentRequest } from "../../src/domain/Request.ts"
import { serveHttp } from "../../src/layers/HttpServer.ts"

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
        : Effect.map(CurrentRequest, ({ id }) => ({ requestId: id })),
    place: ({ payload }) => Effect.succeed(payload),
    change: ({ payload }) => Effect.succeed(payload)
  }))

export const page = HttpRouter.add(
  "GET",
  "/page",
  HttpServerResponse.html("<p>hello</p>").pipe(
    HttpServerResponse.setHeader("cache-control", "public, max-age=60")
  )
)

export const Shop = serveHttp(
  Layer.mergeAll(HttpApiBuilder.layer(Api).pipe(Layer.provide(handlers)), page),
  { port: 0, host: "127.0.0.1", portVariable: "PORT", corsOrigins: ["https://app.example"], grace: 0, drain: 0 }
  // What the edge logs is the telemetry test's subject; here it would bury the results.
).pipe(Layer.provide(Logger.layer([])))

export const port = Effect.map(HttpServer.HttpServer, ({ address }) => "port" in address ? address.port : 0)

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  readonly json: Record<string, unknown>
}

const Json = Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown))
const parse = (text: string) => text.startsWith("{") ? Schema.decodeUnknownSync(Json)(text) : {}

export const send = Effect.fnUntraced(function*(path: string, init: RequestInit = {}) {
  const at = yield* port
  return yield* Effect.promise(async (): Promise<Answer> => {
    const response = await fetch(`http://127.0.0.1:${at}${path}`, init)
    const text = await response.text()
    return { status: response.status, headers: response.headers, text, json: parse(text) }
  })
})

export const post = (body: string, headers: Record<string, string> = {}) =>
  send("/orders", { method: "POST", body, headers: { "content-type": "application/json", ...headers } })

/** Writes bytes to a socket and collects what comes back until the server closes, for what fetch will not send. */
export const raw = Effect.fnUntraced(function*(...chunks: ReadonlyArray<string | Buffer>) {
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

export const isProblem = (answer: Answer, status: number, code: string) => {
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

export const pointers = ({ json }: Answer) =>
  Schema.decodeUnknownSync(
    Schema.Struct({ errors: Schema.Array(Schema.Struct({ pointer: Schema.String, detail: Schema.String })) })
  )(json)
    .errors
