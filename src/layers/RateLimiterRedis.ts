import { Context, Deferred, Duration, Effect, Layer, Redacted } from "effect"
import { RateLimiter, Redis } from "effect/persistence"
import { createClient } from "redis"

const failuresToOpen = 5
const pauseMillis = 1_000
/** So many of the questions that are then asked, one a second, and the connection is taken for dead; every ten more, another one. */
const probesToReplace = 3
const handshake = Duration.seconds(10)

const away = (message: string, cause?: unknown) =>
  new RateLimiter.RateLimiterError({ reason: new RateLimiter.RateLimitStoreError({ message, cause }) })

const redisError = (cause: unknown) => new Redis.RedisError({ cause })

/**
 * A connection of its own until the scope ends. The library's layer says goodbye to Redis when it is closed, and waits for the
 * answers to what was asked: a Redis that takes commands and answers none kept a process from ending for good. What is
 * counted here may be lost, so the connection is cut.
 */
const connected = (url: Redacted.Redacted) =>
  Effect.gen(function*() {
    const client = yield* Effect.acquireRelease(
      Effect.try({
        try: () =>
          createClient({
            url: Redacted.value(url),
            // While there is no connection a command fails at once; queued, it would be counted long after its request.
            disableOfflineQueue: true,
            commandsQueueMaxLength: 10_000,
            socket: {
              connectTimeout: 2_000,
              // For good: the client's own default gives up when Redis is away at start.
              reconnectStrategy: (retries) => Math.min(2_000, 50 * 2 ** Math.min(retries, 6))
            }
          }),
        catch: redisError
      }),
      (client) => Effect.sync(() => client.destroy())
    )
    const log = Effect.runForkWith(yield* Effect.context<never>())
    // Without a listener it would end the process.
    client.on("error", (cause) => void log(Effect.logWarning("The connection to Redis failed", cause)))
    yield* Effect.tryPromise({ try: () => client.connect(), catch: redisError })
    // Nobody subscribes here, and nobody needs a connection to itself.
    const unused = Effect.fail(redisError("not supported here"))
    const redis = yield* Redis.make({
      send: <A = unknown>(command: string, ...args: ReadonlyArray<string>) =>
        Effect.tryPromise({ try: () => client.sendCommand<A>([command, ...args]), catch: redisError }),
      connect: unused,
      subscribe: () => unused
    })
    const context = yield* Layer.build(
      RateLimiter.layerStoreRedis({ prefix: "midnight:limits:" }).pipe(
        Layer.provide(Layer.succeed(Redis.Redis)(redis))
      )
    )
    return Context.get(context, RateLimiter.RateLimiterStore)
  })

/**
 * Counters in Redis, shared by all API processes. The server starts and serves without Redis: a call that is not answered
 * in time (50 ms by default) fails, and after five failures in a row none is made for a second, so that a Redis that hangs costs a request
 * nothing. Whoever calls decides what a failure means: `Limits` asks the policy.
 */
export const redisStore = (
  url: Redacted.Redacted,
  longest: Duration.Duration = Duration.millis(50)
): Layer.Layer<RateLimiter.RateLimiterStore> =>
  Layer.effect(
    RateLimiter.RateLimiterStore,
    Effect.gen(function*() {
      const library = yield* RateLimiter.RateLimiterStore
      let store: typeof library | undefined
      let failures = 0
      let closedUntil = 0
      let probesFailed = 0

      let dead = Deferred.makeUnsafe<void>()

      // A connection whose other end is gone without a word, or a Redis that hung while it greeted, may never be heard of again.
      const connection = Effect.gen(function*() {
        const made = yield* Effect.timeout(connected(url), handshake)
        // What failed before says nothing about this one.
        dead = Deferred.makeUnsafe<void>()
        store = made
        yield* Deferred.await(dead)
      }).pipe(
        Effect.ensuring(Effect.sync(() => store = undefined)),
        Effect.scoped,
        Effect.catch((cause) => Effect.logWarning("Redis cannot be reached", cause))
      )
      yield* Effect.forkScoped(Effect.forever(Effect.andThen(connection, Effect.sleep("100 millis"))))

      const failed = (now: number, cause: RateLimiter.RateLimiterError, isProbe: boolean) => {
        closedUntil = ++failures >= failuresToOpen ? now + pauseMillis : 0
        // What was asked before it was known that Redis is slow all fails at once, and says nothing about the connection.
        if (isProbe && ++probesFailed % 10 === probesToReplace) Deferred.doneUnsafe(dead, Effect.void)
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
        probesFailed = 0
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
            const isProbe = failures >= failuresToOpen
            if (isProbe) closedUntil = now + pauseMillis
            const call = store === undefined
              ? Effect.fail(away("Redis has not been reached yet"))
              : Effect.timeoutOrElse(store.fixedWindow(options), {
                duration: longest,
                orElse: () => Effect.fail(away("Redis did not answer in time"))
              })
            return Effect.matchEffect(call, {
              onFailure: (cause) => failed(clock.currentTimeMillisUnsafe(), cause, isProbe),
              onSuccess: (counted) => failures === 0 ? Effect.succeed(counted) : Effect.as(succeeded, counted)
            })
          })
      })
    })
  ).pipe(Layer.provide(RateLimiter.layerStoreMemory))
