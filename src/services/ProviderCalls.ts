import { Effect, Option } from "effect"
import { type Amount, type Currency, UnsupportedCurrency } from "../domain/Money.ts"
import { AmountNotAccepted, type Provider, ProviderUnavailable } from "../domain/Payments.ts"
import type { Gateway, Gateways, Movement, ProviderNonsense, ProviderRefused } from "./Gateway.ts"

/** A provider whose key was taken away may come back: what waits for it waits. */
export const gatewayOf = (
  gateways: Gateways["Service"],
  { provider }: { readonly provider: Provider }
): Effect.Effect<Gateway, ProviderUnavailable> =>
  Option.match(gateways.find(provider), {
    onNone: () =>
      Effect.fail(
        new ProviderUnavailable({
          provider,
          retry_after: 60,
          detail: `The provider ${provider} is not configured now.`
        })
      ),
    onSome: Effect.succeed
  })

interface About {
  readonly id: string
  readonly provider: Provider
}

/** The provider does not know its own reference. That decides nothing about the money, so it is asked again later. */
export const lost = ({ id, provider }: About) => (refusal: ProviderRefused) =>
  Effect.andThen(
    Effect.logError("The provider does not know what it made", { id, code: refusal.code }),
    Effect.fail(new ProviderUnavailable({ provider, retry_after: 60, detail: "The provider cannot find it." }))
  )

/** An answer that makes no sense decides nothing either; a person may have to look at it. */
export const nonsense = ({ id, provider }: About) => (error: ProviderNonsense) =>
  Effect.andThen(
    Effect.logError("The provider's answer makes no sense", { id, reason: error.detail }),
    Effect.fail(new ProviderUnavailable({ provider, retry_after: 60, detail: "The provider's answer makes no sense." }))
  )

interface Asked {
  readonly amount: Amount
  readonly currency: Currency
}

/** Whether the provider can express the amount, and takes so much of it; a currency that it has no bounds of is no matter here. */
export const withinBounds = Effect.fnUntraced(function*(
  gateway: Gateway,
  movement: Movement,
  { amount, currency }: Asked
) {
  const bounds = gateway.bounds(movement, currency)
  if (Option.isNone(bounds)) return
  const { max, min, step } = bounds.value
  if (amount >= min && amount <= max && amount % step === 0n) return
  return yield* new AmountNotAccepted({
    provider: gateway.provider,
    currency,
    minimum: min,
    maximum: max,
    multiple_of: step,
    detail: `Through ${gateway.provider} a ${movement} in ${currency} is from ${min} to ${max}, in steps of ${step}.`
  })
})

/** The first of these providers that takes the currency, if it takes the amount too. */
export const takerOf = Effect.fnUntraced(function*(
  movement: "charge" | "payout",
  { amount, currency }: Asked,
  candidates: ReadonlyArray<Gateway>,
  currencies: ReadonlyArray<Currency>
) {
  for (const gateway of candidates) {
    if (Option.isNone(gateway.bounds(movement, currency))) continue
    yield* withinBounds(gateway, movement, { amount, currency })
    return gateway
  }
  const taken = (one: Currency) => candidates.some((gateway) => Option.isSome(gateway.bounds(movement, one)))
  return yield* new UnsupportedCurrency({
    currency,
    allowed: currencies.filter(taken),
    detail: `${candidates.map(({ provider }) => provider).join(" and ")} cannot take ${currency}.`
  })
})
