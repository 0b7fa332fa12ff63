import { Context, Effect, Metric } from "effect"
import { FindMyWay } from "effect/http"
import { HttpApi, type HttpApiGroup } from "effect/http-api"
import { IncomingMessage, type Server, ServerResponse } from "node:http"
import { Admission, AdmissionClass, type WorkClass } from "../http/middleware/Admission.ts"
import { spelling } from "../http/middleware/RouteTable.ts"
import { Arriving, mostArriving } from "./Arriving.ts"
import { refuse, refuseEarly } from "./Refusal.ts"
import { Room, type RoomLimits } from "./Room.ts"

/**
 * How many requests of all classes together may be unanswered before one of this class is turned away. Payments have their
 * own queue behind this. The others have what two cores answer in a fifth of a second, and less as soon as it takes
 * longer than a tenth: a request that waits is memory, and work for whoever collects that (docs/adr/0034).
 */
export const mostUnanswered: Readonly<Record<WorkClass, RoomLimits>> = {
  payments: { most: 10_000, least: 10_000, millis: 1_000 },
  // Hashing a password waits for its turn, and has a queue with a bound of its own.
  auth: { most: 1_000, least: 100, millis: 1_000 },
  reads: { most: 600, least: 60, millis: 100 },
  video: { most: 300, least: 30, millis: 100 }
}

export interface Shedding {
  /** What class a request is of; undefined for those that are never turned away, such as probes. */
  readonly classOf: (method: string, url: string) => WorkClass | undefined
  readonly limits: Readonly<Record<WorkClass, RoomLimits>>
  readonly corsOrigins: ReadonlyArray<string>
  /** Bytes of bodies that may be on the way at once. Default 64 MiB. */
  readonly mostArriving?: number
}

/** The classes that an API's endpoints declare. What is not admitted by class is never turned away; what is unknown is a read. */
export const classesOf = <Id extends string, Groups extends HttpApiGroup.Constraint>(
  api: HttpApi.HttpApi<Id, Groups>
): Shedding["classOf"] => {
  const router = FindMyWay.make<WorkClass | "always">(spelling)
  // What most requests ask for is spelt out in the contract, and found by one look-up.
  const literal = new Map<string, Map<string, WorkClass | "always">>()
  HttpApi.reflect(api, {
    onGroup: () => {},
    onEndpoint: ({ endpoint, middleware }) => {
      const admitted = [...middleware].some(({ key }) => key === Admission.key)
      const workClass = admitted ? Context.get(endpoint.annotations, AdmissionClass) : "always"
      router.on(endpoint.method, `/${endpoint.path.slice(1)}`, workClass)
      if (/[:*]/.test(endpoint.path)) return
      const known = literal.get(endpoint.method) ?? new Map<string, WorkClass | "always">()
      literal.set(endpoint.method, known.set(endpoint.path, workClass))
    }
  })
  router.on("GET", "/metrics", "always")
  return (method, url) => {
    const query = url.indexOf("?")
    const found = literal.get(method)?.get(query === -1 ? url : url.slice(0, query)) ??
      router.find(method === "HEAD" ? "GET" : method, url)?.handler
      ?? "reads"
    return found === "always" ? undefined : found
  }
}

const refused = Metric.counter("midnight.requests.shed", {
  description: "Requests turned away at the door since too many were unanswered",
  incremental: true,
  attributes: { unit: "{request}" }
})

const counter = (workClass: WorkClass) => Metric.withAttributes(refused, { class: workClass })
const counters = {
  payments: counter("payments"),
  auth: counter("auth"),
  reads: counter("reads"),
  video: counter("video")
}

