import { Context, Effect, Layer, type Option, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import { TransferId, UserId, WalletId } from "../domain/Ids.ts"
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
  | {
    readonly op: "reverse"
    readonly key: string
    readonly digest: string
    readonly transfer: TransferId
    readonly amount: string | null
    readonly memo: string | null
    readonly reference: Readonly<Record<string, string>>
  }

/** The ledger's answer to one command of a batch. */
export const Outcome = Schema.Union([
  Schema.Struct({ outcome: Schema.Literals(["posted", "replayed"]), id: Schema.String, at: Schema.String }),
  Schema.Struct({
    outcome: Schema.Literals(["insufficient_funds", "hold_exceeded", "reversal_exceeded"]),
    available: Schema.Int
  }),
  Schema.Struct({ outcome: Schema.Literal("hold_closed"), status: Schema.String }),
  Schema.Struct({
    outcome: Schema.Literals(["key_reused", "hold_unknown", "transfer_unknown", "unbalanced", "balance_limit"])
  })
])
export type Outcome = typeof Outcome.Type

const WalletRow = Schema.Struct({
  id: WalletId,
  currency: Currency,
  balance: Schema.BigInt,
  held: Schema.BigInt
})
export type WalletRow = typeof WalletRow.Type

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
  /** The wallets of these members, each member's in the order of their currencies. */
  wallets(owners: ReadonlyArray<UserId>): Effect.Effect<ReadonlyMap<string, ReadonlyArray<WalletRow>>, SqlError>
  accounts(
    kind: Account["kind"],
    owners: ReadonlyArray<string>
  ): Effect.Effect<ReadonlyArray<WalletRow & { readonly owner: string }>, SqlError>
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
        Request: Schema.Array(UserId),
        Result: Schema.Struct({ ...WalletRow.fields, owner: Schema.String }),
        execute: (owners) =>
          sql`
          SELECT id, owner, currency::text, balance, held FROM wallet.accounts
          WHERE kind = 'wallet' AND owner = ANY(${[...owners]}::text[]) ORDER BY owner, currency`
      })

      const accounts = SqlSchema.findAll({
        Request: Schema.Struct({ kind: Schema.String, owners: Schema.Array(Schema.String) }),
        Result: Schema.Struct({ ...WalletRow.fields, owner: Schema.String }),
        execute: (a) =>
          sql`
          SELECT id, owner, currency::text, balance, held FROM wallet.accounts
          WHERE kind = ${a.kind} AND owner = ANY(${[...a.owners]}::text[])`
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

      return LedgerStore.of({
        post,
        expireHolds,
        alive: Effect.asVoid(sql`SELECT 1`),
        chain,
        wallets: (owners) => Effect.map(decoded(wallets(owners)), (rows) => Map.groupBy(rows, ({ owner }) => owner)),
        accounts: (kind, owners) => decoded(accounts({ kind, owners })),
        transfer: (id) => decoded(transfer(id))
      })
    })
  )
}
