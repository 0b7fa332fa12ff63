import { Config, Duration, Effect } from "effect"
import type { WorkClass } from "../http/middleware/Admission.ts"
import type { AdmissionLimits } from "../http/middleware/AdmissionLive.ts"
import { duration, integer, millis } from "./Bounded.ts"
import type { RoomLimits } from "./Room.ts"
import { mostUnanswered } from "./Shedding.ts"

/** What each of our HTTP servers asks of its connections; times in milliseconds. */
export const connections = Config.all({
  grace: duration("DRAIN_GRACE", "5 seconds", { from: 0, to: "10 minutes" }),
  drain: duration("DRAIN_LIMIT", "20 seconds", { from: 0, to: "10 minutes" }),
  headersTimeout: millis("HTTP_HEADERS_TIMEOUT", "10 seconds", { from: "1 second", to: "1 minute" }),
  checkInterval: millis("HTTP_CHECK_INTERVAL", "2 seconds", { from: "100 millis", to: "30 seconds" }),
  keepAlive: millis("HTTP_KEEP_ALIVE", "65 seconds", { from: "1 second", to: "10 minutes" }),
  backlog: integer("HTTP_BACKLOG", 8192, { from: 1, to: 65_535 })
})

/** Requests of the API. The command that brings an abandoned intent to its end comes after 30 s: by then a request must be over. */
export const requests = Config.all({
  requestTimeout: millis("HTTP_REQUEST_TIMEOUT", "15 seconds", { from: "1 second", to: "25 seconds" }),
  // Silence on a connection, whoever causes it: it must not be over before the answer is due.
  stalled: millis("HTTP_STALL_LIMIT", "30 seconds", { from: "26 seconds", to: "10 minutes" })
})

/** In each such time a sender must bring some bytes. */
export const uploadWindow = duration("UPLOAD_STALL_LIMIT", "30 seconds", { from: "100 millis", to: "1 hour" })

/** Requests of the video process: 200 MiB over a slow mobile line take half an hour. */
export const uploadRequests = Effect.gen(function*() {
  // Who is slow is told so first, and its upload can go on; later the connection is cut.
  const told = Duration.sum(yield* uploadWindow, Duration.seconds(30))
  return {
    requestTimeout: yield* millis("UPLOAD_TIMEOUT", "30 minutes", { from: "1 minute", to: "6 hours" }),
    stalled: Math.max(
      yield* millis("UPLOAD_SILENCE_LIMIT", "2 minutes", { from: told, to: "2 hours" }),
      Duration.toMillis(told)
    )
  }
})

/** Bytes of bodies. */
export const bodies = Config.all({
  most: integer("HTTP_BODY_BYTES", 65_536, { from: 1_024, to: 1_048_576 }),
  mostOfWebhook: integer("HTTP_WEBHOOK_BYTES", 1_048_576, { from: 65_536, to: 8_388_608 }),
  mostArriving: integer("HTTP_ARRIVING_BYTES", 67_108_864, { from: 8_388_608, to: 1_073_741_824 })
})

const many = { from: 1, to: 1_000_000 }

/** How many requests of a class are worked on at once, and how many wait for a place. */
export const admission = Config.map(
  Config.all({
    payments: Config.all({
      places: integer("ADMISSION_PAYMENTS_PLACES", 2_000, many),
      waiting: integer("ADMISSION_PAYMENTS_QUEUE", 8_000, many)
    }),
    auth: Config.all({
      places: integer("ADMISSION_AUTH_PLACES", 200, many),
      waiting: integer("ADMISSION_AUTH_QUEUE", 800, many)
    }),
    reads: Config.all({
      places: integer("ADMISSION_READS_PLACES", 200, many),
      waiting: integer("ADMISSION_READS_QUEUE", 800, many)
    }),
    video: Config.all({
      places: integer("ADMISSION_VIDEO_PLACES", 50, many),
      waiting: integer("ADMISSION_VIDEO_QUEUE", 200, many)
    })
  }),
  (limits): AdmissionLimits => limits
)

/**
 * How many requests of all classes may be unanswered before one of this class is turned away. A class has no more than the
 * one before it: payments would not come first otherwise.
 */
export const unanswered = Effect.gen(function*() {
  const belowOf = (most: number) => ({ from: 1, to: most })
  const payments = yield* integer("DOOR_PAYMENTS", 10_000, many)
  const auth = yield* integer("DOOR_AUTH", Math.min(1_000, payments), belowOf(payments))
  const reads = yield* integer("DOOR_READS", Math.min(600, auth), belowOf(auth))
  const video = yield* integer("DOOR_VIDEO", Math.min(300, reads), belowOf(reads))
  const most: Readonly<Record<WorkClass, number>> = { payments, auth, reads, video }
  const scaled = (workClass: WorkClass): RoomLimits => {
    const { least, millis, most: usual } = mostUnanswered[workClass]
    return { most: most[workClass], least: Math.max(1, Math.round(most[workClass] * least / usual)), millis }
  }
  return { payments: scaled("payments"), auth: scaled("auth"), reads: scaled("reads"), video: scaled("video") }
})
