import { Context } from "effect"
import { HttpApiMiddleware } from "effect/http-api"
import { CurrentUser } from "../../domain/Principal.ts"
import { TooManyRequests, Unavailable } from "../../domain/Problem.ts"

/**
 * One row of docs/security.md: how many, in how many seconds, counted by what, and what becomes of a request that cannot be
 * counted because the store is away: it passes (`open`), or is answered 503 (`closed`).
 */
export interface RatePolicy {
  readonly name: string
  readonly limit: number
  readonly windowSeconds: number
  readonly by: "user" | "address" | "account"
  readonly whenAway: "open" | "closed"
  /**
   * `door`: the RateLimit middleware counts every request. `handler`: the handler does, which knows what was sent. `database`: the
   * service does, in the transaction that it limits; it refuses with TooManyRequests that names the policy.
   */
  readonly countedBy: "door" | "handler" | "database"
}

/** All policies of an endpoint, whoever counts them, besides the one that its middleware always applies. */
export const RatePolicies = Context.Reference<ReadonlyArray<RatePolicy>>("midnight/http/RatePolicies", {
  defaultValue: () => []
})

/** Proof that the caller is within its limits. Nothing but the RateLimit middlewares makes one. */
export class WithinLimits extends Context.Service<WithinLimits, { readonly policies: ReadonlyArray<string> }>()(
  "midnight/http/WithinLimits"
) {}

/** Limits of a signed-in caller: `perUser` and the endpoint's own `RatePolicies`. */
export class RateLimit extends HttpApiMiddleware.Service<RateLimit, {
  provides: WithinLimits
  requires: CurrentUser
}>()("midnight/http/RateLimit", { error: [TooManyRequests, Unavailable] }) {}

/** Limits of a caller without a token: the endpoint's `RatePolicies`, by address. */
export class AddressRateLimit extends HttpApiMiddleware.Service<AddressRateLimit, {
  provides: WithinLimits
}>()("midnight/http/AddressRateLimit", { error: [TooManyRequests, Unavailable] }) {}
