import { Deferred, Effect, Exit, Option, type Scope } from "effect"

const largestBatch = 512

interface Asked<K, A, E> {
  readonly key: K
  readonly answer: Deferred.Deferred<Option.Option<A>, E>
}

/**
 * Questions of the same kind, asked together: while one query is on its way, the next ones gather, and one query answers
 * them all. As fresh as a query each, since a question is never answered by a query that was sent before it.
 */
export const gathered = <K, A, E>(
  among: (keys: ReadonlyArray<K>) => Effect.Effect<ReadonlyMap<unknown, A>, E>
): Effect.Effect<(key: K) => Effect.Effect<Option.Option<A>, E>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    let waiting: Array<Asked<K, A, E>> = []
    let running = false

    const round = Effect.gen(function*() {
      const batch = waiting.slice(0, largestBatch)
      waiting = waiting.slice(largestBatch)
      const exit = yield* Effect.exit(among(batch.map(({ key }) => key)))
      for (const { answer, key } of batch) {
        Deferred.doneUnsafe(answer, Exit.map(exit, (found) => Option.fromUndefinedOr(found.get(key))))
      }
    })
    const rounds = Effect.gen(function*() {
      // Lets whoever asks in the same turn of the event loop come along.
      yield* Effect.yieldNow
      while (waiting.length > 0) yield* round
      running = false
    })

    return (key) =>
      Effect.suspend(() => {
        const answer = Deferred.makeUnsafe<Option.Option<A>, E>()
        waiting.push({ key, answer })
        if (running) return Deferred.await(answer)
        running = true
        return Effect.andThen(Effect.forkIn(rounds, scope), Deferred.await(answer))
      })
  })
