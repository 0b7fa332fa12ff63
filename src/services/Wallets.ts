import { Context, DateTime, Effect, Layer, Option, Result, Schema, Stream } from "effect"
import type { TransferId, UserId } from "../domain/Ids.ts"
import { RangeReversed } from "../domain/LedgerAdmin.ts"
import { Amount, type Currency, UnsupportedCurrency } from "../domain/Money.ts"
import { IdempotencyKeyReused, MoneyRequest } from "../domain/MoneyRequest.ts"
import { cursorOf, cut, PositionInstant, PositionNumber } from "../domain/Page.ts"
import { type InvalidRequest, NotFound, type Unavailable } from "../domain/Problem.ts"
import {
  between,
  type PostingConflict,
  SameAccount,
  type Transfer,
  type TransferKind,
  type TransferRequest,
  walletOf
} from "../domain/Wallet.ts"
import { withDatabase } from "./Database.ts"
import { gathered } from "./Gathered.ts"
import { Ledger, type PostError } from "./Ledger.ts"
import { type EntryRow, LedgerHistoryStore } from "./LedgerHistoryStore.ts"
import { LedgerStore, type TransferRow, type WalletRow } from "./LedgerStore.ts"
import { spanWhenSampled } from "./TraceContext.ts"
import { Users } from "./Users.ts"

type TransferError =
  | Exclude<PostError, PostingConflict>
  | IdempotencyKeyReused
  | NotFound
  | SameAccount
  | UnsupportedCurrency

const position = cursorOf(Schema.Struct({ at: PositionInstant, seq: PositionNumber }))

/** A line of a statement. */
export type StatementEntry = EntryRow

