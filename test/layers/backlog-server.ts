import { Console, Effect, Layer } from "effect"
import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { serveHttp } from "../../src/layers/HttpServer.ts"

// Two servers in a process of their own, which a test stops: what then arrives waits in the kernel, as far as it has room.

const server = (backlog: number) =>
  serveHttp(HttpRouter.add("GET", "/page", HttpServerResponse.text("page")), {
    port: 0,
    host: "127.0.0.1",
    portVariable: "PORT",
    corsOrigins: [],
    backlog
  }).pipe(Layer.fresh)

const portOf = (backlog: number) =>
  Effect.map(
    Effect.flatMap(Layer.build(server(backlog)), (context) => Effect.provide(HttpServer.HttpServer, context)),
    ({ address }) => "port" in address ? address.port : 0
  )

const main = Effect.gen(function*() {
  yield* Console.log(JSON.stringify([yield* portOf(2), yield* portOf(1_024)]))
  return yield* Effect.never
})

await Effect.runPromise(Effect.scoped(main))
