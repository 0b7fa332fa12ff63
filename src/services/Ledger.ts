import { Context, DateTime, Effect, Layer, Option } from "effect"
import { HoldId, TransferId } from "../domain/Ids.ts"
import { ReversalExceeded } from "../domain/LedgerAdmin.ts"
import type { Amount, Currency } from "../domain/Money.ts"
import { NotFound, type Unavailable } from "../domain/Problem.ts"
import {
  type Account,
  type BalanceLimit,
  type HoldClosed,
  HoldExceeded,
  type InsufficientFunds,
  isBalanced,
  type PostedHold,
  type PostedTransfer,
  type Posting,
  PostingConflict,
  SetRefused,
  type TransferKind
} from "../domain/Wallet.ts"
import { withDatabase } from "./Database.ts"
import { accepted, holdIsOpen, idOf } from "./LedgerOutcome.ts"
import { LedgerStore, type TransferCommand } from "./LedgerStore.ts"
import { LedgerWriter } from "./LedgerWriter.ts"
import { spanWhenSampled } from "./TraceContext.ts"

export type PostError = InsufficientFunds | PostingConflict | BalanceLimit | Unavailable

/** The public face of the wallet bulkhead's ledger for every other bulkhead. Never called inside a transaction. */
export class Ledger extends Context.Service<Ledger, {
  /** Posts once per key: a repetition with the same content answers the first posting, `replayed`. */
  post(posting: Posting): Effect.Effect<PostedTransfer, PostError>
  /**
   * Posts all of them or none, in one commit: 1 to 100, each under a key of its own. Answers in their order. SetRefused says which
   * could not be posted, and why. A repetition of the set answers the first postings, each `replayed`.
   */
  postAll(
    postings: ReadonlyArray<Posting>
  ): Effect.Effect<ReadonlyArray<PostedTransfer>, SetRefused | Unavailable>
  /**
   * Sets money aside: `available` falls, `balance` stays. From `expiresAt` on the hold cannot be captured, and it is released within
   * some ten seconds of it; without one it stays until it is captured or voided. A repetition may say another end: the first stands.
   */
  authorise(hold: {
    readonly key: string
    readonly account: Account
    readonly amount: Amount
    readonly currency: Currency
    readonly expiresAt?: DateTime.Utc
  }): Effect.Effect<PostedHold, PostError>
  /** Moves part or all of a hold to another account, in the hold's currency. */
  capture(capture: {
    readonly key: string
    readonly hold: string
    readonly kind: TransferKind
    readonly amount: Amount
    readonly currency: Currency
    readonly to: Account
    readonly memo: Option.Option<string>
    readonly reference: Readonly<Record<string, string>>
  }): Effect.Effect<PostedTransfer, PostError | HoldClosed | HoldExceeded>
  /** Releases what is left of a hold. Voiding a voided hold succeeds; a captured one fails with HoldClosed. */
  void(hold: string): Effect.Effect<void, HoldClosed | Unavailable>
  /** Gives a transfer back, in whole or in part; never more, over all its reversals, than it moved. */
  reverse(reversal: {
    readonly key: string
    readonly digest: string
    readonly transfer: TransferId
    readonly amount: Option.Option<Amount>
    readonly reference: Readonly<Record<string, string>>
  }): Effect.Effect<PostedTransfer, PostError | NotFound | ReversalExceeded>
  /**
   * The transfer that this key and digest posted, for a caller that refuses before it posts: what would be refused today may have
   * been posted by an earlier attempt. A key that posted something else is a PostingConflict.
   */
  posted(
    key: string,
    digest: string
  ): Effect.Effect<Option.Option<TransferId>, PostingConflict | Unavailable>
  /** What an account holds: zero for one that was never credited. */
  balance(account: Account, currency: Currency): Effect.Effect<
    { readonly balance: bigint; readonly held: bigint; readonly available: bigint },
    Unavailable
  >
  /** The same for many accounts of one kind at once, in the order asked. */
  balances(
    kind: Account["kind"],
    of: ReadonlyArray<{ readonly owner: string; readonly currency: Currency }>
  ): Effect.Effect<
    ReadonlyArray<{ readonly balance: bigint; readonly held: bigint; readonly available: bigint }>,
    Unavailable
  >
}>()("midnight/services/wallet/Ledger") {
  static readonly layer = Layer.effect(
    Ledger,
    Effect.gen(function*() {
      const store = yield* LedgerStore
      const writer = yield* LedgerWriter

      const post = Effect.fnUntraced(function*(posting: Posting) {
        const currency = posting.legs[0]?.currency
        if (currency === undefined || !isBalanced(posting)) {
          return yield* Effect.die(new Error(`unbalanced posting ${posting.key}`))
        }
        yield* Effect.annotateCurrentSpan({
          "midnight.posting.key": posting.key,
          "midnight.posting.kind": posting.kind
        })
        const outcome = yield* writer.submit(commandOf(posting))
        return { ...(yield* accepted(outcome, currency)), id: TransferId.make(idOf(outcome)) }
      }, spanWhenSampled("Ledger.post"))

      const postAll = Effect.fn("Ledger.postAll")(function*(postings: ReadonlyArray<Posting>) {
        yield* Effect.annotateCurrentSpan({ "midnight.posting.set": postings.length })
        const isSet = postings.length > 0 && postings.length <= mostInSet && postings.every(isBalanced) &&
          new Set(postings.map(({ key }) => key)).size === postings.length
        if (!isSet) {
          return yield* Effect.die(new Error("a set of postings is empty, too long, unbalanced or repeats a key"))
        }
        const outcome = yield* writer.submit({ op: "set", commands: postings.map(commandOf) })
        if (outcome.outcome === "set_posted") {
          return outcome.members.map(({ at, id, outcome }) => ({
            id: TransferId.make(id),
            replayed: outcome === "replayed",
            at
          }))
        }
        const refused = outcome.outcome === "set_refused" ? postings[outcome.member] : undefined
        const why = outcome.outcome === "set_refused" ? outcome.why : outcome
        yield* accepted(why, refused?.legs[0]?.currency).pipe(
          Effect.mapError((reason) => new SetRefused({ key: refused?.key ?? "", reason }))
        )
        return yield* Effect.die(new Error(`the ledger answered ${outcome.outcome} to a set`))
      })

      const authorise = Effect.fn("Ledger.authorise")(
        function*(hold: Parameters<Ledger["Service"]["authorise"]>[0]) {
          yield* Effect.annotateCurrentSpan({ "midnight.hold.key": hold.key })
          const outcome = yield* writer.submit({
            op: "authorise",
            key: hold.key,
            ...hold.account,
            currency: hold.currency,
            amount: String(hold.amount),
            ...(hold.expiresAt === undefined ? {} : { expiresAt: DateTime.formatIso(hold.expiresAt) })
          })
          return { ...(yield* accepted(outcome, hold.currency)), id: HoldId.make(idOf(outcome)) }
        }
      )

      const capture = Effect.fn("Ledger.capture")(function*(request: Parameters<Ledger["Service"]["capture"]>[0]) {
        yield* Effect.annotateCurrentSpan({
          "midnight.posting.key": request.key,
          "midnight.posting.kind": request.kind
        })
        const outcome = yield* writer.submit({
          op: "capture",
          key: request.key,
          hold: request.hold,
          kind: request.kind,
          amount: String(request.amount),
          memo: Option.getOrNull(request.memo),
          reference: request.reference,
          to: request.to
        })
        yield* holdIsOpen(outcome)
        if (outcome.outcome === "hold_exceeded") {
          return yield* new HoldExceeded({ available: BigInt(outcome.available) })
        }
        return { ...(yield* accepted(outcome, request.currency)), id: TransferId.make(idOf(outcome)) }
      })

      const reverse = Effect.fn("Ledger.reverse")(function*(request: Parameters<Ledger["Service"]["reverse"]>[0]) {
        yield* Effect.annotateCurrentSpan({ "midnight.posting.key": request.key, "midnight.posting.kind": "reversal" })
        const outcome = yield* writer.submit({
          ...request,
          op: "reverse",
          amount: Option.getOrNull(Option.map(request.amount, String)),
          memo: null
        })
        if (outcome.outcome === "transfer_unknown") return yield* new NotFound({ detail: "There is no such transfer." })
        if (outcome.outcome === "reversal_exceeded") {
          return yield* new ReversalExceeded({
            detail: `${outcome.available} minor units are left to reverse.`,
            available: BigInt(outcome.available)
          })
        }
        return { ...(yield* accepted(outcome)), id: TransferId.make(idOf(outcome)) }
      })

      const voidHold = Effect.fn("Ledger.void")(function*(hold: string) {
        yield* holdIsOpen(yield* writer.submit({ op: "void", hold }))
      })

      const posted = Effect.fn("Ledger.posted")(function*(key: string, digest: string) {
        yield* Effect.annotateCurrentSpan({ "midnight.posting.key": key })
        const before = yield* withDatabase(store.posted(key))
        if (Option.isSome(before) && before.value.digest !== digest) return yield* new PostingConflict({})
        return Option.map(before, ({ id }) => id)
      })

      const balance = Effect.fn("Ledger.balance")(function*(account: Account, currency: Currency) {
        const [one] = yield* balances(account.kind, [{ owner: account.owner, currency }])
        return one ?? nothing
      })

      const balances = Effect.fn("Ledger.balances")(
        function*(kind: Account["kind"], of: ReadonlyArray<{ readonly owner: string; readonly currency: Currency }>) {
          if (of.length === 0) return []
          const rows = yield* withDatabase(store.accounts(kind, [...new Set(of.map((one) => one.owner))]))
          const known = new Map(rows.map((row) => [`${row.owner} ${row.currency}`, row]))
          return of.map(({ currency, owner }) => {
            const row = known.get(`${owner} ${currency}`)
            return row === undefined ? nothing : { ...row, available: row.balance - row.held }
          })
        }
      )

      return Ledger.of({ post, postAll, authorise, capture, reverse, void: voidHold, posted, balance, balances })
    })
  )
}

/** Each waits for the one before it while the ledger's lock is held. */
const mostInSet = 100

const commandOf = ({ digest, key, kind, legs, memo, reference }: Posting): TransferCommand => ({
  op: "transfer",
  key,
  ...(digest === undefined ? {} : { digest }),
  kind,
  memo: Option.getOrNull(memo),
  reference,
  legs: legs.map((leg) => ({ ...leg.account, currency: leg.currency, amount: String(leg.amount) }))
})

const nothing = { balance: 0n, held: 0n, available: 0n }
