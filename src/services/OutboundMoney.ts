import { Context, Effect, Layer, Option } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import type { TransferId, UserId } from "../domain/Ids.ts"
import type { Amount, Currency } from "../domain/Money.ts"
import { type Provider, ProviderUnavailable } from "../domain/Payments.ts"
import { Unavailable } from "../domain/Problem.ts"
import { between, clearingOf, type InsufficientFunds, walletOf } from "../domain/Wallet.ts"
import { withDatabase } from "./Database.ts"
import { type Gateway, Gateways } from "./Gateway.ts"
import { Ledger } from "./Ledger.ts"

/** What leaves a wallet for a provider, under the permanent key `<kind>:<id>`. */
export interface Outbound {
  readonly kind: "refund" | "payout"
  readonly id: string
  readonly userId: UserId
  readonly provider: Provider
  readonly amount: Amount
  readonly currency: Currency
}

const busy = new Unavailable({ detail: "The provider is being asked about it.", retry_after: 1 })

/** What cannot be, or is for a person: a dead letter, and never an answer to somebody's request. */
const impossible = (error: unknown) => Effect.die(new Error("the ledger refused what it holds", { cause: error }))

/** How a movement is taken, and given free again. */
export interface Claim {
  readonly take: Effect.Effect<boolean, SqlError>
  readonly free: Effect.Effect<void, SqlError>
}

const keyOf = ({ id, kind }: Outbound) => `${kind}:${id}`

/**
 * The ledger's side of refunds and payouts: held at once, captured when the provider has paid, voided when it will not, and
 * booked back when it took the payment back. Each may be repeated.
 */
export class OutboundMoney extends Context.Service<OutboundMoney, {
  hold(out: Outbound): Effect.Effect<void, InsufficientFunds | Unavailable>
  capture(out: Outbound): Effect.Effect<TransferId, Unavailable>
  release(out: Outbound): Effect.Effect<void, Unavailable>
  bookBack(out: Outbound): Effect.Effect<TransferId, Unavailable>
  gateway(provider: Provider): Effect.Effect<Gateway, ProviderUnavailable>
  /** Asks the provider of one movement from one place at a time. Unavailable while somebody else does. */
  alone<E, R>(claim: Claim, work: Effect.Effect<void, E, R>): Effect.Effect<void, E | Unavailable, R>
}>()("midnight/services/payments/OutboundMoney") {
  static readonly layer = Layer.effect(
    OutboundMoney,
    Effect.gen(function*() {
      const ledger = yield* Ledger
      const gateways = yield* Gateways
      const reference = (out: Outbound) => ({ [`${out.kind}_id`]: out.id, provider: out.provider })

      return OutboundMoney.of({
        hold: (out) =>
          ledger.authorise({
            key: keyOf(out),
            account: walletOf(out.userId),
            amount: out.amount,
            currency: out.currency
          }).pipe(
            Effect.asVoid,
            // A hold is a function of columns that cannot change, and moves no balance.
            Effect.catchTags({ PostingConflict: impossible, BalanceLimit: impossible })
          ),
        capture: (out) =>
          ledger.capture({
            key: keyOf(out),
            hold: keyOf(out),
            kind: out.kind,
            amount: out.amount,
            currency: out.currency,
            to: clearingOf(out.provider),
            memo: Option.none(),
            reference: reference(out)
          }).pipe(
            Effect.map(({ id }) => id),
            // The hold is of the whole amount, and only this and `release` end it. What is left is for the dead letters.
            Effect.catchTags({
              HoldClosed: impossible,
              HoldExceeded: impossible,
              InsufficientFunds: impossible,
              PostingConflict: impossible,
              BalanceLimit: impossible
            })
          ),
        release: (out) =>
          // One that was never made needs no release.
          Effect.catchIf(
            ledger.void(keyOf(out)),
            (error) => error._tag === "HoldClosed" && error.hold_status === "unknown",
            () => Effect.void
          ).pipe(Effect.catchTag("HoldClosed", impossible)),
        bookBack: (out) =>
          ledger.post(between({
            key: `${out.kind}-return:${out.id}`,
            kind: out.kind,
            from: clearingOf(out.provider),
            to: walletOf(out.userId),
            amount: out.amount,
            currency: out.currency,
            reference: reference(out)
          })).pipe(
            Effect.map(({ id }) => id),
            Effect.catchTags({ InsufficientFunds: impossible, PostingConflict: impossible, BalanceLimit: impossible })
          ),
        alone: <E, R>(claim: Claim, work: Effect.Effect<void, E, R>) =>
          Effect.acquireUseRelease(
            withDatabase(claim.take),
            (mine): Effect.Effect<void, E | Unavailable, R> => mine ? work : Effect.fail(busy),
            (mine) => mine ? Effect.ignore(withDatabase(claim.free)) : Effect.void
          ),
        gateway: (provider) =>
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
      })
    })
  )
}
