import { Context, DateTime, Effect, Layer, Option, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import { EntryId, TransferId, UserId } from "../domain/Ids.ts"
import { Currency } from "../domain/Money.ts"
import { TransferKind } from "../domain/Wallet.ts"
import { decoded } from "./Database.ts"

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

const ActRow = Schema.Struct({
  id: TransferId,
  seq: Schema.BigInt,
  kind: Schema.Literals(["adjustment", "reversal"]),
  amount: Schema.BigInt,
  currency: Currency,
  reverses: Schema.OptionFromNullOr(TransferId),
  reason: Schema.String,
  by: UserId,
  createdAt: Schema.DateTimeUtcFromDate
})
export type ActRow = typeof ActRow.Type

const Standing = Schema.Struct({ balance: Schema.BigInt, held: Schema.BigInt })

/** What the ledger was: entries, balances at an instant, and the acts of administrators. Reads only. */
export class LedgerHistoryStore extends Context.Service<LedgerHistoryStore, {
  entries(filter: EntryFilter): Effect.Effect<ReadonlyArray<EntryRow>, SqlError>
  /** The wallet as it stood at an instant: one look each at its last entry before, and at the last change of a hold of its. */
  standing(owner: UserId, currency: Currency, at: DateTime.Utc): Effect.Effect<typeof Standing.Type, SqlError>
  /**
   * The wallet as it stands, and when: by the clock that entries are dated by, which this process's own may lag behind. That clock
   * may have been set back, and the last entries be ahead of it by up to an hour. An instant has milliseconds only, so it
   * is the end of the present one, or of theirs, and whatever was counted is before it.
   */
  standingNow(
    owner: UserId,
    currency: Currency
  ): Effect.Effect<typeof Standing.Type & { readonly at: DateTime.Utc }, SqlError>
  /** Adjustments and reversals, newest first. */
  acts(before: Option.Option<bigint>, limit: number): Effect.Effect<ReadonlyArray<ActRow>, SqlError>
  act(id: TransferId): Effect.Effect<Option.Option<ActRow>, SqlError>
}>()("midnight/services/wallet/LedgerHistoryStore") {
  static readonly layer = Layer.effect(
    LedgerHistoryStore,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient

      // An entry of a plain transfer has no kind, and needs no index of its kind: it is found among all entries.
      const ofKind = Option.match({
        onNone: () => sql``,
        onSome: (kind: TransferKind) => kind === "transfer" ? sql`AND x.kind IS NULL` : sql`AND x.kind = ${kind}`
      })

      const entryRows = (kind: EntryFilter["kind"]) =>
        SqlSchema.findAll({
          Request: Schema.Struct({
            userId: UserId,
            currency: Schema.NullOr(Currency),
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
                ${ofKind(kind)}
              ORDER BY x.created_at DESC, x.seq DESC LIMIT ${f.limit}
            ) e
            JOIN wallet.transfers t ON t.id = e.transfer_id
            WHERE a.kind = 'wallet' AND a.owner = ${f.userId}
              AND (${f.currency}::text IS NULL OR a.currency = ${f.currency}::text)
            ORDER BY e.created_at DESC, e.seq DESC LIMIT ${f.limit}`
        })

      const standing = SqlSchema.findOne({
        Request: Schema.Struct({ owner: UserId, currency: Currency, at: Schema.String }),
        Result: Standing,
        execute: ({ at, currency, owner }) =>
          sql`
          SELECT coalesce((SELECT e.balance_after FROM wallet.entries e
                            WHERE e.account_id = a.id AND e.created_at <= ${at}::timestamptz
                            ORDER BY e.created_at DESC, e.seq DESC LIMIT 1), 0) AS balance,
                 coalesce((SELECT c.held_after FROM wallet.hold_changes c
                            WHERE c.account_id = a.id AND c.at <= ${at}::timestamptz
                            ORDER BY c.at DESC, c.seq DESC LIMIT 1), 0) AS held
          FROM (SELECT 1) one
          LEFT JOIN wallet.accounts a ON a.kind = 'wallet' AND a.owner = ${owner} AND a.currency = ${currency}`
      })

      const standingNow = SqlSchema.findOne({
        Request: Schema.Struct({ owner: UserId, currency: Currency }),
        Result: Schema.Struct({ ...Standing.fields, at: Schema.DateTimeUtcFromDate }),
        execute: ({ currency, owner }) =>
          sql`
          SELECT coalesce(a.balance, 0) AS balance, coalesce(a.held, 0) AS held,
                 date_trunc('milliseconds', greatest(
                   clock_timestamp(),
                   (SELECT e.created_at FROM wallet.entries e
                     WHERE e.account_id = a.id AND e.created_at < now() + interval '1 hour'
                     ORDER BY e.created_at DESC, e.seq DESC LIMIT 1),
                   (SELECT c.at FROM wallet.hold_changes c
                     WHERE c.account_id = a.id AND c.at < now() + interval '1 hour'
                     ORDER BY c.at DESC, c.seq DESC LIMIT 1)
                 )) + interval '1 millisecond' AS at
          FROM (SELECT 1) one
          LEFT JOIN wallet.accounts a ON a.kind = 'wallet' AND a.owner = ${owner} AND a.currency = ${currency}`
      })

      const actColumns = sql.literal(`t.id, t.seq, t.kind,
        (SELECT CASE t.kind WHEN 'reversal' THEN sum(e.amount) FILTER (WHERE e.amount > 0)
                            ELSE sum(e.amount) FILTER (WHERE a.kind = 'wallet') END
           FROM wallet.entries e JOIN wallet.accounts a ON a.id = e.account_id
          WHERE e.transfer_id = t.id)::bigint AS amount,
        (SELECT min(a.currency::text) FROM wallet.entries e JOIN wallet.accounts a ON a.id = e.account_id
          WHERE e.transfer_id = t.id) AS currency,
        t.reverses, t.reference->>'reason' AS reason, t.reference->>'by' AS by, t.created_at AS "createdAt"`)

      const acts = SqlSchema.findAll({
        Request: Schema.Struct({ before: Schema.NullOr(Schema.String), limit: Schema.Int }),
        Result: ActRow,
        execute: ({ before, limit }) =>
          sql`
          SELECT ${actColumns} FROM wallet.transfers t
          WHERE t.kind IN ('adjustment', 'reversal') AND (${before}::bigint IS NULL OR t.seq < ${before}::bigint)
          ORDER BY t.seq DESC LIMIT ${limit}`
      })

      const act = SqlSchema.findOneOption({
        Request: TransferId,
        Result: ActRow,
        execute: (id) =>
          sql`
          SELECT ${actColumns} FROM wallet.transfers t
          WHERE t.id = ${id} AND t.kind IN ('adjustment', 'reversal')`
      })

      const text = (at: Option.Option<DateTime.Utc>) => Option.getOrNull(Option.map(at, DateTime.formatIso))

      return LedgerHistoryStore.of({
        entries: (f) =>
          decoded(
            entryRows(f.kind)({
              userId: f.userId,
              currency: Option.getOrNull(f.currency),
              from: text(f.from),
              to: text(f.to),
              beforeAt: Option.getOrNull(Option.map(f.before, (p) => p.at)),
              beforeSeq: Option.getOrNull(Option.map(f.before, (p) => p.seq)),
              limit: f.limit
            })
          ),
        standing: (owner, currency, at) =>
          decoded(standing({ owner, currency, at: DateTime.formatIso(at) })).pipe(
            Effect.catchTag("NoSuchElementError", () => Effect.succeed({ balance: 0n, held: 0n }))
          ),
        // It is one row whatever the wallet.
        standingNow: (owner, currency) =>
          decoded(standingNow({ owner, currency })).pipe(Effect.catchTag("NoSuchElementError", Effect.die)),
        acts: (before, limit) => decoded(acts({ before: Option.getOrNull(Option.map(before, String)), limit })),
        act: (id) => decoded(act(id))
      })
    })
  )
}
