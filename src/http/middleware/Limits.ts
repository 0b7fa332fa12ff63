import { Context, Duration, Effect, Layer } from "effect"
import { HttpEffect, type HttpServerRequest, HttpServerResponse } from "effect/http"
import { RateLimiter } from "effect/persistence"
import { TooManyRequests } from "../../domain/Problem.ts"
import type { RatePolicy } from "./RateLimit.ts"

/** A policy and whom it counts: a user's id, or an address as ClientAddress writes it. */
export interface Counted {
  readonly policy: RatePolicy
  readonly subject: string
}

interface Standing {
  readonly policy: RatePolicy
  readonly remaining: number
  readonly resetSeconds: number
  readonly exceeded: boolean
}

/**
 * Counts requests and tells the caller where it stands, on refusals too: the IETF draft's `RateLimit` and `RateLimit-Policy`
 * with every policy, and the older three headers with the one that leaves least. A policy whose store does not answer
 * lets the request pass: what must not pass then, logging in, is counted in the database.
 */
export class Limits extends Context.Service<Limits, {
  consume(counted: ReadonlyArray<Counted>): Effect.Effect<void, TooManyRequests, HttpServerRequest.HttpServerRequest>
}>()("midnight/http/Limits") {
  static readonly layer = Layer.effect(
    Limits,
    Effect.gen(function*() {
      const limiter = yield* RateLimiter.RateLimiter

      const take = ({ policy, subject }: Counted): Effect.Effect<Standing, RateLimiter.RateLimitStoreError> =>
        limiter.consume({
          key: `${policy.name}:${subject}`,
          limit: policy.limit,
          window: Duration.seconds(policy.windowSeconds)
        }).pipe(
          Effect.map(({ remaining, resetAfter }) => ({
            policy,
            remaining,
            resetSeconds: seconds(resetAfter),
            exceeded: false
          })),
          Effect.catchTag("RateLimiterError", ({ reason }) =>
            reason._tag === "RateLimitStoreError"
              ? Effect.fail(reason)
              : Effect.succeed({ policy, remaining: 0, resetSeconds: seconds(reason.retryAfter), exceeded: true }))
        )

      return Limits.of({
        consume: Effect.fnUntraced(function*(counted) {
          const standings: Array<Standing> = []
          for (const one of counted) {
            const standing = yield* take(one).pipe(
              Effect.catchTag(
                "RateLimitStoreError",
                (error) =>
                  Effect.as(
                    Effect.logWarning("The rate limit store did not answer; the request passes", error),
                    undefined
                  )
              )
            )
            if (standing === undefined) continue
            standings.push(standing)
            if (standing.exceeded) break
          }
          if (standings.length > 0) {
            const headers = headersOf(standings)
            yield* HttpEffect.appendPreResponseHandler((_, response) =>
              Effect.succeed(HttpServerResponse.setHeaders(response, headers))
            )
          }
          const exceeded = standings.find((standing) => standing.exceeded)
          if (exceeded === undefined) return
          const { limit, name, windowSeconds } = exceeded.policy
          return yield* new TooManyRequests({
            detail: `The limit "${name}" is ${limit} in ${windowSeconds} seconds.`,
            retry_after: exceeded.resetSeconds
          })
        })
      })
    })
  )
}

const seconds = (duration: Duration.Duration): number => Math.max(1, Math.ceil(Duration.toSeconds(duration)))

const headersOf = (standings: ReadonlyArray<Standing>): Record<string, string> => {
  const tightest = standings.toSorted((a, b) => a.remaining - b.remaining)[0]
  return {
    "ratelimit-policy": standings.map(({ policy }) => `"${policy.name}";q=${policy.limit};w=${policy.windowSeconds}`)
      .join(", "),
    "ratelimit": standings.map(({ policy, remaining, resetSeconds }) =>
      `"${policy.name}";r=${remaining};t=${resetSeconds}`
    ).join(", "),
    ...(tightest === undefined ? {} : {
      "ratelimit-limit": String(tightest.policy.limit),
      "ratelimit-remaining": String(tightest.remaining),
      "ratelimit-reset": String(tightest.resetSeconds)
    })
  }
}
