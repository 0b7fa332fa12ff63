import { Context, Effect, Layer, Redacted } from "effect"
import { HttpServer } from "effect/http"
import { mkdtemp, rm } from "node:fs/promises"
import { createServer, type IncomingHttpHeaders } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { serveHttp } from "../../src/layers/HttpServer.ts"
import { sandboxProvider } from "../../src/layers/sandbox/SandboxProvider.ts"

export const sandboxSecrets = {
  SANDBOX_SECRET_KEY: "a secret key for the sandbox of tests",
  SANDBOX_WEBHOOK_SECRET: "a webhook secret for the sandbox of tests"
}

/** The base URL of a server that a layer starts on any free port. */
export const addressOf = <E, R>(server: Layer.Layer<HttpServer.HttpServer, E, R>) =>
  Effect.map(Layer.build(server), (context) => {
    const { address } = Context.get(context, HttpServer.HttpServer)
    return `http://127.0.0.1:${address._tag === "UnixPathAddress" ? 0 : address.port}`
  })

export interface Delivery {
  readonly body: string
  readonly headers: IncomingHttpHeaders
}

/**
 * A receiver of webhooks whose port is known before there is anything to deliver to. It keeps what came, and hands it on
 * where `target` says; without a target it answers 503, as a receiver that is down.
 */
const makeRelay = Effect.gen(function*() {
  const deliveries: Array<Delivery> = []
  const state: { target: string | undefined } = { target: undefined }
  const server = createServer((request, response) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => {
      const body = Buffer.concat(chunks).toString()
      deliveries.push({ body, headers: request.headers })
      if (state.target === undefined) return response.writeHead(503).end()
      fetch(`${state.target}${request.url}`, {
        method: "POST",
        body,
        headers: {
          "content-type": String(request.headers["content-type"]),
          "sandbox-signature": String(request.headers["sandbox-signature"])
        }
      }).then((answer) => response.writeHead(answer.status).end(), () => response.writeHead(502).end())
    })
  })
  yield* Effect.acquireRelease(
    Effect.promise(() => new Promise<void>((listening) => server.listen(0, "127.0.0.1", () => listening()))),
    () => Effect.promise(() => new Promise((closed) => server.close(closed).closeAllConnections()))
  )
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  return { deliveries, state, url: `http://127.0.0.1:${port}/api/webhooks/sandbox` }
})

/** The real sandbox provider on a port and in a folder of its own. */
export class Sandbox extends Context.Service<Sandbox, {
  readonly base: string
  readonly deliveries: ReadonlyArray<Delivery>
  forwardTo(target: string | undefined): Effect.Effect<void>
}>()("midnight/test/Sandbox") {
  static readonly layer = Layer.effect(
    Sandbox,
    Effect.gen(function*() {
      const home = yield* Effect.acquireRelease(
        Effect.promise(() => mkdtemp(join(tmpdir(), "midnight-sandbox-"))),
        (path) => Effect.promise(() => rm(path, { recursive: true, force: true, maxRetries: 10 }))
      )
      const relay = yield* makeRelay
      const provider = sandboxProvider({
        home,
        secretKey: Redacted.make(sandboxSecrets.SANDBOX_SECRET_KEY),
        webhookSecret: Redacted.make(sandboxSecrets.SANDBOX_WEBHOOK_SECRET),
        webhookUrl: relay.url,
        publicUrl: undefined
      })
      const base = yield* addressOf(serveHttp(provider, {
        port: 0,
        host: "127.0.0.1",
        portVariable: "SANDBOX_PORT",
        corsOrigins: [],
        grace: 0,
        drain: 0
      }))
      return {
        base,
        deliveries: relay.deliveries,
        forwardTo: (target) =>
          Effect.sync(() => {
            relay.state.target = target
          })
      }
    })
  )
}
