import { Context, type DateTime, Effect, type Option, Schema } from "effect"
import { Mac } from "effect/crypto"
import type { Headers } from "effect/http"
import type { PaymentId, PayoutId, RefundId } from "../domain/Ids.ts"
import type { Amount, Currency } from "../domain/Money.ts"
import {
  type ChargeReport,
  type NextAction,
  Provider,
  type ProviderUnavailable,
  WebhookForged,
  type WebhookOtherMode
} from "../domain/Payments.ts"
import type { InvalidRequest } from "../domain/Problem.ts"
import type { Listing } from "./GatewayLists.ts"

/** The provider understood the request and will not do it; asking again gives the same answer. */
export class ProviderRefused extends Schema.TaggedError<ProviderRefused>()("ProviderRefused", {
  provider: Provider,
  code: Schema.String,
  detail: Schema.String
}) {}

/** The provider answered, but not with what was asked for. Nothing follows from it: whoever meets one flags and asks again. */
export class ProviderNonsense extends Schema.TaggedError<ProviderNonsense>()("ProviderNonsense", {
  provider: Provider,
  detail: Schema.String
}) {}

/** Only the first may pass by itself and is tried again. */
export type ProviderError = ProviderUnavailable | ProviderRefused | ProviderNonsense

/** What an event says. It is a reason to ask the provider, never the answer. */
export interface EventFacts {
  /** Unique at the provider for good: what duplicates are told by. */
  readonly eventId: string
  readonly type: string
  readonly about: "charge" | "refund" | "payout" | "dispute" | "other"
  /** What to ask the provider for: the reference of the charge, refund, payout or dispute. */
  readonly reference: Option.Option<string>
  /** Our id of a refund or payout, as the provider echoes it. */
  readonly operationId: Option.Option<string>
  /** Our id of the payment, as the provider echoes it. */
  readonly paymentId: Option.Option<PaymentId>
}

/** What a webhook's signature proves, taken from its headers by the provider's adapter. */
export interface SignatureProof {
  readonly provider: Provider
  /** Any one of them will do: a provider has a secret for each endpoint that it sends to. */
  readonly keys: ReadonlyArray<Mac.Key>
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
    decode: (body: string) => Effect.Effect<EventFacts, InvalidRequest | WebhookOtherMode>
  ) {
    const mac = yield* Mac.Mac
    for (const key of proof.keys) {
      for (const tag of proof.tags) {
        if (yield* Effect.orDie(mac.verify(key, tag, proof.signed))) {
          return new VerifiedEvent(yield* decode(proof.body), proof.provider, proof.body)
        }
      }
    }
    return yield* new WebhookForged({ detail: "No signature of the event matches its body." })
  })
}

/** A charge as the provider holds it. */
export interface ProviderCharge extends ChargeReport {
  readonly reference: string
  /** Ours, as the provider echoes it. None on charges that somebody else made there. */
  readonly paymentId: Option.Option<PaymentId>
  readonly nextAction: Option.Option<NextAction>
  /** What the provider keeps for itself, once it says so in the charge's own currency. */
  readonly fee: Option.Option<bigint>
}

/** A refund or payout as the provider holds it. */
export interface ProviderMovement<Status extends string> {
  readonly reference: string
  /** Ours, as the provider echoes it. */
  readonly operationId: Option.Option<string>
  readonly status: Status
  readonly amount: bigint
  readonly currency: string
  readonly failureReason: Option.Option<string>
}

export interface ProviderRefund extends ProviderMovement<"pending" | "succeeded" | "failed"> {
  readonly chargeReference: Option.Option<string>
}

/**
 * `begun`: the provider pays in steps, and only the first were taken; nobody but us will take the rest. `requires_action`: a
 * person must release it at the provider, by a one-time password or by hand. `failed`: the money is ours.
 */
export type ProviderPayout = ProviderMovement<"begun" | "requires_action" | "processing" | "paid" | "failed">

export interface ProviderDispute {
  readonly reference: string
  readonly paymentId: Option.Option<PaymentId>
  readonly status: "open" | "won" | "lost"
  readonly amount: bigint
  readonly currency: string
}

