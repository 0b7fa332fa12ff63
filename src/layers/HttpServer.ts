import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Context, Duration, Effect, Layer, Schema } from "effect"
import { HttpMiddleware, HttpRouter, HttpServer, type HttpServerError, type HttpServerRequest } from "effect/http"
import { createServer, type Server } from "node:http"
import { plainHttp, type Protocol } from "../http/middleware/Cors.ts"
import * as Edge from "../http/middleware/Edge.ts"
import * as RouteTable from "../http/middleware/RouteTable.ts"
import type { Strangers } from "../http/middleware/Strangers.ts"
import { Readiness } from "../services/Readiness.ts"
import { answerMalformed } from "./MalformedHttp.ts"
import * as Shedding from "./Shedding.ts"
import { layer as redaction } from "./telemetry/Redaction.ts"

export interface HttpServerOptions {
  /** 0 takes any free port. */
  readonly port: number
  readonly host: string
  /** The variable that sets the port, named when the port is taken. */
  readonly portVariable: string
  readonly corsOrigins: ReadonlyArray<string>
  /** How long a stopping process says "not ready" and still serves, so that balancers notice first. Default 5 s. */
  readonly grace?: Duration.Input
  /** How long requests in flight may take to end after that. Default 20 s. */
  readonly drain?: Duration.Input
  /** Milliseconds in which a head must have arrived. Default 10 s, and never more than the whole request has. */
  readonly headersTimeout?: number
  /** Milliseconds between two looks for requests that are late: by so much they may be later. Default 2 s. */
  readonly checkInterval?: number
  /** Milliseconds for which a connection stays open without a request. Default 65 s, longer than most balancers keep it. */
  readonly keepAlive?: number
  /** Connections that the kernel may hold before they are accepted. Default 8192; the kernel has a bound of its own. */
  readonly backlog?: number
  /** Bytes a body may have on a route, by its pattern. Default 64 KiB everywhere. */
  readonly maxBodyBytes?: (route: string | undefined) => number
  /** Milliseconds in which a whole request must have arrived, and should be answered. Default 15 s; uploads need more. */
  readonly requestTimeout?: number
  /** Milliseconds after which a connection is cut on which nothing moves though an answer is due. Default 30 s. */
  readonly stalled?: number
  /** What the server speaks beside HTTP. Default: nothing. */
  readonly protocol?: Protocol
  /** What is turned away when too much is unanswered. Default: nothing. */
  readonly shedding?: Omit<Shedding.Shedding, "corsOrigins">
  /** Which refusals are counted by address. Default: none. */
  readonly strangers?: Strangers
  /** Whether every handler took its services when it was built, so that requests need not carry them. Default: no. */
  readonly lean?: boolean
}

export class CannotListen extends Schema.TaggedError<CannotListen>()("CannotListen", {
  message: Schema.String,
  port: Schema.Int
}) {}

const errorCode = (error: HttpServerError.ServeError): unknown =>
  error.cause instanceof Error && "code" in error.cause ? error.cause.code : undefined

const cannotListen = ({ host, port, portVariable }: HttpServerOptions) => (error: HttpServerError.ServeError) => {
  const code = errorCode(error)
  const why = code === "EADDRINUSE"
    ? "is already in use: another program, or another Midnight, listens there"
    : code === "EACCES"
    ? "may not be opened by this user"
    : `cannot be opened (${String(code ?? error.cause)})`
  return new CannotListen({ port, message: `Port ${port} on ${host} ${why}. Set ${portVariable} to a free port.` })
}

// Node's defaults allow a client to hold a connection for 5 minutes with half a request, and 16 KiB of headers.
const nodeServer = (options: HttpServerOptions): Server => {
  const { checkInterval = 2_000, headersTimeout = 10_000, keepAlive = 65_000, stalled = 30_000 } = options
  const requestTimeout = options.requestTimeout ?? 15_000
  const server = createServer({
    headersTimeout: Math.min(headersTimeout, requestTimeout),
    requestTimeout,
    connectionsCheckingInterval: checkInterval,
    keepAliveTimeout: keepAlive,
    maxHeaderSize: 8 * 1024,
    // Node would refuse it with an empty body; the edge does with a problem.
    requireHostHeader: false
  })
  // Without it, an answer that nobody reads is kept for as long as its peer likes. Between requests the other limit holds.
  server.timeout = stalled
  answerMalformed(server)
  return server
}

