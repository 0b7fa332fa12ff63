import { ByteSize, Clock, Context, Effect, Layer, References, type Tracer, type Types } from "effect"
import {
  Headers,
  HttpIncomingMessage,
  HttpRouter,
  HttpServerRequest,
  HttpServerRespondable,
  type HttpServerResponse
} from "effect/http"
import { InvalidRequest } from "../../domain/Problem.ts"
import { CurrentRequest } from "../../domain/Request.ts"
import { Readiness } from "../../services/Readiness.ts"
import { slowNanos } from "../../services/TraceContext.ts"
import * as AccessLog from "./AccessLog.ts"
import * as Cors from "./Cors.ts"
import * as Exchange from "./Exchange.ts"
import * as Problems from "./Problems.ts"
import * as RequestBody from "./RequestBody.ts"
import * as RequestId from "./RequestId.ts"
import * as RouteTable from "./RouteTable.ts"
import { securityHeaders } from "./SecurityHeaders.ts"
import * as SingleHeaders from "./SingleHeaders.ts"
import type { Strangers } from "./Strangers.ts"

export interface EdgeOptions {
  /** Origins whose pages may read answers. Empty: none. */
  readonly corsOrigins: ReadonlyArray<string>
  /** Bytes a body may have on a route, by the route's pattern; `undefined` stands for a path that matches none. */
  readonly maxBodyBytes: (route: string | undefined) => number
  readonly protocol: Cors.Protocol
  /** Milliseconds after its head in which a request should be answered, whatever it waits for. */
  readonly answeredWithin: number
  /** Which refusals are counted by address. Undefined: none. */
  readonly strangers: Strangers | undefined
}

type App = Effect.Effect<HttpServerResponse.HttpServerResponse, Types.unhandled>

const withoutHost = () => new InvalidRequest({ errors: [{ pointer: "/headers/host", detail: "This is required" }] })

/** Refusals that need no handler, cheapest first: nothing of the body has been read yet. */
const refuse = (
  around: Problems.Surroundings,
  protocol: Cors.Protocol
): Effect.Effect<HttpServerResponse.HttpServerResponse> | undefined => {
  const { allow, maxBodyBytes, request } = around
  const preflight = Cors.preflight(request, allow, protocol)
  if (preflight !== undefined) return Effect.succeed(preflight)
  const fault = request.headers["host"] === undefined
    ? withoutHost()
    : SingleHeaders.repeated(request) ?? RequestBody.codingFault(request.headers)
      ?? RequestBody.urlFault(request.url)
  if (fault !== undefined) return HttpServerRespondable.toResponse(fault)
  return Number(request.headers["content-length"] ?? 0) > maxBodyBytes
    ? HttpServerRespondable.toResponse(Problems.payloadTooLarge(maxBodyBytes))
    : undefined
}

/** What a span of a request says, beside what the library writes on those that are sampled. */
const describe = (span: Tracer.AnySpan | undefined, outcome: AccessLog.Outcome, nanos: bigint) => {
  if (span === undefined || span._tag !== "Span") return
  const { code, exchange, request, response, route } = outcome
  if (!span.sampled) {
    if (response.status < 500 && nanos < slowNanos) return
    span.attribute("http.request.method", request.method)
    span.attribute("http.response.status_code", response.status)
  }
  if (route !== undefined) span.attribute("http.route", route)
  span.attribute("midnight.request_id", exchange.requestId)
  const user = exchange.notes["enduser.id"]
  if (user !== undefined) span.attribute("enduser.id", user)
  if (code !== undefined) span.attribute(response.status >= 500 ? "error.type" : "midnight.problem", code)
}

interface Edge {
  readonly table: RouteTable.RouteTable
  readonly options: EdgeOptions
  readonly isDraining: () => boolean
}

/** Every header of the answer. */
const headersOf = (
  { isDraining, options }: Edge,
  request: HttpServerRequest.HttpServerRequest,
  response: HttpServerResponse.HttpServerResponse,
  exchange: Exchange.Exchange
) => ({
  ...securityHeaders,
  ...response.headers,
  ...exchange.headers,
  ...Cors.shared(request, options.corsOrigins, options.protocol, response),
  // While the server drains, a client that keeps its connection would hold up the end.
  ...(isDraining() ? { connection: "close" } : undefined),
  "x-request-id": exchange.requestId
})

