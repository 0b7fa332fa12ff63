import { Duration, Effect, Layer } from "effect"
import { RateLimiter } from "effect/persistence"

/** Counters that are kept at most; one is a few hundred bytes. */
const mostCounters = 100_000

interface Counter {
  count: number
  expiresAt: number
}

/** Forgets what has expired and, where that is not enough, the tenth that was counted first. */
const makeRoom = (counters: Map<string, Counter>, now: number) => {
  for (const [key, counter] of counters) if (counter.expiresAt <= now) counters.delete(key)
  if (counters.size < mostCounters) return
  let excess = mostCounters / 10
  for (const key of counters.keys()) {
    if (excess-- <= 0) return
    counters.delete(key)
  }
}

/**
 * The library's memory store keeps every key it has ever seen, and addresses are invented for nothing: this one counts its
 * fixed windows in the same way and has a bound.
 */
export const boundedMemoryStore: Layer.Layer<RateLimiter.RateLimiterStore> = Layer.effect(
  RateLimiter.RateLimiterStore,
  Effect.gen(function*() {
    const library = yield* RateLimiter.RateLimiterStore
    const counters = new Map<string, Counter>()
    return RateLimiter.RateLimiterStore.of({
      ...library,
      fixedWindow: ({ key, limit, refillRate, tokens }) =>
        Effect.clockWith((clock) => {
          const now = clock.currentTimeMillisUnsafe()
          let counter = counters.get(key)
          if (counter === undefined || counter.expiresAt <= now) {
            if (counters.size >= mostCounters) makeRoom(counters, now)
            counter = { count: 0, expiresAt: now }
            counters.delete(key)
            counters.set(key, counter)
          }
          if (limit !== undefined && counter.count + tokens > limit) {
            return Effect.succeed([counter.count + tokens, counter.expiresAt - now] as const)
          }
          counter.count += tokens
          counter.expiresAt += Duration.toMillis(refillRate) * tokens
          return Effect.succeed([counter.count, counter.expiresAt - now] as const)
        })
    })
  })
).pipe(Layer.provide(RateLimiter.layerStoreMemory))
