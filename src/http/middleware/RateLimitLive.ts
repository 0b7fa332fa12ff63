import { Context, Effect, Layer } from "effect"
import { HttpServerRequest } from "effect/http"
import type { UserId } from "../../domain/Ids.ts"
import { CurrentUser } from "../../domain/Principal.ts"
import { TooManyRequests } from "../../domain/Problem.ts"
import { ClientAddress } from "./ClientAddress.ts"
import { Limits } from "./Limits.ts"
import { AddressRateLimit, perUser, RateLimit, RatePolicies, type RatePolicy, WithinLimits } from "./RateLimit.ts"

/** Requests of one user that may be worked on at once (docs/security.md). */
const mostInFlight = 64

/** What a route without a token and without policies of its own allows: 100 per 15 minutes per address. */
export const withoutToken: RatePolicy = { name: "anonymous", limit: 100, windowSeconds: 900, by: "address" }

const names = (policies: ReadonlyArray<RatePolicy>) => ({ policies: policies.map(({ name }) => name) })

/** Limits of signed-in callers: 300 per 10 s and 64 at once, each per user, and the endpoint's own policies. */
export const RateLimitLive = Layer.effect(
  RateLimit,
  Effect.gen(function*() {
    const limits = yield* Limits
    const address = yield* ClientAddress
    const inFlight = new Map<UserId, number>()

    const enter = (userId: UserId) =>
      Effect.suspend(() => {
        const present = inFlight.get(userId) ?? 0
        if (present >= mostInFlight) {
          return Effect.fail(
            new TooManyRequests({ detail: `${mostInFlight} requests of yours are being worked on.`, retry_after: 1 })
          )
        }
        inFlight.set(userId, present + 1)
        return Effect.void
      })
    const leave = (userId: UserId) =>
      Effect.sync(() => {
        const present = inFlight.get(userId) ?? 0
        if (present <= 1) inFlight.delete(userId)
        else inFlight.set(userId, present - 1)
      })

    return RateLimit.of(Effect.fnUntraced(function*(handler, { endpoint }) {
      const { userId } = yield* CurrentUser
      const request = yield* HttpServerRequest.HttpServerRequest
      const policies = [perUser, ...Context.get(endpoint.annotations, RatePolicies)]
      yield* limits.consume(policies.map((policy) => ({
        policy,
        subject: policy.by === "user" ? userId : address.of(request)
      })))
      return yield* Effect.acquireUseRelease(
        enter(userId),
        () => Effect.provideService(handler, WithinLimits, names(policies)),
        () => leave(userId)
      )
    }))
  })
)

/** Limits of callers without a token, by address: the endpoint's policies, or the common one where it has none. */
export const AddressRateLimitLive = Layer.effect(
  AddressRateLimit,
  Effect.gen(function*() {
    const limits = yield* Limits
    const address = yield* ClientAddress
    return AddressRateLimit.of(Effect.fnUntraced(function*(handler, { endpoint }) {
      const subject = address.of(yield* HttpServerRequest.HttpServerRequest)
      const own = Context.get(endpoint.annotations, RatePolicies)
      const policies = own.length > 0 ? own : [withoutToken]
      yield* limits.consume(policies.map((policy) => ({ policy, subject })))
      return yield* Effect.provideService(handler, WithinLimits, names(policies))
    }))
  })
)