/**
 * The answer with these headers and no others. The library's `setHeaders` goes over all of them four times, and answers have 25.
 */
const withHeaders = (
  response: HttpServerResponse.HttpServerResponse,
  headers: Record<string, string>
): HttpServerResponse.HttpServerResponse =>
  Object.assign(Object.create(Object.getPrototypeOf(response)), response, {
    headers: Headers.fromRecordUnsafe(headers)
  })

/** What a request's handler finds in its context, besides the request. */
const contextOf = <R>(
  context: Context.Context<R>,
  { maxBodyBytes }: Problems.Surroundings,
  exchange: Exchange.Exchange,
  endsAt: number
) => {
  const { requestId } = exchange
  return context.pipe(
    Context.add(CurrentRequest, { id: requestId, endsAt }),
    Context.add(Exchange.Current, exchange),
    Context.add(References.CurrentLogAnnotations, { request_id: requestId }),
    Context.add(HttpIncomingMessage.MaxBodySize, ByteSize.bytes(maxBodyBytes))
  )
}

/** The refusal, or 429 when too many of the address were counted before. */
const counted = ({ count }: Strangers, refusal: Problems.Completed, around: Problems.Surroundings) =>
  Effect.matchEffect(count, {
    onFailure: (tooMany) =>
      Effect.flatMap(HttpServerRespondable.toResponse(tooMany), (response) => Problems.complete(response, around)),
    onSuccess: () => Effect.succeed(refusal)
  })

/** One request, from its head to its answer. Every request passes here, so this is written without generators. */
const handle = (app: App, edge: Edge) =>
  Effect.withFiber<HttpServerResponse.HttpServerResponse, never, HttpServerRequest.HttpServerRequest>((fiber) => {
    const clock = fiber.getRef(Clock.Clock)
    const started = clock.currentTimeNanosUnsafe()
    const request = Context.getUnsafe(fiber.context, HttpServerRequest.HttpServerRequest)
    const { span } = fiber.cache
    const { options, table } = edge
    const route = table.find(request)
    const now = clock.currentTimeMillisUnsafe()
    const around: Problems.Surroundings = {
      request,
      allow: route === undefined || request.method === "OPTIONS" ? table.allow(request.url) : undefined,
      maxBodyBytes: options.maxBodyBytes(route),
      requestId: RequestId.fromHeaders(request.headers, now),
      traceId: span?.traceId
    }
    const exchange = Exchange.make(around.requestId)
    const endsAt = now + options.answeredWithin
    RequestBody.guard(request)

    const finish = ({ code, response }: Problems.Completed) => {
      const nanos = clock.currentTimeNanosUnsafe() - started
      const outcome = { request, response, route, code, exchange, seconds: Number(nanos) / 1e9 }
      describe(span, outcome, nanos)
      return Effect.as(
        AccessLog.record(outcome, fiber),
        withHeaders(response, headersOf(edge, request, response, exchange))
      )
    }
    const complete = (given: HttpServerResponse.HttpServerResponse) =>
      given.status < 400
        ? finish({ response: given, code: undefined })
        : Effect.flatMap(
          Problems.complete(given, around),
          (completed) =>
            options.strangers?.counts(completed.code, route) === true
              ? Effect.flatMap(counted(options.strangers, completed, around), finish)
              : finish(completed)
        )

    return Effect.matchCauseEffect(refuse(around, options.protocol) ?? app, {
      onFailure: (cause) => Effect.flatMap(Problems.fromCause(cause, around), complete),
      onSuccess: complete
    }).pipe(
      Effect.updateContext((context: Context.Context<HttpServerRequest.HttpServerRequest>) =>
        contextOf(context, around, exchange, endsAt)
      )
    )
  })

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
      const edge: Edge = { table, options, isDraining: () => readiness.isDrainingUnsafe() }
      yield* router.addGlobalMiddleware(
        (
          app
        ): Effect.Effect<HttpServerResponse.HttpServerResponse, Types.unhandled, HttpServerRequest.HttpServerRequest> =>
          handle(app, edge)
      )
      return RouteTable.recording(router, table)
    })
  )
