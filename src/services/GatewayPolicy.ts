import { Cause, Clock, Context, Duration, Effect, Exit, Option, Random, Stream } from "effect"
import { CircuitBreaker } from "effect/persistence"
import { type Provider, ProviderUnavailable } from "../domain/Payments.ts"
import type { Gateway, ProviderError } from "./Gateway.ts"

/** What a deployment may set of the calls to every provider. */
export interface ProviderFigures {
  /** Milliseconds that a call may take, all its attempts together. */
  readonly limitMillis: number
  readonly attempts: number
  /** Milliseconds between two attempts, at most. */
  readonly longestPause: number
  /** A call earns so much of a retry: an outage adds no more than this share to what is asked anyway, after the few saved ones. */
  readonly earnedByCall: number
  readonly failuresToOpen: number
  readonly openFor: Duration.Duration
}

export const defaultProviderFigures: ProviderFigures = {
  limitMillis: 10_000,
  attempts: 3,
  longestPause: 5_000,
  earnedByCall: 0.1,
  failuresToOpen: 5,
  openFor: Duration.seconds(30)
}

export const ProviderSettings = Context.Reference<ProviderFigures>("midnight/services/payments/ProviderSettings", {
  defaultValue: () => defaultProviderFigures
})

// Full jitter: anywhere between 100 ms and the exponential step, so that callers that failed together do not return together.
const pause = (retry: number, longest: number) =>
  Effect.flatMap(
    Random.nextIntBetween(100, Math.min(longest, 200 * 2 ** retry)),
    (millis) => Effect.sleep(Duration.millis(millis))
  )

/** No retry is begun that could not wait and still have time to be answered. */
const leastMillisForRetry = 2_000
const mostSaved = 10

/** A refusal is an answer, so the provider is well. Being away, and nonsense, count against it. */
const classify = <A>(exit: Exit.Exit<A, ProviderError>): CircuitBreaker.Outcome => {
  if (Exit.isSuccess(exit)) return CircuitBreaker.success
  const error = Cause.findErrorOption(exit.cause)
  return Option.isSome(error) && error.value._tag === "ProviderRefused"
    ? CircuitBreaker.success
    : CircuitBreaker.failure()
}

const isOpen = (provider: Provider) => (error: CircuitBreaker.CircuitBreakerError) =>
  new ProviderUnavailable({
    provider,
    retry_after: error.reason._tag === "CircuitOpen"
      ? Math.max(1, Math.ceil(Duration.toSeconds(error.reason.retryAfter)))
      : 5,
    detail: "The provider failed several times in a row and is left alone for a while."
  })

/** Runs one call under the limits of its provider. */
export type ProviderCalls = <A>(
  call: Effect.Effect<A, ProviderError>,
  retries?: number
) => Effect.Effect<A, ProviderError>

/**
 * The limits of every call to one provider, by default: ten seconds in all and three attempts at most, a retry only
 * while the budget lasts, and nothing at all for 30 s after five failures in a row. The breaker sees each attempt. What is
 * called carries its key itself, so every attempt sends the same one.
 */
export const providerCalls = Effect.fnUntraced(function*(provider: Provider) {
  const { attempts, earnedByCall, failuresToOpen, limitMillis, longestPause, openFor } = yield* ProviderSettings
  const breaker = yield* CircuitBreaker.make({
    tripPolicy: CircuitBreaker.consecutive(failuresToOpen),
    openDuration: openFor
  })
  yield* breaker.transitions.pipe(
    Stream.runForEach((transition) =>
      Effect.logWarning("A provider's circuit changed", { provider, from: transition.from, to: transition.to })
    ),
    Effect.forkScoped
  )
  const budget = { saved: mostSaved }
  const mayRetry = (millisLeft: number) => {
    if (budget.saved < 1 || millisLeft < leastMillisForRetry) return false
    budget.saved -= 1
    return true
  }
  const late = new ProviderUnavailable({
    provider,
    retry_after: 5,
    detail: `The provider did not answer within ${limitMillis / 1_000} s.`
  })

  const run: ProviderCalls = <A>(call: Effect.Effect<A, ProviderError>, most = attempts - 1) =>
    Effect.flatMap(Clock.currentTimeMillis, (start) => {
      const until = start + limitMillis
      budget.saved = Math.min(mostSaved, budget.saved + earnedByCall)
      const attempt = Effect.flatMap(Clock.currentTimeMillis, (now) =>
        call.pipe(
          // Inside the breaker: a provider that hangs has failed.
          Effect.timeoutOrElse({ duration: Duration.millis(until - now), orElse: () => Effect.fail(late) }),
          breaker.execute({ key: provider, classify })
        ))
      const from = (retries: number): Effect.Effect<A, ProviderError> =>
        attempt.pipe(
          Effect.catchTag("ProviderUnavailable", (error) =>
            Effect.flatMap(Clock.currentTimeMillis, (now) =>
              retries < most && mayRetry(until - now)
                ? Effect.andThen(pause(retries + 1, longestPause), from(retries + 1))
                : Effect.fail(error))),
          Effect.catchTag("CircuitBreakerError", (error) =>
            Effect.fail(isOpen(provider)(error)))
        )
      return from(0)
    })
  return run
})

/** A gateway whose every call is under the limits of its provider; one circuit and one retry budget for all of them. */
export const guarded = Effect.fnUntraced(function*(gateway: Gateway) {
  const call = yield* providerCalls(gateway.provider)
  const limited: Gateway = {
    provider: gateway.provider,
    livemode: gateway.livemode,
    needsEmail: gateway.needsEmail,
    keyedRefunds: gateway.keyedRefunds,
    bounds: gateway.bounds,
    reaches: gateway.reaches,
    verifyWebhook: gateway.verifyWebhook,
    createCharge: (charge) => call(gateway.createCharge(charge)),
    retrieveCharge: (reference) => call(gateway.retrieveCharge(reference)),
    cancelCharge: (reference) => call(gateway.cancelCharge(reference)),
    // Without a key an attempt may have made what its repetition cannot see yet.
    createRefund: (refund) => call(gateway.createRefund(refund), gateway.keyedRefunds ? undefined : 0),
    retrieveRefund: (reference) => call(gateway.retrieveRefund(reference)),
    createRecipient: (recipient) => call(gateway.createRecipient(recipient)),
    createPayout: (payout) => call(gateway.createPayout(payout)),
    resumePayout: (payout) => call(gateway.resumePayout(payout)),
    retrievePayout: (reference) => call(gateway.retrievePayout(reference)),
    retrieveDispute: (reference) => call(gateway.retrieveDispute(reference)),
    listCharges: (page) => call(gateway.listCharges(page)),
    listRefunds: (page) => call(gateway.listRefunds(page)),
    listPayouts: (page) => call(gateway.listPayouts(page)),
    listDisputes: (page) => call(gateway.listDisputes(page))
  }
  return limited
})
