import { Effect } from "effect"
import { FindMyWay, type HttpRouter, type HttpServerRequest } from "effect/http"

// The methods the router can register; HEAD is answered by GET's handler.
const methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "QUERY"]

/**
 * A path has one spelling: a proxy that keeps strangers from `/metrics` would let `/METRICS`, `//metrics` and `/metrics/` pass.
 * The router, this table and the door must agree on it.
 */
export const spelling = { caseSensitive: true, ignoreDuplicateSlashes: false, ignoreTrailingSlash: false } as const

/**
 * Every route of one server, learnt while they are registered. The router itself answers only "found" or "not found"
 * and only after the span has its name; the edge must know the route before (span name, body limit) and the other
 * methods of a path after (405 with Allow).
 */
export interface RouteTable {
  readonly register: (method: string, path: FindMyWay.PathInput) => void
  /** The route pattern, such as `/api/payment/:id`, or undefined when nothing matches. */
  readonly find: (request: HttpServerRequest.HttpServerRequest) => string | undefined
  /** Value of `Allow` for a path, or undefined when no method of it exists. */
  readonly allow: (url: string) => string | undefined
}

export const make = (): RouteTable => {
  const router = FindMyWay.make<string>(spelling)
  // The name of the span and the edge ask for the same request, one right after the other.
  let latest: { readonly request: HttpServerRequest.HttpServerRequest; readonly route: string | undefined } | undefined
  const register = (method: string, path: FindMyWay.PathInput) => {
    if (method === "*") router.all(path, path)
    else router.on(method, path, path)
  }
  return {
    register(method, path) {
      register(method, path)
      const parent = path.endsWith("/*") && path.length > 2 ? path.slice(0, -2) : ""
      if (parent.startsWith("/")) register(method, `/${parent.slice(1)}`)
    },
    find(request) {
      if (latest?.request !== request) {
        const method = request.method === "HEAD" ? "GET" : request.method
        latest = { request, route: router.find(method, request.url)?.handler }
      }
      return latest.route
    },
    allow(url) {
      const found = methods.flatMap((method) => {
        const route = router.find(method, url)?.handler
        return route === undefined ? [] : [{ method, literal: !/[:*]/.test(route) }]
      })
      // `/payment/charge` is itself and no payment whose id is "charge", though GET would find `/payment/:id` for it.
      const isLiteral = found.some(({ literal }) => literal)
      const allowed = found.filter(({ literal }) => literal || !isLiteral).map(({ method }) => method)
      if (allowed.length === 0) return undefined
      return [...allowed, ...(allowed.includes("GET") ? ["HEAD"] : []), "OPTIONS"].join(", ")
    }
  }
}

/** The same router, whose registrations are also noted in the table. */
export const recording = (router: HttpRouter.HttpRouter, table: RouteTable, prefix = ""): HttpRouter.HttpRouter => {
  const note = (method: string, path: string) =>
    Effect.sync(() => table.register(method, path === "*" ? "*" : `/${(prefix + path).slice(1)}`))
  return {
    ...router,
    prefixed: (next) => recording(router.prefixed(next), table, prefix + next.replace(/\/$/, "")),
    add: (method, path, handler, options) =>
      Effect.andThen(note(method, path), router.add(method, path, handler, options)),
    addAll: (routes) =>
      Effect.andThen(Effect.forEach(routes, (route) => note(route.method, route.path)), router.addAll(routes))
  }
}
