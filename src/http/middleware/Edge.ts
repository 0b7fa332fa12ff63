import { ByteSize, Clock, Context, Effect, Layer, Option, type Tracer, type Types } from "effect"
import {
  HttpIncomingMessage,
  HttpRouter,
  HttpServerRequest,
  HttpServerRespondable,
  HttpServerResponse
} from "effect/http"
import { InvalidRequest } from "../../domain/Problem.ts"
import { CurrentRequestId } from "../../domain/Request.ts"
import { Readiness } from "../../services/Readiness.ts"
import * as AccessLog from "./AccessLog.ts"
import * as Cors from "./Cors.ts"
import * as Problems from "./Problems.ts"
import * as RequestBody from "./RequestBody.ts"
import * as RequestId from "./RequestId.ts"
import * as RouteTable from "./RouteTable.ts"
import { secure } from "./SecurityHeaders.ts"

export interface EdgeOptions {
  /** Origins whose pages may read answers. Empty: none. */
  readonly corsOrigins: ReadonlyArray<string>
  /** Bytes a body may have on a route, by the route's pattern; `undefined` stands for a path that matches none. */
  readonly maxBodyBytes: (route: string | undefined) => number
}

type App = Effect.Effect<HttpServerResponse.HttpServerResponse, Types.unhandled>

const withoutHost = () => new InvalidRequest({ errors: [{ pointer: "/headers/host", detail: "This is required" }] })

/** Refusals that need no handler, cheapest first: nothing of the body has been read yet. */
const refuse = (around: Problems.Surroundings): Effect.Effect<HttpServerResponse.HttpServerResponse> | undefined => {
  const { allow, maxBodyBytes, request } = around
  const preflight = Cors.preflight(request, allow)
  if (preflight !== undefined) return Effect.succeed(preflight)
  const fault = request.headers["host"] === undefined ? withoutHost() : RequestBody.urlFault(request.url)
  if (fault !== undefined) return HttpServerRespondable.toResponse(fault)
  return Number(request.headers["content-length"] ?? 0) > maxBodyBytes
    ? HttpServerRespondable.toResponse(Problems.payloadTooLarge(maxBodyBytes))
    : undefined
}

const requestContext = (around: Problems.Surroundings, notes: Map<string, string | number | boolean>) =>
  Context.make(HttpServerRequest.HttpServerRequest, RequestBody.guarded(around.request)).pipe(
    Context.add(CurrentRequestId, around.requestId),
    Context.add(AccessLog.Notes, notes),
    Context.add(HttpIncomingMessage.MaxBodySize, ByteSize.bytes(around.maxBodyBytes))
  )

const describe = (span: Tracer.Span | undefined, requestId: string, status: number, code: string | undefined) => {
  if (span === undefined) return
  span.attribute("midnight.request_id", requestId)
  if (code !== undefined) span.attribute(status >= 500 ? "error.type" : "midnight.problem", code)
}

const handle = Effect.fnUntraced(
  function*(app: App, table: RouteTable.RouteTable, options: EdgeOptions, draining: Effect.Effect<boolean>) {
    const request = yield* HttpServerRequest.HttpServerRequest
    const clock = yield* Clock.Clock
    const started = clock.currentTimeNanosUnsafe()
    const span = Option.getOrUndefined(yield* Effect.option(Effect.currentSpan))
    const route = table.find(request)
    const around: Problems.Surroundings = {
      request,
      allow: route === undefined || request.method === "OPTIONS" ? table.allow(request.url) : undefined,
      maxBodyBytes: options.maxBodyBytes(route),
      requestId: RequestId.fromHeaders(request.headers),
      traceId: span?.traceId
    }
    const notes = AccessLog.emptyNotes()
    const answered = Effect.gen(function*() {
      const given = yield* (refuse(around) ?? app).pipe(
        Effect.catchCause((cause) => Problems.fromCause(cause, around))
      )
      const { code, response } = yield* Problems.complete(given, around)
      describe(span, around.requestId, response.status, code)
      const seconds = Number(clock.currentTimeNanosUnsafe() - started) / 1e9
      yield* AccessLog.record({ request, response, route, code, notes, seconds })
      const finished = Cors.share(request, options.corsOrigins, secure(response)).pipe(
        HttpServerResponse.setHeader("x-request-id", around.requestId)
      )
      // While the server drains, a client that keeps its connection would hold up the end.
      return (yield* draining) ? HttpServerResponse.setHeader(finished, "connection", "close") : finished
    })
    return yield* answered.pipe(
      Effect.annotateLogs("request_id", around.requestId),
      Effect.provideContext(requestContext(around, notes))
    )
  }
)

/**
 * The outermost middleware of a server, and the router that registers routes beneath it. It is added before any route
 * exists, so nothing an answer can come from (a handler, a typed error, a defect, no route at all) escapes it.
 */
export const layer = (
  options: EdgeOptions,
  table: RouteTable.RouteTable
): Layer.Layer<HttpRouter.HttpRouter, never, HttpRouter.HttpRouter | Readiness> =>
  Layer.effect(
    HttpRouter.HttpRouter,
    Effect.gen(function*() {
      const router = yield* HttpRouter.HttpRouter
      const readiness = yield* Readiness
      yield* router.addGlobalMiddleware(
        (
          app
        ): Effect.Effect<HttpServerResponse.HttpServerResponse, Types.unhandled, HttpServerRequest.HttpServerRequest> =>
          handle(app, table, options, readiness.isDraining)
      )
      return RouteTable.recording(router, table)
    })
  )
