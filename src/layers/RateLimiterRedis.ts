import * as NodeRedis from "@effect/platform-node/NodeRedis"
import { Duration, Effect, Layer, Redacted } from "effect"
import { RateLimiter } from "effect/persistence"

/** What a request waits for the store at most, before its policy says what becomes of it uncounted. */
const longest = Duration.millis(50)
const failuresToOpen = 5
const pauseMillis = 1_000

const away = (message: string, cause?: unknown) =>
  new RateLimiter.RateLimiterError({ reason: new RateLimiter.RateLimitStoreError({ message, cause }) })

const connected = (url: Redacted.Redacted) =>
  RateLimiter.layerStoreRedis({ prefix: "midnight:limits:" }).pipe(
    Layer.provide(NodeRedis.layer({
      url: Redacted.value(url),
      // While there is no connection a command fails at once; queued, it would be counted long after its request.
      disableOfflineQueue: true,
      commandsQueueMaxLength: 10_000,
      socket: {
        connectTimeout: 2_000,
        // For good: the client's own default gives up when Redis is away at start.
        reconnectStrategy: (retries) => Math.min(2_000, 50 * 2 ** Math.min(retries, 6))
      }
    }))
  )

/**
 * Counters in Redis, shared by all API processes. The server starts and serves without Redis: a call that is not answered
 * in 50 ms fails, and after five failures in a row none is made for a second, so that a Redis that hangs costs a request
 * nothing. Whoever calls decides what a failure means: `Limits` asks the policy.
 */
export const redisStore = (url: Redacted.Redacted): Layer.Layer<RateLimiter.RateLimiterStore> =>
  Layer.effect(
    RateLimiter.RateLimiterStore,
    Effect.gen(function*() {
      const library = yield* RateLimiter.RateLimiterStore
      let store: typeof library | undefined
      let failures = 0
      let closedUntil = 0

      yield* Layer.build(connected(url)).pipe(
        Effect.flatMap((context) => Effect.provide(RateLimiter.RateLimiterStore, context)),
        Effect.tap((made) => Effect.sync(() => store = made)),
        Effect.catch((cause) => Effect.logError("The rate limit store in Redis cannot be used", cause)),
        Effect.forkScoped
      )

      const failed = (now: number, cause: RateLimiter.RateLimiterError) => {
        closedUntil = ++failures >= failuresToOpen ? now + pauseMillis : 0
        // Said once per outage, not once per request.
        return failures === failuresToOpen
          ? Effect.andThen(
            Effect.logWarning("Redis does not answer; requests pass without being counted, logins are refused", cause),
            Effect.fail(cause)
          )
          : Effect.fail(cause)
      }
      const succeeded = Effect.suspend(() => {
        const was = failures
        failures = 0
        closedUntil = 0
        return was >= failuresToOpen ? Effect.logInfo("Redis answers again; requests are counted") : Effect.void
      })

      return RateLimiter.RateLimiterStore.of({
        ...library,
        fixedWindow: (options) =>
          Effect.clockWith((clock) => {
            const now = clock.currentTimeMillisUnsafe()
            if (now < closedUntil) return Effect.fail(away("Redis did not answer a moment ago"))
            // One request at a time finds out whether it is back.
            if (failures >= failuresToOpen) closedUntil = now + pauseMillis
            const call = store === undefined
              ? Effect.fail(away("Redis has not been reached yet"))
              : Effect.timeoutOrElse(store.fixedWindow(options), {
                duration: longest,
                orElse: () => Effect.fail(away("Redis did not answer in time"))
              })
            return Effect.matchEffect(call, {
              onFailure: (cause) => failed(clock.currentTimeMillisUnsafe(), cause),
              onSuccess: (counted) => failures === 0 ? Effect.succeed(counted) : Effect.as(succeeded, counted)
            })
          })
      })
    })
  ).pipe(Layer.provide(RateLimiter.layerStoreMemory))