/** Where a payout goes. Kept encrypted elsewhere; here it is on its way to the provider and must not be logged. */
export type PayoutDestination =
  | {
    readonly type: "bank"
    readonly country: string
    readonly bankCode: string
    readonly accountNumber: string
    readonly accountName: string
  }
  | { readonly type: "mobile_money"; readonly country: string; readonly network: string; readonly phone: string }

export type Movement = "charge" | "refund" | "payout"

/** What a provider takes in a currency, in the ledger's minor units: from, to, and in multiples of `step`. */
export interface Bounds {
  readonly min: bigint
  readonly max: bigint
  readonly step: bigint
}

interface Since {
  readonly since: DateTime.Utc
  readonly cursor: Option.Option<string>
}

/**
 * One payment provider. Amounts cross this port in the ledger's minor units; exponents and limits are the adapter's
 * business. What creates is keyed by our own id: calling again, also after a crash, finds what the first call made.
 */
export interface Gateway {
  readonly provider: Provider
  /** True when it moves real money. */
  readonly livemode: boolean
  /** Whether a charge needs the payer's e-mail address. */
  readonly needsEmail: boolean
  /** Whether refunds have a key: without one, a second question soon after the first may make a second refund. */
  readonly keyedRefunds: boolean
  /** None: the provider does not take the currency for that. Decided without asking it. */
  bounds(movement: Movement, currency: Currency): Option.Option<Bounds>
  /** Whether it pays out to such a destination at all. Decided without asking it. */
  reaches(destination: PayoutDestination): boolean
  createCharge(charge: {
    readonly paymentId: PaymentId
    readonly amount: Amount
    readonly currency: Currency
    readonly returnUrl: Option.Option<string>
    readonly email: Option.Option<string>
  }): Effect.Effect<ProviderCharge, ProviderError>
  retrieveCharge(reference: string): Effect.Effect<ProviderCharge, ProviderError>
  /** Answers the charge as it stands then: one that was paid in the meantime stays paid. */
  cancelCharge(reference: string): Effect.Effect<ProviderCharge, ProviderError>
  createRefund(refund: {
    readonly refundId: RefundId
    readonly chargeReference: string
    readonly amount: Amount
    readonly currency: Currency
  }): Effect.Effect<ProviderRefund, ProviderError>
  retrieveRefund(reference: string): Effect.Effect<ProviderRefund, ProviderError>
  /** Makes the destination known to the provider and answers its name for it there. */
  createRecipient(recipient: {
    readonly payoutId: PayoutId
    readonly destination: PayoutDestination
    readonly currency: Currency
  }): Effect.Effect<string, ProviderError>
  createPayout(payout: {
    readonly payoutId: PayoutId
    readonly recipient: string
    readonly amount: Amount
    readonly currency: Currency
  }): Effect.Effect<ProviderPayout, ProviderError>
  /** Takes the steps that are missing of one that the list says is begun, also when the keys of the first are forgotten. */
  resumePayout(payout: {
    readonly payoutId: PayoutId
    readonly begun: string
    readonly amount: Amount
    readonly currency: Currency
  }): Effect.Effect<ProviderPayout, ProviderError>
  retrievePayout(reference: string): Effect.Effect<ProviderPayout, ProviderError>
  retrieveDispute(reference: string): Effect.Effect<ProviderDispute, ProviderError>
  /** What the provider has made since then, for reconciliation; the order is the provider's. */
  listCharges(page: Since): Effect.Effect<Listing<ProviderCharge>, ProviderError>
  listRefunds(page: Since): Effect.Effect<Listing<ProviderRefund>, ProviderError>
  listPayouts(page: Since): Effect.Effect<Listing<ProviderPayout>, ProviderError>
  listDisputes(page: Since): Effect.Effect<Listing<ProviderDispute>, ProviderError>
  verifyWebhook(
    rawBody: Uint8Array,
    headers: Headers.Headers
  ): Effect.Effect<VerifiedEvent, WebhookForged | WebhookOtherMode | InvalidRequest>
}

/** The providers that this deployment is configured for. The first that takes the currency gets a charge that names none. */
export class Gateways extends Context.Service<Gateways, {
  readonly configured: ReadonlyArray<Provider>
  find(provider: Provider): Option.Option<Gateway>
}>()("midnight/services/payments/Gateways") {}
