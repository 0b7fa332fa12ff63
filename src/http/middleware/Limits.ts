import { Context, Duration, Effect, Layer } from "effect"
import { RateLimiter } from "effect/persistence"
import { TooManyRequests, Unavailable } from "../../domain/Problem.ts"
import * as Exchange from "./Exchange.ts"
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
}

/** What a deployment sets instead of the figures that policies declare, by their names. */
export const Figures = Context.Reference<
  ReadonlyMap<string, Pick<RatePolicy, "limit" | "windowSeconds">>
>("midnight/http/LimitFigures", { defaultValue: () => new Map() })

/**
 * Counts requests and tells the caller where it stands, on refusals too: the IETF draft's `RateLimit` and `RateLimit-Policy`
 * with every policy, and the older three headers with the one that leaves least. Where the store does not answer, the policy
 * says whether the request passes uncounted or is answered 503: guesses at passwords shall not be free while Redis is away.
 */
export class Limits extends Context.Service<Limits, {
  consume(counted: ReadonlyArray<Counted>): Effect.Effect<void, TooManyRequests | Unavailable>
  /** The handler; where it is refused by one of these policies that the database counts, the answer's headers say so. */
  telling<A, E, R>(handler: Effect.Effect<A, E, R>, policies: ReadonlyArray<RatePolicy>): Effect.Effect<A, E, R>
}>()("midnight/http/Limits") {
  static readonly layer = Layer.effect(
    Limits,
    Effect.gen(function*() {
      const store = yield* RateLimiter.RateLimiterStore

      const figures = yield* Figures
      // Worked out once for each policy, not for each request.
      const known = new Map<RatePolicy, ReturnType<typeof enforced>>()
      const inForce = (declared: RatePolicy) => {
        const found = known.get(declared) ?? enforced(declared, figures)
        known.set(declared, found)
        return found
      }

      const take = ({ policy: declared, subject }: Counted) => {
        const { policy, refill } = inForce(declared)
        return store.fixedWindow({
          key: `${policy.name}:${subject}`,
          tokens: 1,
          refillRate: refill,
          limit: policy.limit
        }).pipe(
          Effect.map(([count, millis]) => ({
            policy,
            remaining: policy.limit - count,
            resetSeconds: Math.max(1, Math.ceil(millis / 1_000))
          })),
          // The store itself says that it is away, once and not for every request.
          Effect.catch(() => policy.whenAway === "open" ? Effect.undefined : Effect.fail(uncounted))
        )
      }

      const from = (
        counted: ReadonlyArray<Counted>,
        at: number,
        standings: Array<Standing>
      ): Effect.Effect<void, TooManyRequests | Unavailable> => {
        const one = counted[at]
        if (one === undefined) return tell(standings)
        return Effect.flatMap(take(one), (standing) => {
          if (standing !== undefined) standings.push(standing)
          return standing !== undefined && standing.remaining < 0
            ? Effect.andThen(tell(standings), exceeded(standing))
            : from(counted, at + 1, standings)
        })
      }

      return Limits.of({ consume: (counted) => Effect.suspend(() => from(counted, 0, [])), telling: telling(inForce) })
    })
  )
}

/** The figures in force and the library's fixed window, which is filled again by one at a time: after the whole window, by all. */
const enforced = (policy: RatePolicy, figures: ReadonlyMap<string, Pick<RatePolicy, "limit" | "windowSeconds">>) => {
  const own = figures.get(policy.name)
  const inForce: RatePolicy = own === undefined ? policy : { ...policy, ...own }
  return { policy: inForce, refill: Duration.millis(inForce.windowSeconds * 1_000 / inForce.limit) }
}

const exceeded = ({ policy: { limit, name, windowSeconds }, resetSeconds }: Standing) =>
  new TooManyRequests({
    detail: `The limit "${name}" is ${limit} in ${windowSeconds} seconds.`,
    policy: name,
    retry_after: resetSeconds
  })

const uncounted = new Unavailable({ detail: "Requests cannot be counted at this moment.", retry_after: 2 })

const refusedBy = (error: unknown, policies: ReadonlyArray<RatePolicy>): Standing | undefined => {
  if (!(error instanceof TooManyRequests)) return undefined
  const policy = policies.find(({ name }) => name === error.policy)
  return policy === undefined ? undefined : { policy, remaining: 0, resetSeconds: error.retry_after }
}

const telling =
  (inForce: (declared: RatePolicy) => { readonly policy: RatePolicy }) =>
  <A, E, R>(handler: Effect.Effect<A, E, R>, policies: ReadonlyArray<RatePolicy>) => {
    const counted = policies.flatMap((declared) => declared.countedBy === "database" ? [inForce(declared).policy] : [])
    if (counted.length === 0) return handler
    return Effect.tapError(handler, (error) => {
      const standing = refusedBy(error, counted)
      return standing === undefined ? Effect.void : tell([standing])
    })
  }

const joined = (before: string | undefined, now: string) => before === undefined ? now : `${before}, ${now}`

const tell = (standings: ReadonlyArray<Standing>): Effect.Effect<void> =>
  Effect.map(Exchange.Current, ({ headers }) => {
    let tightest: Standing | undefined
    let policies = ""
    let states = ""
    for (const standing of standings) {
      const { policy, resetSeconds } = standing
      const remaining = Math.max(0, standing.remaining)
      const separator = policies === "" ? "" : ", "
      policies += `${separator}"${policy.name}";q=${policy.limit};w=${policy.windowSeconds}`
      states += `${separator}"${policy.name}";r=${remaining};t=${resetSeconds}`
      if (tightest === undefined || standing.remaining < tightest.remaining) tightest = standing
    }
    if (tightest === undefined) return
    // A handler may count by a policy of its own, after the middleware has.
    headers["ratelimit-policy"] = joined(headers["ratelimit-policy"], policies)
    headers["ratelimit"] = joined(headers["ratelimit"], states)
    if (tightest.remaining >= Number(headers["ratelimit-remaining"])) return
    headers["ratelimit-limit"] = String(tightest.policy.limit)
    headers["ratelimit-remaining"] = String(Math.max(0, tightest.remaining))
    headers["ratelimit-reset"] = String(tightest.resetSeconds)
  })
