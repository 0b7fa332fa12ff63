import { Context, Effect, Metric } from "effect"
import { FindMyWay, Headers } from "effect/http"
import { HttpApi, type HttpApiGroup } from "effect/http-api"
import { randomUUID } from "node:crypto"
import { IncomingMessage, type Server, ServerResponse } from "node:http"
import { Admission, AdmissionClass, type WorkClass } from "../http/middleware/Admission.ts"
import * as Cors from "../http/middleware/Cors.ts"
import { orFresh } from "../http/middleware/RequestId.ts"
import { securityHeaders } from "../http/middleware/SecurityHeaders.ts"

/**
 * How many requests of all classes together may be unanswered before one of this class is turned away. Payments have their
 * own queue behind this; what the others have is a fifth of a second's work of two cores (docs/adr/0034).
 */
export const mostUnanswered: Readonly<Record<WorkClass, number>> = {
  payments: 10_000,
  auth: 1_000,
  reads: 600,
  video: 300
}

export interface Shedding {
  /** What class a request is of; undefined for those that are never turned away, such as probes. */
  readonly classOf: (method: string, url: string) => WorkClass | undefined
  readonly limits: Readonly<Record<WorkClass, number>>
  readonly corsOrigins: ReadonlyArray<string>
}

/** The classes that an API's endpoints declare. What is not admitted by class is never turned away; what is unknown is a read. */
export const classesOf = <Id extends string, Groups extends HttpApiGroup.Constraint>(
  api: HttpApi.HttpApi<Id, Groups>
): Shedding["classOf"] => {
  const router = FindMyWay.make<WorkClass | "always">()
  HttpApi.reflect(api, {
    onGroup: () => {},
    onEndpoint: ({ endpoint, middleware }) => {
      const admitted = [...middleware].some(({ key }) => key === Admission.key)
      router.on(
        endpoint.method,
        `/${endpoint.path.slice(1)}`,
        admitted ? Context.get(endpoint.annotations, AdmissionClass) : "always"
      )
    }
  })
  router.on("GET", "/metrics", "always")
  return (method, url) => {
    const found = router.find(method === "HEAD" ? "GET" : method, url)?.handler ?? "reads"
    return found === "always" ? undefined : found
  }
}

const refused = Metric.counter("midnight.requests.shed", {
  description: "Requests turned away at the door since too many were unanswered",
  incremental: true,
  attributes: { unit: "{request}" }
})

// A flat list is what Node writes fastest.
const fixedHeaders: ReadonlyArray<string> = [
  ...Object.entries(securityHeaders).flat(),
  "content-type",
  "application/problem+json",
  "retry-after",
  "1"
]

/** Written by hand: a refusal must cost a small part of what it saves. */
const refuse = (
  request: IncomingMessage,
  response: ServerResponse,
  workClass: WorkClass,
  corsOrigins: ReadonlyArray<string>
) => {
  const { origin = "" } = request.headers
  const requestId = orFresh(request.headers["x-request-id"], Date.now())
  const body = JSON.stringify({
    type: "/problems/unavailable",
    title: "Temporarily unavailable",
    status: 503,
    detail: `Too many requests are unanswered; those of class ${workClass} wait outside.`,
    code: "Unavailable",
    retry_after: 1,
    instance: (request.url ?? "/").split("?", 1)[0],
    request_id: requestId,
    // Of a trace that has no spans: the line of whoever asks is found by it all the same.
    trace_id: randomUUID().replaceAll("-", "")
  })
  const shared = corsOrigins.length === 0
    ? []
    : Object.entries(
      Cors.shared({ headers: Headers.fromRecordUnsafe({ origin }) }, corsOrigins, Cors.plainHttp, {
        headers: Headers.empty
      }) ?? {}
    ).flat()
  const own = ["x-request-id", requestId, "content-length", String(Buffer.byteLength(body))]
  response.writeHead(503, [...fixedHeaders, ...shared, ...own]).end(body)
}

/**
 * Turns requests away before anything is done for them, once too many are unanswered: by class, the least important first,
 * so that what a busy server can do goes to payments. At three times the capacity two of three requests are
 * refusals, so they have to be cheap.
 */
export const shed = (server: Server, { classOf, corsOrigins, limits }: Shedding) =>
  Effect.contextWith((context: Context.Context<never>) =>
    Effect.sync(() => {
      const emit = server.emit
      const counter = (workClass: WorkClass) => Metric.withAttributes(refused, { class: workClass })
      const counters = {
        payments: counter("payments"),
        auth: counter("auth"),
        reads: counter("reads"),
        video: counter("video")
      }
      const lowest = Math.min(...Object.values(limits))
      let unanswered = 0
      const answered = () => {
        unanswered -= 1
      }
      const isRefused = (request: unknown, response: unknown): boolean => {
        if (!(request instanceof IncomingMessage && response instanceof ServerResponse)) return false
        // Below the lowest of the limits it does not matter what the request is.
        const workClass = unanswered < lowest ? undefined : classOf(request.method ?? "", request.url ?? "")
        if (workClass !== undefined && unanswered >= limits[workClass]) {
          counters[workClass].updateUnsafe(1, context)
          refuse(request, response, workClass, corsOrigins)
          return true
        }
        unanswered += 1
        response.once("close", answered)
        return false
      }
      // Before the listeners, of which one is the whole application.
      Object.defineProperty(server, "emit", {
        value: (event: string, ...args: ReadonlyArray<unknown>): unknown =>
          event === "request" && isRefused(args[0], args[1]) ? true : Reflect.apply(emit, server, [event, ...args])
      })
    })
  )
