import { type Context, Effect, type Fiber, Metric } from "effect"
import type { HttpServerRequest, HttpServerResponse } from "effect/http"
import type { Exchange } from "./Exchange.ts"

const boundaries = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]
const duration = Metric.histogram("http.server.request.duration", {
  description: "Duration of HTTP server requests, in seconds",
  boundaries,
  attributes: { unit: "s" }
})

// One series per route, method and status: bounded by the contract. Kept, since making its key costs more than counting.
const series = new Map<string, Metric.Metric<number, unknown>>()

const count = (method: string, route: string, status: number, seconds: number, context: Context.Context<never>) => {
  const key = `${status} ${method} ${route}`
  let one = series.get(key)
  if (one === undefined) {
    one = Metric.withAttributes(duration, {
      "http.request.method": method,
      "http.route": route,
      "http.response.status_code": String(status)
    })
    series.set(key, one)
  }
  one.updateUnsafe(seconds, context)
}

const bytes = ({ body }: HttpServerResponse.HttpServerResponse): number =>
  body._tag === "Uint8Array" || body._tag === "Stream" || body._tag === "Raw" ? body.contentLength ?? 0 : 0

export interface Outcome {
  readonly request: HttpServerRequest.HttpServerRequest
  readonly response: HttpServerResponse.HttpServerResponse
  readonly route: string | undefined
  readonly code: string | undefined
  readonly exchange: Exchange
  readonly seconds: number
}

// Probes ask every second or so; their lines would bury the others.
const probes = new Set<string | undefined>(["/livez", "/readyz", "/health", "/metrics"])

const level = (route: string | undefined, status: number) => {
  if (status >= 500 && status !== 503) return Effect.logError
  return probes.has(route) ? Effect.logDebug : Effect.logInfo
}

/** One wide line per request. The path is left out on purpose: the route names it without the ids of people. */
export const record = (
  { code, exchange, request, response, route = "unmatched", seconds }: Outcome,
  fiber: Fiber.Fiber<unknown, unknown>
): Effect.Effect<void> => {
  const { status } = response
  count(request.method, route, status, seconds, fiber.context)
  const line = {
    request_id: exchange.requestId,
    "http.request.method": request.method,
    "http.route": route,
    "http.response.status_code": status,
    duration_ms: Math.round(seconds * 1e5) / 100,
    "http.request.body.size": Number(request.headers["content-length"] ?? 0),
    "http.response.body.size": bytes(response),
    ...exchange.notes
  }
  return level(route, status)("request").pipe(
    Effect.annotateLogs(code === undefined ? line : { ...line, "error.type": code })
  )
}
