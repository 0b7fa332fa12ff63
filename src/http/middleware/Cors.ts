import { HttpServerResponse } from "effect/http"
import type { HttpServerRequest } from "effect/http"

// Effect's own CORS middleware answers `*` when its list is empty and takes every OPTIONS request for a preflight.
const exposed = [
  "X-Request-Id",
  "Location",
  "Retry-After",
  "Idempotency-Replayed",
  "RateLimit",
  "RateLimit-Policy",
  "RateLimit-Limit",
  "RateLimit-Remaining",
  "RateLimit-Reset"
]
const allowed = ["Authorization", "Content-Type", "Idempotency-Key", "X-Request-Id", "traceparent"]

/** A protocol that a server speaks beside HTTP itself. */
export interface Protocol {
  /** What an answer to OPTIONS says of it. */
  readonly capabilities: Readonly<Record<string, string>>
  /** Its headers that pages may send, and read. */
  readonly requestHeaders: ReadonlyArray<string>
  readonly responseHeaders: ReadonlyArray<string>
}

export const plainHttp: Protocol = { capabilities: {}, requestHeaders: [], responseHeaders: [] }

/** The answer to an OPTIONS request on a path that exists; `undefined` lets another method pass. */
export const preflight = (
  request: HttpServerRequest.HttpServerRequest,
  allow: string | undefined,
  { capabilities, requestHeaders }: Protocol
): HttpServerResponse.HttpServerResponse | undefined => {
  if (request.method !== "OPTIONS" || allow === undefined) return undefined
  const asks = request.headers["access-control-request-method"] !== undefined
  const preflightHeaders = {
    "access-control-allow-methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
    "access-control-allow-headers": [...allowed, ...requestHeaders].join(", "),
    "access-control-max-age": "600"
  }
  return HttpServerResponse.empty({
    status: 204,
    headers: { allow, ...capabilities, ...(asks ? preflightHeaders : {}) }
  })
}

/** The headers that let a browser read an answer when its page's origin is on the list. */
export const shared = (
  request: Pick<HttpServerRequest.HttpServerRequest, "headers">,
  origins: ReadonlyArray<string>,
  { responseHeaders }: Protocol,
  response: Pick<HttpServerResponse.HttpServerResponse, "headers">
): Record<string, string> | undefined => {
  if (origins.length === 0) return undefined
  const origin = request.headers["origin"]
  const vary = [response.headers["vary"], "Origin"].filter((name) => name !== undefined).join(", ")
  return origin !== undefined && origins.includes(origin)
    ? {
      vary,
      "access-control-allow-origin": origin,
      "access-control-expose-headers": [...exposed, ...responseHeaders].join(", ")
    }
    : { vary }
}