/** One room for each class. A class never has more than its part of what a more important one has. */
const makeRooms = (limits: Shedding["limits"]) => {
  const payments = new Room(limits.payments)
  const auth = new Room(limits.auth)
  const reads = new Room(limits.reads)
  const video = new Room(limits.video)
  const authPart = limits.auth.most / limits.payments.most
  const readsPart = limits.reads.most / limits.auth.most
  const videoPart = limits.video.most / limits.reads.most
  const authSize = () => Math.min(auth.size, payments.size * authPart)
  const readsSize = () => Math.min(reads.size, authSize() * readsPart)
  const sizes = {
    payments: () => payments.size,
    auth: authSize,
    reads: readsSize,
    video: () => Math.min(video.size, readsSize() * videoPart)
  }
  return { rooms: { payments, auth, reads, video }, sizes }
}

/** A page's browser asks first, by OPTIONS: turned away as a read, the payment that it asks for would never be sent. */
const methodOf = ({ headers, method = "" }: IncomingMessage): string => {
  const asked = method === "OPTIONS" ? headers["access-control-request-method"] : undefined
  return typeof asked === "string" ? asked : method
}

const onEnd = (response: ServerResponse, done: () => void) => {
  const { end } = response
  Object.defineProperty(response, "end", {
    value: (...given: ReadonlyArray<unknown>): unknown => {
      done()
      return Reflect.apply(end, response, given)
    }
  })
}

/**
 * Turns requests away before anything is done for them, once too many are unanswered: by class, the least important first,
 * so that what a busy server can do goes to payments. At three times the capacity two of three requests are
 * refusals, so they have to be cheap.
 */
export const shed = (server: Server, { classOf, corsOrigins, limits, mostArriving: most }: Shedding) =>
  Effect.contextWith((context: Context.Context<never>) =>
    Effect.sync(() => {
      const emit = server.emit
      const { rooms, sizes } = makeRooms(limits)
      // Below the least of all it does not matter what a request is.
      const lowest = Math.min(...Object.values(limits).map(({ least }) => least))
      let unanswered = 0
      const enter = (workClass: WorkClass | undefined, response: ServerResponse) => {
        unanswered += 1
        const room = workClass === undefined || rooms[workClass].isFixed ? undefined : rooms[workClass]
        room?.enter(performance.now())
        let isInside = true
        const leave = () => {
          if (!isInside) return
          isInside = false
          unanswered -= 1
          room?.leave(performance.now())
        }
        // Answered is what is handed over, whether its peer reads it or not: whoever does not keeps nobody out.
        response.on("prefinish", leave).on("close", leave)
        // One behind another on its connection is handed over later, and the peer says when.
        if (response.socket === null) onEnd(response, leave)
      }
      const arriving = new Arriving(most ?? mostArriving, (response) => {
        const { method = "", url = "" } = response.req
        enter(unanswered < lowest ? undefined : classOf(method, url), response)
      })
      const isFull = (workClass: WorkClass) => {
        if (unanswered < sizes[workClass]()) return false
        // Where all are turned away, nobody enters, and whoever is inside may be there for long.
        rooms[workClass].adapt(performance.now())
        return true
      }
      const onRefused = (workClass: WorkClass) => counters[workClass].updateUnsafe(1, context)
      const isRefused = (request: unknown, response: unknown): boolean => {
        if (!(request instanceof IncomingMessage && response instanceof ServerResponse)) return false
        const workClass = unanswered < lowest ? undefined : classOf(methodOf(request), request.url ?? "")
        if (workClass !== undefined && isFull(workClass)) {
          onRefused(workClass)
          refuse(request, response, workClass, corsOrigins)
          return true
        }
        if (!arriving.awaits(request, response)) enter(workClass, response)
        return false
      }
      refuseEarly(server, {
        corsOrigins,
        onRefused,
        judge: (method, url) => {
          const workClass = unanswered < lowest ? undefined : classOf(method, url)
          return workClass !== undefined && isFull(workClass) ? workClass : undefined
        }
      })
      // Before the listeners, of which one is the whole application.
      Object.defineProperty(server, "emit", {
        value: (event: string, ...args: ReadonlyArray<unknown>): unknown =>
          (event === "request" || event === "checkContinue") && isRefused(args[0], args[1])
            ? true
            : Reflect.apply(emit, server, [event, ...args])
      })
    })
  )
