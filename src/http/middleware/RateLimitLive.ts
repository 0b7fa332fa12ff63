import { Context, Effect, Layer } from "effect"
import { HttpServerRequest } from "effect/http"
import type { UserId } from "../../domain/Ids.ts"
import { CurrentUser } from "../../domain/Principal.ts"
import { TooManyRequests } from "../../domain/Problem.ts"
import { ClientAddress } from "./ClientAddress.ts"
import { Limits } from "./Limits.ts"
import { perUser, withoutToken } from "./Policies.ts"
import { AddressRateLimit, RateLimit, RatePolicies, type RatePolicy, WithinLimits } from "./RateLimit.ts"

/** Requests of one user that may be worked on at once. Read when the limits are built. */
export const MostInFlight = Context.Reference<number>("midnight/http/MostInFlight", { defaultValue: () => 64 })

const atDoor = (policies: ReadonlyArray<RatePolicy>) => policies.filter(({ countedBy }) => countedBy === "door")

const names = (policies: ReadonlyArray<RatePolicy>) => ({ policies: policies.map(({ name }) => name) })

/** Limits of signed-in callers: 300 per 10 s and 64 at once, each per user, and the endpoint's own policies. */
export const RateLimitLive = Layer.effect(
  RateLimit,
  Effect.gen(function*() {
    const limits = yield* Limits
    const address = yield* ClientAddress
    const mostInFlight = yield* MostInFlight
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
        return Effect.succeed(userId)
      })
    const leave = (userId: UserId) =>
      Effect.sync(() => {
        const present = inFlight.get(userId) ?? 0
        if (present <= 1) inFlight.delete(userId)
        else inFlight.set(userId, present - 1)
      })

    return RateLimit.of((handler, { endpoint }) => {
      const own = Context.get(endpoint.annotations, RatePolicies)
      const policies = [perUser, ...atDoor(own)]
      const within = Effect.provideService(limits.telling(handler, own), WithinLimits, names(policies))
      return Effect.contextWith((context: Context.Context<CurrentUser | HttpServerRequest.HttpServerRequest>) => {
        const { userId } = Context.get(context, CurrentUser)
        const counted = policies.map((policy) => ({
          policy,
          subject: policy.by === "user"
            ? userId
            : address.of(Context.get(context, HttpServerRequest.HttpServerRequest))
        }))
        return Effect.andThen(limits.consume(counted), Effect.acquireUseRelease(enter(userId), () => within, leave))
      })
    })
  })
)

/** Limits of callers without a token, by address: the endpoint's policies, or the common one where it has none. */
export const AddressRateLimitLive = Layer.effect(
  AddressRateLimit,
  Effect.gen(function*() {
    const limits = yield* Limits
    const address = yield* ClientAddress
    return AddressRateLimit.of((handler, { endpoint }) => {
      const own = Context.get(endpoint.annotations, RatePolicies)
      const counted = atDoor(own)
      const policies = counted.length > 0 ? counted : [withoutToken]
      const within = Effect.provideService(limits.telling(handler, own), WithinLimits, names(policies))
      return Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
        const subject = address.of(request)
        return Effect.andThen(limits.consume(policies.map((policy) => ({ policy, subject }))), within)
      })
    })
  })
)