/** `GET /api/wallet`; the method alone where no route matches, so that scanners do not invent span names. */
const spanName = (table: RouteTable.RouteTable) => (request: HttpServerRequest.HttpServerRequest) => {
  const route = table.find(request)
  return route === undefined ? request.method : `${request.method} ${route}`
}

// Of the process and of no request: layers are built, programs started and a terminal read without one.
const ofTheProcess =
  /^(midnight\/services|effect\/(Layer|crypto|process|Terminal|http\/HttpServer$)|@effect\/opentelemetry|~effect\/Stdio)/

/**
 * Each request starts from the context in which the server was started, and copies it more than once. With every service of
 * the process in it, that cost a fifth of a request; handlers have taken theirs long before.
 */
const carryingLittle = (server: HttpServer.HttpServer["Service"]): HttpServer.HttpServer["Service"] => {
  const little = <R>(context: Context.Context<R>): Context.Context<R> =>
    Context.makeUnsafe(new Map([...context.mapUnsafe].filter(([key]) => !ofTheProcess.test(key))), { maxDepth: 16 })
  return HttpServer.make({
    address: server.address,
    serve: (app, middleware) =>
      Effect.updateContext(middleware === undefined ? server.serve(app) : server.serve(app, middleware), little)
  })
}

/**
 * Serves routes behind the HTTP edge. On release (SIGTERM) the process first says "not ready" for `grace` while it still
 * serves, then refuses new connections and lets requests end for `drain`, then cuts what is left.
 */
export const serveHttp = <A, E, R>(routes: Layer.Layer<A, E, R>, options: HttpServerOptions) => {
  const table = RouteTable.make()
  const server = nodeServer(options)
  const edge = Edge.layer(
    {
      corsOrigins: options.corsOrigins,
      maxBodyBytes: options.maxBodyBytes ?? (() => 64 * 1024),
      protocol: options.protocol ?? plainHttp,
      strangers: options.strangers,
      answeredWithin: options.requestTimeout ?? 15_000
    },
    table
  )
  const listening = Layer.effect(
    HttpServer.HttpServer,
    NodeHttpServer.make(() => server, {
      port: options.port,
      host: options.host,
      backlog: options.backlog ?? 8192,
      gracefulShutdownTimeout: options.drain ?? Duration.seconds(20)
    }).pipe(
      Effect.mapError(cannotListen(options)),
      Effect.tap(() =>
        options.shedding === undefined
          ? Effect.void
          : Shedding.shed(server, { ...options.shedding, corsOrigins: options.corsOrigins })
      ),
      Effect.map((server) => options.lean === true ? carryingLittle(server) : server)
    )
  )
  // Released after the drain: without it one stuck connection would keep the process for as long as it likes.
  const cut = Layer.effectDiscard(Effect.addFinalizer(() => Effect.sync(() => server.closeAllConnections())))
  // Built last, so released first.
  const grace = Layer.effectDiscard(
    Effect.gen(function*() {
      const readiness = yield* Readiness
      yield* Effect.addFinalizer(() =>
        Effect.andThen(readiness.drain, Effect.sleep(options.grace ?? Duration.seconds(5)))
      )
    })
  )
  // The identity middleware makes Effect open a server span, and so a trace id, for every request, exporter or not.
  const served = HttpRouter.serve(routes.pipe(Layer.provide(edge)), {
    routerConfig: RouteTable.spelling,
    disableLogger: true,
    disableListenLog: true,
    middleware: (app) => app
  })
  return grace.pipe(
    Layer.provideMerge(served),
    Layer.provide(cut),
    Layer.provideMerge(Layer.mergeAll(listening, NodeHttpServer.layerHttpServices, Readiness.layer)),
    Layer.provide(redaction),
    Layer.provide(Layer.succeed(HttpMiddleware.SpanNameGenerator)(spanName(table)))
  )
}
