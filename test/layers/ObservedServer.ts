import { ConfigProvider, Effect, Layer, Option, Schema } from "effect"
import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { createServer, type RequestListener, type Server } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { serveHttp } from "../../src/layers/HttpServer.ts"
import * as Telemetry from "../../src/layers/Telemetry.ts"
import * as TraceContext from "../../src/services/TraceContext.ts"
import * as Receiver from "./otlp-receiver.ts"

export const receiver = Effect.acquireRelease(
  Effect.promise(() => Receiver.start()),
  (receiver) => Effect.promise(() => receiver.close())
)

export const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "midnight-telemetry-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, maxRetries: 10 }))
)

export const listening = (answer: RequestListener) =>
  Effect.acquireRelease(
    Effect.callback<Server>((resume) => {
      const server = createServer(answer)
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => server.close().closeAllConnections())
  )

const ledger = Effect.fn("Ledger.post")(function*() {
  return yield* Effect.annotateCurrentSpan("transfer.id", "t1")
})

const routes = Layer.mergeAll(
  HttpRouter.add("GET", "/things/:id", Effect.as(ledger(), HttpServerResponse.text("ok"))),
  HttpRouter.add(
    "GET",
    "/trace",
    Effect.map(TraceContext.current, (current) => HttpServerResponse.text(Option.getOrElse(current, () => "none")))
  ),
  HttpRouter.add(
    "GET",
    "/bug",
    Effect.die(new Error("a defect: Key (email)=(jane.doe+1@mail.example.org) already exists"))
  )
)

interface Options {
  readonly env: Record<string, string>
  readonly service?: string
  readonly spans?: string
  readonly logs?: string
}

/** Runs one process's worth of telemetry and releases it, so that everything has been flushed when this returns. */
export const within = <A, E>(options: Options, effect: Effect.Effect<A, E, HttpServer.HttpServer>) =>
  effect.pipe(
    Effect.provide(serveHttp(routes, { port: 0, host: "127.0.0.1", portVariable: "PORT", corsOrigins: [], grace: 0 })),
    Effect.provide(Telemetry.layer({
      serviceName: options.service ?? "api",
      version: "1.2.3",
      spanFolder: options.spans,
      logFolder: options.logs,
      logFormat: "json"
    })),
    Effect.provide(ConfigProvider.layer(ConfigProvider.fromUnknown(options.env)))
  )

export const get = Effect.fnUntraced(function*(path: string, headers: Record<string, string> = {}) {
  const { address } = yield* HttpServer.HttpServer
  const port = "port" in address ? address.port : 0
  return yield* Effect.promise(async () => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers })
    return {
      status: response.status,
      text: await response.text(),
      requestId: response.headers.get("x-request-id") ?? ""
    }
  })
})

const Line = Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown))
export const lines = (path: string) =>
  readFileSync(path, "utf8").trim().split("\n").filter((line) => line !== "").map((line) =>
    Schema.decodeUnknownSync(Line)(line)
  )
