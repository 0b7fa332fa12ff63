import { Context, Duration, Effect, type Option, Random, Schedule, Schema } from "effect"
import { Mac } from "effect/crypto"
import type { Headers } from "effect/http"
import type { PaymentId } from "../domain/Ids.ts"
import type { Amount, Currency } from "../domain/Money.ts"
import {
  type ChargeReport,
  type NextAction,
  type PaymentStatus,
  Provider,
  ProviderUnavailable,
  WebhookForged
} from "../domain/Payments.ts"
import type { InvalidRequest } from "../domain/Problem.ts"

/** The provider understood the request and will not do it; asking again gives the same answer. */
export class ProviderRefused extends Schema.TaggedError<ProviderRefused>()("ProviderRefused", {
  provider: Provider,
  code: Schema.String,
  detail: Schema.String
}) {}

export type ProviderError = ProviderUnavailable | ProviderRefused

/** What an event says. It is a reason to ask the provider, never the answer. */
export interface EventFacts {
  /** Unique at the provider for good: what duplicates are told by. */
  readonly eventId: string
  readonly type: string
  /** Our id of the payment, as the provider echoes it. */
  readonly paymentId: Option.Option<PaymentId>
}

/** What a webhook's signature proves, taken from its headers by the provider's adapter. */
export interface SignatureProof {
  readonly provider: Provider
  readonly key: Mac.Key
  /** The exact bytes that were signed. */
  readonly signed: Uint8Array
  /** Any one that matches will do: a provider sends several while a secret is rotated. */
  readonly tags: ReadonlyArray<Uint8Array>
  readonly body: string
}

/**
 * An event that is proven to come from the provider. `authenticate` is the only way to make one, so whatever takes a
 * VerifiedEvent cannot be given a forged one: the `#facts` field makes look-alikes fail to type-check.
 */
export class VerifiedEvent {
  readonly #facts: EventFacts
  readonly provider: Provider
  /** As it was signed, kept for replay. */
  readonly body: string

  private constructor(facts: EventFacts, provider: Provider, body: string) {
    this.#facts = facts
    this.provider = provider
    this.body = body
  }

  get facts(): EventFacts {
    return this.#facts
  }

  /** Verifies in constant time before `decode` may look at the body. */
  static readonly authenticate = Effect.fnUntraced(function*(
    proof: SignatureProof,
    decode: (body: string) => Effect.Effect<EventFacts, InvalidRequest>
  ) {
    const mac = yield* Mac.Mac
    for (const tag of proof.tags) {
      if (yield* Effect.orDie(mac.verify(proof.key, tag, proof.signed))) {
        return new VerifiedEvent(yield* decode(proof.body), proof.provider, proof.body)
      }
    }
    return yield* new WebhookForged({ detail: "No signature of the event matches its body." })
  })
}

/** One payment provider. Amounts cross this port in the ledger's minor units; exponents are the adapter's business. */
export interface Gateway {
  readonly provider: Provider
  /** True when it moves real money. */
  readonly livemode: boolean
  /** Under a key made of the payment's id: calling again, also after a crash, answers the same charge. */
  createCharge(charge: {
    readonly paymentId: PaymentId
    readonly amount: Amount
    readonly currency: Currency
    readonly returnUrl: Option.Option<string>
    readonly email: Option.Option<string>
  }): Effect.Effect<{
    readonly providerReference: string
    readonly nextAction: Option.Option<NextAction>
    readonly status: PaymentStatus
  }, ProviderError>
  retrieveCharge(providerReference: string): Effect.Effect<ChargeReport, ProviderError>
  verifyWebhook(
    rawBody: Uint8Array,
    headers: Headers.Headers
  ): Effect.Effect<VerifiedEvent, WebhookForged | InvalidRequest>
}

/** The providers that this deployment is configured for. The first is what a charge that names none goes to. */
export class Gateways extends Context.Service<Gateways, {
  readonly configured: ReadonlyArray<Provider>
  find(provider: Provider): Option.Option<Gateway>
}>()("midnight/services/payments/Gateways") {}

// Full jitter: anywhere between 100 ms and the exponential step, so that callers that failed together do not return together.
const fullJitter = Schedule.exponential("400 millis").pipe(
  Schedule.modifyDelay(({ duration }) =>
    Random.nextIntBetween(100, Math.min(5_000, Math.max(200, Duration.toMillis(duration))))
  ),
  Schedule.upTo({ times: 2 })
)

/**
 * The limits of every call to a provider (docs/security.md): three attempts at most, ten seconds in all. Only what may pass is
 * tried again; a hanging provider costs its caller the ten seconds, not thirty.
 */
export const callProvider =
  (provider: Provider) => <A, R>(call: Effect.Effect<A, ProviderError, R>): Effect.Effect<A, ProviderError, R> =>
    call.pipe(
      Effect.retry({ schedule: fullJitter, while: (error) => error._tag === "ProviderUnavailable" }),
      Effect.timeoutOrElse({
        duration: "10 seconds",
        orElse: () =>
          Effect.fail(
            new ProviderUnavailable({ provider, retry_after: 5, detail: "The provider did not answer within 10 s." })
          )
      })
    )
