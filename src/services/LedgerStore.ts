import { Context, Effect, Layer, type Option, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import { TransferId, UserId, WalletId } from "../domain/Ids.ts"
import { Currency } from "../domain/Money.ts"
import { type Account, TransferKind } from "../domain/Wallet.ts"
import { decoded } from "./Database.ts"
import { Outcome } from "./LedgerOutcome.ts"

export interface TransferCommand {
  readonly op: "transfer"
  readonly key: string
  readonly digest?: string
  readonly kind: TransferKind
  readonly memo: string | null
  readonly reference: Readonly<Record<string, string>>
  readonly legs: ReadonlyArray<Account & { readonly currency: Currency; readonly amount: string }>
}

/** What `wallet.post` takes; see migrations/0002_ledger_exact.ts and 0026_ledger_sets.ts. Amounts travel as text, exact at any size. */
export type LedgerCommand =
  | TransferCommand
  | (Account & {
    readonly op: "authorise"
    readonly key: string
    readonly currency: Currency
    readonly amount: string
    readonly expiresAt?: string
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
  | { readonly op: "set"; readonly commands: ReadonlyArray<TransferCommand> }
  | {
    readonly op: "reverse"
    readonly key: string
    readonly digest: string
    readonly transfer: TransferId
    readonly amount: string | null
    readonly memo: string | null
    readonly reference: Readonly<Record<string, string>>
  }

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

const decodeOutcomes = Schema.decodeUnknownEffect(
  Schema.fromJsonString(Schema.Struct({ outcomes: Schema.Array(Outcome) }))
)

interface Batch {
  readonly at: string
  /** The ids of all, as PostgreSQL writes an array; null when not all could be posted, and so none was. */
  readonly ids: string | null
  /** The numbers, from 1 on, of those that have to be decided one by one. */
  readonly suspects: ReadonlyArray<number> | null
}

/** The only home of SQL on the ledger. */
export class LedgerStore extends Context.Service<LedgerStore, {
  /**
   * An outcome for each command, in order. Transfers are one statement and one commit, all of them; where some cannot be posted
   * the others are, and those are decided one by one in a commit of their own, like every command that is no transfer.
   */
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
  /** What was posted under a key, and the digest that a repetition must bring, in hex. */
  posted(key: string): Effect.Effect<Option.Option<{ readonly id: TransferId; readonly digest: string }>, SqlError>
}>()("midnight/services/wallet/LedgerStore") {
  static readonly layer = Layer.effect(
    LedgerStore,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient

      const decide = Effect.fnUntraced(function*(commands: ReadonlyArray<LedgerCommand>) {
        const rows = yield* sql<{ readonly answer: string }>`
          SELECT wallet.post(${JSON.stringify(commands)}::text::jsonb)::text AS answer`
        return (yield* Effect.orDie(decodeOutcomes(rows[0]?.answer))).outcomes
      })

      const postAll = (transfers: ReadonlyArray<TransferCommand>) => {
        const c = columnsOf(transfers)
        return Effect.map(
          sql<Batch>`
          SELECT to_json(at) #>> '{}' AS at, ids::text AS ids, suspects FROM wallet.post_transfers(
            ${c.keys}::text[], ${c.digests}::text[], ${c.contents}::text[], ${c.kinds}::text[], ${c.memos}::text[],
            ${c.references}::text[], ${c.legTransfers}::int[], ${c.legKinds}::text[], ${c.legOwners}::text[],
            ${c.legCurrencies}::text[], ${c.legAmounts}::text[]::bigint[])`,
          ([batch]) => batch ?? { at: "", ids: null, suspects: null }
        )
      }

      const postTransfers = Effect.fnUntraced(function*(transfers: ReadonlyArray<TransferCommand>) {
        const outcomes = new Map<LedgerCommand, Outcome>()
        const note = (all: ReadonlyArray<TransferCommand>, { at, ids }: Batch) => {
          if (ids === null) return false
          ids.slice(1, -1).split(",").forEach((id, i) => {
            const command = all[i]
            if (command !== undefined) outcomes.set(command, { outcome: "posted", id, at })
          })
          return true
        }
        const batch = transfers.length === 0 ? undefined : yield* postAll(transfers)
        if (batch === undefined || note(transfers, batch)) return outcomes
        const suspects = new Set(batch.suspects)
        const others = transfers.filter((_, i) => !suspects.has(i + 1))
        // None suspected means that the batch cannot tell which: each is then decided alone.
        if (others.length > 0 && others.length < transfers.length) note(others, yield* postAll(others))
        return outcomes
      })

      const post = Effect.fn("LedgerStore.post")(function*(commands: ReadonlyArray<LedgerCommand>) {
        const outcomes = yield* postTransfers(commands.filter((command) => command.op === "transfer"))
        const rest = commands.filter((command) => !outcomes.has(command))
        if (rest.length > 0) {
          const decided = yield* decide(rest)
          decided.forEach((outcome, i) => {
            const command = rest[i]
            if (command !== undefined) outcomes.set(command, outcome)
          })
        }
        return commands.flatMap((command) => outcomes.get(command) ?? [])
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

      const posted = SqlSchema.findOneOption({
        Request: Schema.String,
        Result: Schema.Struct({ id: TransferId, digest: Schema.String }),
        execute: (key) => sql`SELECT id, encode(digest, 'hex') AS digest FROM wallet.transfers WHERE key = ${key}`
      })

      return LedgerStore.of({
        post,
        expireHolds,
        alive: Effect.asVoid(sql`SELECT 1`),
        chain,
        wallets: (owners) => Effect.map(decoded(wallets(owners)), (rows) => Map.groupBy(rows, ({ owner }) => owner)),
        accounts: (kind, owners) => decoded(accounts({ kind, owners })),
        transfer: (id) => decoded(transfer(id)),
        posted: (key) => decoded(posted(key))
      })
    })
  )
}

/** Transfers as the columns that `wallet.post_transfers` takes. */
const columnsOf = (transfers: ReadonlyArray<TransferCommand>) => {
  const legs = transfers.flatMap((transfer, i) => transfer.legs.map((leg) => ({ ...leg, transfer: i + 1 })))
  return {
    keys: transfers.map(({ key }) => key),
    digests: transfers.map(({ digest }) => digest ?? ""),
    contents: transfers.map((transfer) => transfer.digest === undefined ? JSON.stringify(transfer) : ""),
    kinds: transfers.map(({ kind }) => kind),
    memos: transfers.map(({ memo }) => memo ?? ""),
    references: transfers.map(({ reference }) => JSON.stringify(reference)),
    legTransfers: legs.map(({ transfer }) => transfer),
    legKinds: legs.map(({ kind }) => kind),
    legOwners: legs.map(({ owner }) => owner),
    legCurrencies: legs.map(({ currency }) => currency),
    legAmounts: legs.map(({ amount }) => amount)
  }
}
