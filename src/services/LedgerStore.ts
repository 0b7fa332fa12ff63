import { Context, DateTime, Effect, Layer, Option, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import { EntryId, TransferId, UserId, WalletId } from "../domain/Ids.ts"
import { Currency } from "../domain/Money.ts"
import { type Account, TransferKind } from "../domain/Wallet.ts"
import { decoded } from "./Database.ts"

/** What `wallet.post` takes; see migrations/0002_ledger_post.ts. Amounts travel as text, exact at any size. */
export type LedgerCommand =
  | {
    readonly op: "transfer"
    readonly key: string
    readonly digest?: string
    readonly kind: TransferKind
    readonly memo: string | null
    readonly reference: Readonly<Record<string, string>>
    readonly legs: ReadonlyArray<Account & { readonly currency: Currency; readonly amount: string }>
  }
  | (Account & {
    readonly op: "authorise"
    readonly key: string
    readonly currency: Currency
    readonly amount: string
  })
  | {
    readonly op: "capture"
    readonly key: string
    readonly hold: string
    readonly kind: TransferKind
    readonly amount: string
    readonly memo: string | null
    readonly reference: Readonly<Record<string, string>>
    readonly to: Account
  }
  | { readonly op: "void"; readonly hold: string }

/** The ledger's answer to one command of a batch. */
export const Outcome = Schema.Union([
  Schema.Struct({ outcome: Schema.Literals(["posted", "replayed"]), id: Schema.String, at: Schema.String }),
  Schema.Struct({ outcome: Schema.Literals(["insufficient_funds", "hold_exceeded"]), available: Schema.Int }),
  Schema.Struct({ outcome: Schema.Literal("hold_closed"), status: Schema.String }),
  Schema.Struct({ outcome: Schema.Literals(["key_reused", "hold_unknown", "unbalanced", "balance_limit"]) })
])
export type Outcome = typeof Outcome.Type

const WalletRow = Schema.Struct({
  id: WalletId,
  currency: Currency,
  balance: Schema.BigInt,
  held: Schema.BigInt
})
export type WalletRow = typeof WalletRow.Type

const EntryRow = Schema.Struct({
  id: EntryId,
  seq: Schema.BigInt,
  position: Schema.String,
  transferId: TransferId,
  kind: TransferKind,
  amount: Schema.BigInt,
  currency: Currency,
  balanceAfter: Schema.BigInt,
  memo: Schema.OptionFromNullOr(Schema.String),
  createdAt: Schema.DateTimeUtcFromDate
})
export type EntryRow = typeof EntryRow.Type

const TransferRow = Schema.Struct({
  id: TransferId,
  kind: TransferKind,
  amount: Schema.BigInt,
  currency: Currency,
  fromUserId: UserId,
  toUserId: UserId,
  memo: Schema.OptionFromNullOr(Schema.String),
  createdAt: Schema.DateTimeUtcFromDate
})
export type TransferRow = typeof TransferRow.Type

/** Which entries of a user to list: newest first, older than `before` (an entry's position), at most `limit`. */
export interface EntryFilter {
  readonly userId: UserId
  readonly currency: Option.Option<Currency>
  readonly kind: Option.Option<TransferKind>
  readonly from: Option.Option<DateTime.Utc>
  readonly to: Option.Option<DateTime.Utc>
  readonly before: Option.Option<{ readonly at: string; readonly seq: string }>
  readonly limit: number
}

/** Either every command was posted, and these are their ids, or each has an outcome of its own. */
const Answer = Schema.Union([
  Schema.Struct({ at: Schema.String, ids: Schema.Array(Schema.String) }),
  Schema.Struct({ outcomes: Schema.Array(Outcome) })
])
const decodeAnswer = Schema.decodeUnknownEffect(Schema.fromJsonString(Answer))

/** The only home of SQL on the ledger. */
export class LedgerStore extends Context.Service<LedgerStore, {
  /** One statement, one commit: an outcome for each command, in order. */
  post(commands: ReadonlyArray<LedgerCommand>): Effect.Effect<ReadonlyArray<Outcome>, SqlError>
  readonly expireHolds: Effect.Effect<number, SqlError>
  readonly alive: Effect.Effect<void, SqlError>
  /** Chains what was posted since the last link, at most so many transfers; answers how many. */
  chain(most: number): Effect.Effect<number, SqlError>
  wallets(owner: UserId): Effect.Effect<ReadonlyArray<WalletRow>, SqlError>
  accounts(
    kind: Account["kind"],
    owners: ReadonlyArray<string>
  ): Effect.Effect<ReadonlyArray<WalletRow & { readonly owner: string }>, SqlError>
  entries(filter: EntryFilter): Effect.Effect<ReadonlyArray<EntryRow>, SqlError>
  transfer(id: TransferId): Effect.Effect<Option.Option<TransferRow>, SqlError>
}>()("midnight/services/wallet/LedgerStore") {
  static readonly layer = Layer.effect(
    LedgerStore,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient

      const post = Effect.fn("LedgerStore.post")(function*(commands: ReadonlyArray<LedgerCommand>) {
        const rows = yield* sql<{ readonly answer: string }>`
          SELECT wallet.post(${JSON.stringify(commands)}::text::jsonb)::text AS answer`
        const answer = yield* Effect.orDie(decodeAnswer(rows[0]?.answer))
        if ("outcomes" in answer) return answer.outcomes
        return answer.ids.map((id) => ({ outcome: "posted" as const, id, at: answer.at }))
      })

      const expireHolds = Effect.map(
        sql<{ readonly n: number }>`SELECT wallet.expire_holds(500) AS n`,
        (rows) => rows[0]?.n ?? 0
      )

      const chain = (most: number) =>
        Effect.map(sql<{ readonly n: number }>`SELECT wallet.chain_next(${most}) AS n`, (rows) => rows[0]?.n ?? 0)

      const wallets = SqlSchema.findAll({
        Request: UserId,
        Result: WalletRow,
        execute: (owner) =>
          sql`
          SELECT id, currency::text, balance, held FROM wallet.accounts
          WHERE kind = 'wallet' AND owner = ${owner} ORDER BY currency`
      })

      const accounts = SqlSchema.findAll({
        Request: Schema.Struct({ kind: Schema.String, owners: Schema.Array(Schema.String) }),
        Result: Schema.Struct({ ...WalletRow.fields, owner: Schema.String }),
        execute: (a) =>
          sql`
          SELECT id, owner, currency::text, balance, held FROM wallet.accounts
          WHERE kind = ${a.kind} AND ${sql.in("owner", a.owners)}`
      })

      const entryRows = SqlSchema.findAll({
        Request: Schema.Struct({
          userId: UserId,
          currency: Schema.NullOr(Currency),
          kind: Schema.NullOr(TransferKind),
          from: Schema.NullOr(Schema.String),
          to: Schema.NullOr(Schema.String),
          beforeAt: Schema.NullOr(Schema.String),
          beforeSeq: Schema.NullOr(Schema.String),
          limit: Schema.Int
        }),
        Result: EntryRow,
        // One bounded index scan per wallet of the user, merged: a single scan over all entries of several accounts would
        // have to sort them.
        execute: (f) =>
          sql`
          SELECT e.id, e.seq, to_char(e.created_at, 'YYYY-MM-DD"T"HH24:MI:SS.USOF') AS position,
                 e.transfer_id AS "transferId", t.kind, e.amount, e.currency::text AS currency,
                 e.balance_after AS "balanceAfter", t.memo, e.created_at AS "createdAt"
          FROM wallet.accounts a
          CROSS JOIN LATERAL (
            SELECT x.*, a.currency FROM wallet.entries x
            WHERE x.account_id = a.id
              AND (${f.from}::timestamptz IS NULL OR x.created_at >= ${f.from}::timestamptz)
              AND (${f.to}::timestamptz IS NULL OR x.created_at < ${f.to}::timestamptz)
              AND (${f.beforeAt}::timestamptz IS NULL
                   OR (x.created_at, x.seq) < (${f.beforeAt}::timestamptz, ${f.beforeSeq}::bigint))
              AND (${f.kind}::text IS NULL
                   OR (SELECT k.kind FROM wallet.transfers k WHERE k.id = x.transfer_id) = ${f.kind}::text)
            ORDER BY x.created_at DESC, x.seq DESC LIMIT ${f.limit}
          ) e
          JOIN wallet.transfers t ON t.id = e.transfer_id
          WHERE a.kind = 'wallet' AND a.owner = ${f.userId}
            AND (${f.currency}::text IS NULL OR a.currency = ${f.currency}::text)
          ORDER BY e.created_at DESC, e.seq DESC LIMIT ${f.limit}`
      })

      const transfer = SqlSchema.findOneOption({
        Request: TransferId,
        Result: TransferRow,
        execute: (id) =>
          sql`
          SELECT t.id, t.kind, c.amount, ca.currency::text AS currency, da.owner AS "fromUserId",
                 ca.owner AS "toUserId", t.memo, t.created_at AS "createdAt"
          FROM wallet.transfers t
          JOIN wallet.entries d ON d.transfer_id = t.id AND d.amount < 0
          JOIN wallet.accounts da ON da.id = d.account_id AND da.kind = 'wallet'
          JOIN wallet.entries c ON c.transfer_id = t.id AND c.amount > 0
          JOIN wallet.accounts ca ON ca.id = c.account_id AND ca.kind = 'wallet'
          WHERE t.id = ${id}`
      })

      const text = (at: Option.Option<DateTime.Utc>) => Option.getOrNull(Option.map(at, DateTime.formatIso))

      return LedgerStore.of({
        post,
        expireHolds,
        alive: Effect.asVoid(sql`SELECT 1`),
        chain,
        wallets: (owner) => decoded(wallets(owner)),
        accounts: (kind, owners) => decoded(accounts({ kind, owners })),
        entries: (f) =>
          decoded(entryRows({
            userId: f.userId,
            currency: Option.getOrNull(f.currency),
            kind: Option.getOrNull(f.kind),
            from: text(f.from),
            to: text(f.to),
            beforeAt: Option.getOrNull(Option.map(f.before, (p) => p.at)),
            beforeSeq: Option.getOrNull(Option.map(f.before, (p) => p.seq)),
            limit: f.limit
          })),
        transfer: (id) => decoded(transfer(id))
      })
    })
  )
}
