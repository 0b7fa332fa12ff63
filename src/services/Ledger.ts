import { Context, type Effect, type Option } from "effect"
import type { Unavailable } from "../domain/Problem.ts"
import type { Amount, Currency } from "../domain/Money.ts"
import type {
  Account,
  BalanceLimit,
  HoldClosed,
  HoldExceeded,
  InsufficientFunds,
  PostedHold,
  PostedTransfer,
  Posting,
  PostingConflict,
  TransferKind
} from "../domain/Wallet.ts"

export type PostError = InsufficientFunds | PostingConflict | BalanceLimit | Unavailable

/** The public face of the wallet bulkhead's ledger for every other bulkhead. Never called inside a transaction. */
export class Ledger extends Context.Service<Ledger, {
  /** Posts once per key: a repetition with the same content answers the first posting, `replayed`. */
  post(posting: Posting): Effect.Effect<PostedTransfer, PostError>
  /** Sets money aside: `available` falls, `balance` stays. */
  authorise(hold: {
    readonly key: string
    readonly account: Account
    readonly amount: Amount
    readonly currency: Currency
  }): Effect.Effect<PostedHold, PostError>
  /** Moves part or all of a hold to another account, in the hold's currency. */
  capture(capture: {
    readonly key: string
    readonly hold: string
    readonly kind: TransferKind
    readonly amount: Amount
    readonly to: Account
    readonly memo: Option.Option<string>
    readonly reference: Readonly<Record<string, string>>
  }): Effect.Effect<PostedTransfer, PostError | HoldClosed | HoldExceeded>
  /** Releases what is left of a hold. Voiding a voided hold succeeds; a captured one fails with HoldClosed. */
  void(hold: string): Effect.Effect<void, HoldClosed | Unavailable>
  /** What an account holds: zero for one that was never credited. */
  balance(account: Account, currency: Currency): Effect.Effect<
    { readonly balance: bigint; readonly held: bigint; readonly available: bigint },
    Unavailable
  >
}>()("midnight/services/wallet/Ledger") {}
