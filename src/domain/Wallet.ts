import { Option, Schema } from "effect"
import { CampaignId, EntryId, HoldId, TransferId, UserId, WalletId } from "./Ids.ts"
import { Amount, Currency, SignedAmount } from "./Money.ts"
import { Problem } from "./Problem.ts"

/**
 * Accounts are named by what they are for, not by an id: the ledger opens one at its first credit. A clearing account is
 * the other side of a payment provider and may go below zero; wallets, escrows and money in transit never do.
 */
export type Account =
  | { readonly kind: "wallet"; readonly owner: UserId }
  | { readonly kind: "escrow"; readonly owner: CampaignId }
  | { readonly kind: "clearing"; readonly owner: string }
  | { readonly kind: "fees"; readonly owner: string }
  | { readonly kind: "transit"; readonly owner: string }

export const walletOf = (owner: UserId): Account => ({ kind: "wallet", owner })
export const escrowOf = (owner: CampaignId): Account => ({ kind: "escrow", owner })
export const clearingOf = (provider: string): Account => ({ kind: "clearing", owner: provider })

export const TransferKind = Schema.Literals([
  "charge",
  "reward",
  "transfer",
  "payout",
  "refund",
  "fee",
  "escrow",
  "reversal",
  "adjustment"
])
export type TransferKind = typeof TransferKind.Type

/** One side of a posting; positive credits the account, negative debits it. */
export interface Leg {
  readonly account: Account
  readonly currency: Currency
  readonly amount: bigint
}

/**
 * A movement of money. `key` is made from what it pays (`charge:<paymentId>`, `reward:<submissionId>`), is unique in the
 * ledger for good, and is what makes it happen once. `reference` says why: ids, never personal data.
 */
export interface Posting {
  readonly key: string
  readonly kind: TransferKind
  readonly memo: Option.Option<string>
  readonly reference: Readonly<Record<string, string>>
  readonly legs: ReadonlyArray<Leg>
  /** What a repetition of the key must bring again, SHA-256 in hex; none: the posting's own content. */
  readonly digest?: string
}

/** The posting that moves one amount from one account to another. */
export const between = (movement: {
  readonly key: string
  readonly kind: TransferKind
  readonly from: Account
  readonly to: Account
  readonly amount: Amount
  readonly currency: Currency
  readonly memo?: Option.Option<string>
  readonly reference?: Readonly<Record<string, string>>
  readonly digest?: string
}): Posting => ({
  ...(movement.digest === undefined ? {} : { digest: movement.digest }),
  key: movement.key,
  kind: movement.kind,
  memo: movement.memo ?? Option.none(),
  reference: movement.reference ?? {},
  legs: [
    { account: movement.from, currency: movement.currency, amount: -movement.amount },
    { account: movement.to, currency: movement.currency, amount: movement.amount }
  ]
})

/** Two legs or more, no account twice in a currency, a sum of zero in each currency: what the database demands too. */
export const isBalanced = (posting: Posting): boolean => {
  const sums = new Map<string, bigint>()
  const seen = new Set<string>()
  for (const { account, amount, currency } of posting.legs) {
    if (amount === 0n) return false
    seen.add(`${account.kind} ${account.owner} ${currency}`)
    sums.set(currency, (sums.get(currency) ?? 0n) + amount)
  }
  return posting.legs.length >= 2 && seen.size === posting.legs.length && [...sums.values()].every((s) => s === 0n)
}

/** What the ledger answers to a posting or a hold. `replayed` when the key had already been posted with the same content. */
export interface Posted<Id> {
  readonly id: Id
  readonly replayed: boolean
  readonly at: string
}
export type PostedTransfer = Posted<TransferId>
export type PostedHold = Posted<HoldId>

const Memo = Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(280))

export const Wallet = Schema.Struct({
  id: WalletId,
  currency: Currency,
  balance: SignedAmount,
  held: SignedAmount,
  available: SignedAmount
}).annotate({ identifier: "Wallet" })

export const WalletBalance = Schema.Struct({
  currency: Currency,
  balance: SignedAmount,
  held: SignedAmount,
  available: SignedAmount,
  at: Schema.DateTimeUtcFromString
}).annotate({ identifier: "WalletBalance" })

export const Entry = Schema.Struct({
  id: EntryId,
  transferId: TransferId,
  kind: TransferKind,
  amount: SignedAmount,
  currency: Currency,
  balanceAfter: SignedAmount,
  memo: Schema.NullOr(Schema.String),
  createdAt: Schema.DateTimeUtcFromString
}).annotate({ identifier: "Entry" })

export const Transfer = Schema.Struct({
  id: TransferId,
  kind: TransferKind,
  amount: Amount,
  currency: Currency,
  fromUserId: UserId,
  toUserId: UserId,
  memo: Schema.NullOr(Schema.String),
  createdAt: Schema.DateTimeUtcFromString
}).annotate({ identifier: "Transfer" })
export type Transfer = typeof Transfer.Type

const ToUser = { amount: Amount, currency: Currency, memo: Schema.optionalKey(Memo) }

export const TransferRequest = Schema.Union([
  Schema.Struct({ toUserId: UserId, ...ToUser }),
  Schema.Struct({ toEmail: Schema.String.check(Schema.isMinLength(3), Schema.isMaxLength(254)), ...ToUser })
]).annotate({ identifier: "TransferRequest" })
export type TransferRequest = typeof TransferRequest.Type

export class InsufficientFunds extends Problem<InsufficientFunds>()("InsufficientFunds", {
  type: "/problems/insufficient-funds",
  status: 422,
  title: "The account does not hold enough"
}, { code: Schema.tag("InsufficientFunds"), available: SignedAmount, currency: Schema.optionalKey(Currency) }) {}

/** A permanent key was posted before with other content: a fault of the caller's code, or a key used for two things. */
export class PostingConflict extends Problem<PostingConflict>()("PostingConflict", {
  type: "/problems/posting-conflict",
  status: 422,
  title: "This was posted before with other content"
}, { code: Schema.tag("PostingConflict") }) {}

export class BalanceLimit extends Problem<BalanceLimit>()("BalanceLimit", {
  type: "/problems/balance-limit",
  status: 422,
  title: "The balance would leave the range of 2^53 − 1 minor units"
}, { code: Schema.tag("BalanceLimit") }) {}

/** One of a set of postings was refused, so none of them was made. `key` names the one. */
export class SetRefused extends Schema.TaggedError<SetRefused>()("SetRefused", {
  key: Schema.String,
  reason: Schema.Union([InsufficientFunds, PostingConflict, BalanceLimit])
}) {}

/** The hold was captured, voided or has expired, or never was. */
export class HoldClosed extends Problem<HoldClosed>()("HoldClosed", {
  type: "/problems/hold-closed",
  status: 409,
  title: "The hold is not open"
}, { code: Schema.tag("HoldClosed"), hold_status: Schema.String }) {}

export class HoldExceeded extends Problem<HoldExceeded>()("HoldExceeded", {
  type: "/problems/hold-exceeded",
  status: 422,
  title: "The hold is smaller than what was to be captured"
}, { code: Schema.tag("HoldExceeded"), available: SignedAmount }) {}

export class SameAccount extends Problem<SameAccount>()("SameAccount", {
  type: "/problems/same-account",
  status: 400,
  title: "Sender and recipient are the same"
}, { code: Schema.tag("SameAccount") }) {}
