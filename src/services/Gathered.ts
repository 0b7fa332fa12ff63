import { Deferred, Effect, Exit, Option, type Scope } from "effect"
import type { Unavailable } from "../domain/Problem.ts"
import { CurrentRequest, nobodys } from "../domain/Request.ts"
import { away } from "./Database.ts"

const largestBatch = 512

/** Milliseconds a question waits behind a query that is not answered. */
const longestWait = 500

interface Asked<K, A, E> {
  readonly key: K
  readonly since: number
  readonly answer: Deferred.Deferred<Option.Option<A>, E>
}

/**
 * Questions of the same kind, asked together: while one query is on its way, the next ones gather, and one query answers
 * them all. As fresh as a query each, since a question is never answered by a query that was sent before it. Behind a query
 * that does not end, the next ones are turned away.
 */
export const gathered = <K, A, E>(
  among: (keys: ReadonlyArray<K>) => Effect.Effect<ReadonlyMap<unknown, A>, E>
): Effect.Effect<(key: K) => Effect.Effect<Option.Option<A>, E | Unavailable>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    let waiting: Array<Asked<K, A, E | Unavailable>> = []
    let running = false

    const impatience = Effect.clockWith((clock) =>
      Effect.sync(() => {
        const latest = clock.currentTimeMillisUnsafe() - longestWait
        const patient = waiting.findIndex(({ since }) => since > latest)
        const late = waiting.splice(0, patient === -1 ? waiting.length : patient)
        for (const { answer } of late) Deferred.doneUnsafe(answer, Exit.fail(away))
      })
    ).pipe(Effect.delay("250 millis"), Effect.forever)

    const round = Effect.gen(function*() {
      const batch = waiting.slice(0, largestBatch)
      waiting = waiting.slice(largestBatch)
      const exit = yield* Effect.exit(Effect.raceFirst(among(batch.map(({ key }) => key)), impatience))
      for (const { answer, key } of batch) {
        Deferred.doneUnsafe(answer, Exit.map(exit, (found) => Option.fromUndefinedOr(found.get(key))))
      }
    })
    const rounds = Effect.gen(function*() {
      // Lets whoever asks in the same turn of the event loop come along.
      yield* Effect.yieldNow
      while (waiting.length > 0) yield* round
      running = false
      // Of all who ask, and so not of the one whose question began it.
    }).pipe(Effect.provideService(CurrentRequest, nobodys))

    return (key) =>
      Effect.clockWith((clock) => {
        const answer = Deferred.makeUnsafe<Option.Option<A>, E | Unavailable>()
        waiting.push({ key, answer, since: clock.currentTimeMillisUnsafe() })
        if (running) return Deferred.await(answer)
        running = true
        return Effect.andThen(Effect.forkIn(rounds, scope), Deferred.await(answer))
      })
  })
