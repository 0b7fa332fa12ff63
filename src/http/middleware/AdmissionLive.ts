import { Clock, Context, Effect, Layer, Semaphore, type Types } from "effect"
import { HttpServerRequest, type HttpServerResponse } from "effect/http"
import { Unavailable } from "../../domain/Problem.ts"
import { CurrentRequest } from "../../domain/Request.ts"
import { Admission, AdmissionClass, Admitted, AnsweredWithin, type WorkClass } from "./Admission.ts"
import * as Exchange from "./Exchange.ts"
import * as RequestBody from "./RequestBody.ts"

/** How many requests of a class are worked on at once, and how many may wait for a place. */
export type AdmissionLimits = Readonly<Record<WorkClass, { readonly places: number; readonly waiting: number }>>

// Payments have the most room: a transfer waits for the ledger's next commit, not for a CPU. Reads and video have little, so
// that they are the first to be turned away. The figures are chosen, not yet measured under a stepped load.
export const defaultLimits: AdmissionLimits = {
  payments: { places: 2000, waiting: 8000 },
  auth: { places: 200, waiting: 800 },
  reads: { places: 200, waiting: 800 },
  video: { places: 50, waiting: 200 }
}

type Answer = Effect.Effect<HttpServerResponse.HttpServerResponse, Types.unhandled | Unavailable>

export const AdmissionLive = (limits: AdmissionLimits = defaultLimits) =>
  Layer.effect(
    Admission,
    Effect.gen(function*() {
      const classOf = (workClass: WorkClass) => ({
        places: Semaphore.makeUnsafe(limits[workClass].places),
        most: limits[workClass].places + limits[workClass].waiting,
        present: 0
      })
      const classes = {
        payments: classOf("payments"),
        auth: classOf("auth"),
        reads: classOf("reads"),
        video: classOf("video")
      }
      return (handler, { endpoint }) => {
        const workClass = Context.get(endpoint.annotations, AdmissionClass)
        const millis = Context.get(endpoint.annotations, AnsweredWithin)
        const state = classes[workClass]
        const admittedHandler = Effect.provideService(handler, Admitted, { workClass })
        const inPlace = state.places.withPermits(1)(
          Effect.withFiber((fiber): Answer => {
            const now = fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()
            return now > fiber.getRef(CurrentRequest).endsAt ? Effect.fail(waited) : admittedHandler
          })
        )
        const full = new Unavailable({ detail: `Too many requests of class ${workClass} at once.`, retry_after: 1 })
        const enter = Effect.suspend(() => {
          if (state.present >= state.most) return Effect.fail(full)
          state.present += 1
          return Effect.void
        })
        const leave = Effect.sync(() => {
          state.present -= 1
        })
        const admitted = Effect.acquireUseRelease(enter, () => inPlace, () => leave)
        // A place is for work: whoever sends a body slowly, or never, has none.
        const whole = endpoint.method === "GET" ? admitted : Effect.flatMap(
          HttpServerRequest.HttpServerRequest,
          (request) => {
            const body = RequestBody.takeIn(request, endpoint.payload)
            return body === undefined ? admitted : Effect.andThen(Effect.orDie(body), admitted)
          }
        )
        return millis === undefined ? whole : Effect.timeoutOrElse(whole, { duration: millis, orElse: () => late })
      }
    })
  )

// Whoever asked has gone or will ask again, so those behind come to their turn at once.
const waited = new Unavailable({ detail: "No place came free in time. Nothing was done.", retry_after: 1 })

// What is still to come of the body would be read for as long as somebody sends it.
const late = Effect.withFiber((fiber): Effect.Effect<never, Unavailable> => {
  fiber.getRef(Exchange.Current).headers["connection"] = "close"
  return Effect.fail(new Unavailable({ detail: "This could not be done in time; send it again.", retry_after: 5 }))
})