/** What members do with their wallets. */
export class Wallets extends Context.Service<Wallets, {
  list(owner: UserId): Effect.Effect<ReadonlyArray<WalletRow>, Unavailable>
  entries(query: {
    readonly userId: UserId
    readonly currency: Option.Option<Currency>
    readonly kind: Option.Option<TransferKind>
    readonly from: Option.Option<DateTime.Utc>
    readonly to: Option.Option<DateTime.Utc>
    readonly cursor: string | undefined
    readonly limit: number
  }): Effect.Effect<
    { readonly items: ReadonlyArray<EntryRow>; readonly nextCursor: string | null },
    InvalidRequest | RangeReversed | Unavailable
  >
  /** The wallet as it stood at an instant; now, when none is given. */
  balance(owner: UserId, currency: Currency, at: Option.Option<DateTime.Utc>): Effect.Effect<
    { readonly balance: bigint; readonly held: bigint; readonly at: DateTime.Utc },
    Unavailable
  >
  /** Every entry of a wallet in a range, newest first, read page by page as it is consumed: no connection waits for a slow reader. */
  statement(query: {
    readonly userId: UserId
    readonly currency: Currency
    readonly from: Option.Option<DateTime.Utc>
    readonly to: Option.Option<DateTime.Utc>
  }): Effect.Effect<Stream.Stream<EntryRow, Unavailable>, RangeReversed>
  /** Sends money to another member, by id or by e-mail. An unknown recipient is NotFound. */
  transfer(
    request: TransferRequest
  ): Effect.Effect<Transfer, TransferError, MoneyRequest>
  /** A transfer between members, for the two of them; NotFound for everybody else. */
  find(id: TransferId, viewer: UserId): Effect.Effect<TransferRow, NotFound | Unavailable>
}>()("midnight/services/wallet/Wallets") {
  static readonly layer = (currencies: ReadonlyArray<Currency>) =>
    Layer.effect(
      Wallets,
      Effect.gen(function*() {
        const ledger = yield* Ledger
        const store = yield* LedgerStore
        const history = yield* LedgerHistoryStore
        const users = yield* Users

        // Everybody looks at their wallet all the time, so many are looked at at once.
        const walletsOf = yield* gathered((owners: ReadonlyArray<UserId>) => withDatabase(store.wallets(owners)))
        const list = (owner: UserId) =>
          spanWhenSampled("Wallets.list")(
            Effect.map(walletsOf(owner), Option.getOrElse((): ReadonlyArray<WalletRow> => []))
          )

        const entries = Effect.fn("Wallets.entries")(function*(query: Parameters<Wallets["Service"]["entries"]>[0]) {
          yield* inOrder(query)
          const after = yield* position.decode(query.cursor)
          const rows = yield* withDatabase(history.entries({
            ...query,
            before: Option.map(after, ({ at, seq }) => ({ at, seq: String(seq) })),
            limit: query.limit + 1
          }))
          return yield* cut(rows, query.limit, (last) => position.encode({ at: last.position, seq: last.seq }))
        })

        const recipientOf = Effect.fnUntraced(function*(request: TransferRequest, sender: UserId) {
          if (!currencies.includes(request.currency)) {
            return yield* new UnsupportedCurrency({ currency: request.currency, allowed: [...currencies] })
          }
          const found = "toUserId" in request
            ? (yield* users.exists(request.toUserId)) ? Option.some(request.toUserId) : Option.none()
            : yield* users.findByEmail(request.toEmail)
          if (Option.isNone(found)) return yield* unknownRecipient
          return found.value === sender ? yield* new SameAccount({}) : found.value
        })

        const balance = Effect.fn("Wallets.balance")(
          function*(owner: UserId, currency: Currency, at: Option.Option<DateTime.Utc>) {
            if (Option.isNone(at)) return yield* withDatabase(history.standingNow(owner, currency))
            return { ...(yield* withDatabase(history.standing(owner, currency, at.value))), at: at.value }
          }
        )

        const statement = Effect.fnUntraced(function*(query: Parameters<Wallets["Service"]["statement"]>[0]) {
          yield* inOrder(query)
          type Before = Option.Option<{ readonly at: string; readonly seq: string }>
          const start: Before = Option.none()
          return Stream.paginate(start, (before) =>
            Effect.map(
              withDatabase(history.entries({
                userId: query.userId,
                currency: Option.some(query.currency),
                kind: Option.none(),
                from: query.from,
                to: query.to,
                before,
                limit: statementPage
              })),
              (rows) => {
                const last = rows.at(-1)
                const next: Option.Option<Before> = last === undefined || rows.length < statementPage
                  ? Option.none()
                  : Option.some(Option.some({ at: last.position, seq: String(last.seq) }))
                return [rows, next] as const
              }
            ))
        })

        const find = Effect.fn("Wallets.find")(function*(id: TransferId, viewer: UserId) {
          const row = yield* withDatabase(store.transfer(id))
          if (Option.isNone(row) || (row.value.fromUserId !== viewer && row.value.toUserId !== viewer)) {
            return yield* new NotFound({})
          }
          return row.value
        })

        // What was posted then, and not what the same words would mean today: an address may have changed hands.
        const again = Effect.fnUntraced(function*(id: TransferId, viewer: UserId) {
          yield* (yield* MoneyRequest).replayed
          const row = yield* find(id, viewer)
          return { ...row, amount: Amount.make(row.amount), memo: Option.getOrNull(row.memo) }
        })

        const transfer = Effect.fnUntraced(
          function*(request: TransferRequest) {
            const { digest, scope, userId } = yield* MoneyRequest
            const key = `transfer:${scope}`
            const recipient = yield* Effect.result(recipientOf(request, userId))
            if (Result.isFailure(recipient)) {
              // A retry whose recipient has left since, or its currency, still asks for what was posted.
              const before = yield* recipient.failure._tag === "Unavailable" ? noneKnown : ledger.posted(key, digest)
              return Option.isSome(before) ? yield* again(before.value, userId) : yield* recipient.failure
            }
            const [toUserId, { amount }] = [recipient.success, request]
            const posted = yield* ledger.post(between({
              key,
              digest,
              kind: "transfer",
              from: walletOf(userId),
              to: walletOf(toUserId),
              amount,
              currency: request.currency,
              memo: Option.fromUndefinedOr(request.memo)
            }))
            if (posted.replayed) return yield* again(posted.id, userId)
            return {
              id: posted.id,
              kind: "transfer" as const,
              amount,
              currency: request.currency,
              fromUserId: userId,
              toUserId,
              memo: request.memo ?? null,
              createdAt: DateTime.makeUnsafe(posted.at)
            }
          },
          Effect.catchTag("PostingConflict", keyReused),
          spanWhenSampled("Wallets.transfer")
        )

        return Wallets.of({ list, entries, balance, statement, transfer, find })
      })
    )
}

const statementPage = 1_000

const inOrder = ({ from, to }: {
  readonly from: Option.Option<DateTime.Utc>
  readonly to: Option.Option<DateTime.Utc>
}): Effect.Effect<void, RangeReversed> =>
  Option.isSome(from) && Option.isSome(to) && DateTime.isGreaterThanOrEqualTo(from.value, to.value)
    ? Effect.fail(new RangeReversed({ detail: "`from` must be before `to`." }))
    : Effect.void

const noneKnown = Effect.succeed(Option.none<TransferId>())

const keyReused = () => new IdempotencyKeyReused({ detail: "Take a new key for a new request." })

const unknownRecipient = new NotFound({ detail: "There is no such recipient." })
