import { Option, Schema, SchemaGetter } from "effect"
import { Problem } from "./Problem.ts"

/** Currencies Midnight knows, with the ISO 4217 exponent: how many digits the minor unit has. */
export const exponents = {
  EUR: 2,
  GBP: 2,
  GHS: 2,
  JPY: 0,
  KES: 2,
  KWD: 3,
  NGN: 2,
  RWF: 0,
  TND: 3,
  TZS: 2,
  UGX: 0,
  USD: 2,
  XAF: 0,
  XOF: 0,
  ZAR: 2,
  ZMW: 2
} as const

export const Currency = Schema.Literals([
  "EUR",
  "GBP",
  "GHS",
  "JPY",
  "KES",
  "KWD",
  "NGN",
  "RWF",
  "TND",
  "TZS",
  "UGX",
  "USD",
  "XAF",
  "XOF",
  "ZAR",
  "ZMW"
]).annotate({ identifier: "Currency", description: "ISO 4217 code" })
export type Currency = typeof Currency.Type

/** Currencies a deployment takes when CURRENCIES is not set. */
export const defaultCurrencies: ReadonlyArray<Currency> = ["NGN", "GHS", "KES", "ZAR", "USD", "EUR", "GBP"]

/** The largest amount of one movement: 10^12 minor units. */
export const maxAmount = 1_000_000_000_000n
/** |balance| stays where a JSON number is exact: 2^53 − 1. */
export const maxBalance = 9_007_199_254_740_991n

const integerToBigint = {
  decode: SchemaGetter.transform((n: number) => BigInt(n)),
  encode: SchemaGetter.transform((n: bigint) => Number(n))
}

/** Minor units, 1 … 10^12; a JSON integer on the wire, bigint inside. */
export const Amount = Schema.Int
  .check(Schema.isBetween({ minimum: 1, maximum: Number(maxAmount) }))
  .pipe(Schema.decodeTo(Schema.BigInt, integerToBigint), Schema.brand("Amount"))
  .annotate({ description: "minor units, an integer from 1 to 1000000000000" })
export type Amount = typeof Amount.Type

/** Of what a provider or a balance says: none when no movement can be of so much. The schema looks at what it decodes only. */
export const amountOf = (units: bigint): Option.Option<Amount> =>
  units >= 1n && units <= maxAmount ? Option.some(Amount.make(units)) : Option.none()

/** Minor units with a sign, as balances and entries have them. */
export const SignedAmount = Schema.Int.pipe(Schema.decodeTo(Schema.BigInt, integerToBigint))

/** How `reward` and `escrow` stand on the wire: `{amount, currency}`. */
export const Money = Schema.Struct({ amount: Amount, currency: Currency }).annotate({ identifier: "Money" })
export type Money = typeof Money.Type

/** Like Money, but may be zero: what is left of an escrow. */
export const Balance = Schema.Struct({ amount: SignedAmount, currency: Currency }).annotate({ identifier: "Balance" })
export type Balance = typeof Balance.Type

export class UnsupportedCurrency extends Problem<UnsupportedCurrency>()("UnsupportedCurrency", {
  type: "/problems/unsupported-currency",
  status: 400,
  title: "This deployment does not take that currency"
}, { code: Schema.tag("UnsupportedCurrency"), currency: Currency, allowed: Schema.Array(Currency) }) {}
