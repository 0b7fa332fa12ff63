import { Context, Effect, Metric } from "effect"
import type { HttpServerRequest, HttpServerResponse } from "effect/http"

/** Ids and counts that handlers add to the one log line of their request; never personal data. */
type Notes = Map<string, string | number | boolean>
const Notes = Context.Reference<Notes>("midnight/http/AccessLog/Notes", { defaultValue: () => new Map() })

/** Adds to the request's log line, for instance `user.id` once the caller is known. */
export const annotate = (name: string, value: string | number | boolean): Effect.Effect<void> =>
  Effect.map(Notes, (notes) => void notes.set(name, value))

export const emptyNotes = (): Notes => new Map()
export { Notes }

const boundaries = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]
const duration = Metric.histogram("http.server.request.duration", {
  description: "Duration of HTTP server requests, in seconds",
  boundaries,
  attributes: { unit: "s" }
})

const bytes = ({ body }: HttpServerResponse.HttpServerResponse): number =>
  body._tag === "Uint8Array" || body._tag === "Stream" || body._tag === "Raw" ? body.contentLength ?? 0 : 0

export interface Outcome {
  readonly request: HttpServerRequest.HttpServerRequest
  readonly response: HttpServerResponse.HttpServerResponse
  readonly route: string | undefined
  readonly code: string | undefined
  readonly notes: Notes
  readonly seconds: number
}

// Probes ask every second or so; their lines would bury the others.
const probes = new Set<string | undefined>(["/livez", "/readyz", "/health", "/metrics"])

const level = (route: string | undefined, status: number) => {
  if (status >= 500 && status !== 503) return Effect.logError
  return probes.has(route) ? Effect.logDebug : Effect.logInfo
}

/** One wide line per request. The path is left out on purpose: the route names it without the ids of people. */
export const record = ({ code, notes, request, response, route, seconds }: Outcome): Effect.Effect<void> => {
  const attributes = {
    "http.request.method": request.method,
    "http.route": route ?? "unmatched",
    "http.response.status_code": response.status
  }
  const line = {
    ...attributes,
    duration_ms: Math.round(seconds * 1e5) / 100,
    "http.request.body.size": Number(request.headers["content-length"] ?? 0),
    "http.response.body.size": bytes(response),
    ...(code === undefined ? {} : { "error.type": code }),
    ...Object.fromEntries(notes)
  }
  const log = level(route, response.status)("request")
  return Effect.andThen(
    Metric.update(
      Metric.withAttributes(duration, { ...attributes, "http.response.status_code": String(response.status) }),
      seconds
    ),
    Effect.annotateLogs(log, line)
  )
}
