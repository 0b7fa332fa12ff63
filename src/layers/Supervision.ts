import { Cause, Clock, Effect, Exit, Fiber, Layer, Schedule } from "effect"
import type { BulkheadName } from "../domain/Health.ts"
import { Health } from "../services/Health.ts"

/** A part that fails more often than this within the window has given up, and its bulkhead is down (ARCHITECTURE). */
const mostRestarts = 5
const windowMillis = 60_000
/** A restarted part that has lived this long counts as well again. */
const wellAfter = "2 seconds"

/**
 * Runs a background task of a bulkhead for as long as the layer lives. Whatever ends it (a typed failure, a defect, an
 * interruption from inside, its own return) is logged and answered by a restart after 100 ms, doubling; more than five
 * ends in 60 s make the bulkhead `down` in `/health`, and the next attempt comes only after that window. The error channel
 * is `never`: this is the one place that looks at a Cause, and nothing that runs here can fail its neighbours.
 */
export const supervised = <A, E, R>(
  bulkhead: BulkheadName,
  part: string,
  task: Effect.Effect<A, E, R>
): Layer.Layer<never, never, Exclude<R, never> | Health> =>
  Layer.effectDiscard(
    Effect.gen(function*() {
      const health = yield* Health
      const ends: Array<number> = []
      let restarts = 0

      const once = Effect.gen(function*() {
        // A fiber of its own, so that an interruption of the task is an end that is seen here, not an end of this loop.
        const fiber = yield* Effect.forkChild(task)
        const well = yield* Effect.forkChild(
          Effect.andThen(Effect.sleep(wellAfter), health.report(bulkhead, part, "ok", restarts))
        )
        const exit = yield* Fiber.await(fiber)
        yield* Fiber.interrupt(well)
        yield* Exit.isSuccess(exit)
          ? Effect.logWarning(`${bulkhead}/${part} ended, though it should run for good`)
          : Effect.logError(`${bulkhead}/${part} ended`, Cause.squash(exit.cause), exit.cause)
      })

      const loop = Effect.gen(function*() {
        while (true) {
          yield* once
          const now = yield* Clock.currentTimeMillis
          ends.push(now)
          while (ends[0] !== undefined && ends[0] < now - windowMillis) ends.shift()
          restarts += 1
          if (ends.length > mostRestarts) {
            yield* health.report(bulkhead, part, "down", restarts)
            yield* Effect.logError(`${bulkhead}/${part} ended ${ends.length} times in 60 s: it is down`)
            yield* Effect.sleep(windowMillis)
            ends.length = 0
          } else {
            yield* health.report(bulkhead, part, "degraded", restarts)
            yield* Effect.sleep(100 * 2 ** (ends.length - 1))
          }
        }
      })

      yield* health.report(bulkhead, part, "ok", 0)
      yield* Effect.forkScoped(loop)
    })
  )

/** Repeats a probe or a sweep for good, every `interval`. A failure of one round ends the task, which restarts it. */
export const every = <A, E, R>(
  interval: `${number} ${"millis" | "seconds" | "minutes"}`,
  round: Effect.Effect<A, E, R>
) => Effect.repeat(round, Schedule.spaced(interval))

/** Waits afterwards for so many times what the work took. */
export const resting = <A, E, R>(times: number, work: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const began = yield* Clock.currentTimeMillis
    const done = yield* work
    yield* Effect.sleep(times * ((yield* Clock.currentTimeMillis) - began))
    return done
  })
