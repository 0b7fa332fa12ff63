import { Option } from "effect"
import { type Currency, exponents } from "../../domain/Money.ts"
import type { Bounds, Movement } from "../../services/Gateway.ts"

/**
 * Stripe's units beside the ledger's. They differ in UGX, which Stripe counts in hundredths that do not exist; and of the
 * currencies with three digits it takes only amounts whose last digit is 0.
 */
const stripeUnits: Partial<Record<Currency, bigint>> = { UGX: 100n }

/** Ledger minor units to Stripe's. */
export const toStripe = (amount: bigint, currency: Currency): number => Number(amount * (stripeUnits[currency] ?? 1n))

const known = new Map(Object.keys(exponents).map((code) => [code, true]))
const isKnown = (code: string): code is Currency => known.has(code)

/** Stripe's units to the ledger's; none when there is no such amount. A currency that the ledger does not know is left alone. */
export const fromStripe = (amount: number, currency: string): Option.Option<bigint> => {
  const code = currency.toUpperCase()
  const unit = isKnown(code) ? stripeUnits[code] ?? 1n : 1n
  const units = BigInt(amount)
  return units % unit === 0n ? Option.some(units / unit) : Option.none()
}

// In the ledger's minor units. Elsewhere the least depends on the currency that the account settles in: Stripe refuses it.
const least: Partial<Record<Currency, bigint>> = { USD: 50n, EUR: 50n, GBP: 30n, JPY: 50n }
/** An amount may have eight digits. */
const most = 99_999_999n
/** What the ledger knows and Stripe does not take. */
const foreign: ReadonlyArray<Currency> = ["GHS"]

export const stripeBounds = (movement: Movement, currency: Currency): Option.Option<Bounds> => {
  if (foreign.includes(currency)) return Option.none()
  const step = exponents[currency] === 3 ? 10n : 1n
  return Option.some({
    min: movement === "charge" ? least[currency] ?? step : step,
    max: most / (stripeUnits[currency] ?? 1n),
    step
  })
}
