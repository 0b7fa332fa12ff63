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
  readonly by: "user" | "address"
  readonly whenAway: "open" | "closed"
}

/** Signed-in requests: 300 per 10 s per user. */
export const perUser: RatePolicy = { name: "user", limit: 300, windowSeconds: 10, by: "user", whenAway: "open" }

/** Transfers to an address tell whether it has an account (404), so they are few: counted by the handler, which knows the body. */
export const transfersByEmail: RatePolicy = {
  name: "email-transfers",
  limit: 60,
  windowSeconds: 3600,
  by: "user",
  whenAway: "open"
}

/** The extra policies of an endpoint, besides the one that its middleware always applies. */
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
