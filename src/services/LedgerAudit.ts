import { Context, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import { Unavailable } from "../domain/Problem.ts"

export interface Finding {
  readonly invariant: string
  readonly says: string
  /** The first rows that break it, as text that names them; empty when it holds. */
  readonly broken: ReadonlyArray<string>
}

export interface AuditReport {
  readonly accounts: number
  readonly transfers: number
  readonly entries: number
  /** The newest link of the hash chain, in hex, and how many transfers are not yet in it. None before the first. */
  readonly head: { readonly link: number; readonly hash: string } | null
  readonly unchained: number
  readonly findings: ReadonlyArray<Finding>
}

// The invariants of the ledger, each as the query that finds what breaks it. They are computed from the rows alone and share
// nothing with the function that posts.
const invariants = [
  {
    invariant: "I1",
    says: "every transfer has two entries or more, and they sum to zero in each currency",
    query:
      `SELECT 'transfer ' || t.id || ': ' || count(e.id) || ' entries, sum ' || coalesce(sum(e.amount), 0) AS broken
      FROM wallet.transfers t LEFT JOIN wallet.entries e ON e.transfer_id = t.id
      LEFT JOIN wallet.accounts a ON a.id = e.account_id
      GROUP BY t.id, a.currency HAVING coalesce(sum(e.amount), 0) <> 0 OR count(e.id) < 2`
  },
  {
    invariant: "I2",
    says: "every balance is the sum of its entries, and what is held is the sum of its open holds",
    query: `SELECT 'account ' || a.id || ': balance ' || a.balance || ', entries ' || coalesce(e.total, 0)
        || ', held ' || a.held || ', open holds ' || coalesce(h.total, 0) AS broken
      FROM wallet.accounts a
      LEFT JOIN (SELECT account_id, sum(amount) AS total FROM wallet.entries GROUP BY 1) e ON e.account_id = a.id
      LEFT JOIN (SELECT account_id, sum(amount - captured) AS total FROM wallet.holds WHERE status = 'open' GROUP BY 1) h
        ON h.account_id = a.id
      WHERE a.balance <> coalesce(e.total, 0) OR a.held <> coalesce(h.total, 0)`
  },
  {
    invariant: "I3",
    says: "no account is below its floor",
    query: `SELECT 'account ' || id || ': available ' || (balance - held) || ', floor ' || floor AS broken
      FROM wallet.accounts WHERE balance - held < floor`
  },
  {
    invariant: "I4",
    says: "every key was posted once",
    query: `SELECT 'key ' || key || ': ' || count(*) || ' transfers' AS broken
      FROM wallet.transfers GROUP BY key HAVING count(*) > 1`
  },
  {
    invariant: "I6",
    says: "all accounts of a currency together hold zero",
    query: `SELECT 'currency ' || currency || ': ' || sum(balance) AS broken
      FROM wallet.accounts GROUP BY currency HAVING sum(balance) <> 0`
  },
  {
    invariant: "I7",
    says: "the chain has no gap, and leaves no transfer out",
    query: `SELECT broken FROM (
        SELECT 'link ' || n || ': follows ' || coalesce(lag(n) OVER (ORDER BY n), 0) || ' and seq '
               || coalesce(lag(last_seq) OVER (ORDER BY n), 0) AS broken, n AS place,
               n <> coalesce(lag(n) OVER (ORDER BY n), 0) + 1 OR first_seq <= coalesce(lag(last_seq) OVER (ORDER BY n), 0) AS bad
          FROM wallet.chain
        UNION ALL
        SELECT 'link ' || c.n || ': chained ' || c.transfers || ' transfers, there are ' || count(t.id), c.n,
               count(t.id) <> c.transfers
          FROM (SELECT *, lag(last_seq, 1, 0::bigint) OVER (ORDER BY n) AS since FROM wallet.chain) c
          LEFT JOIN wallet.transfers t ON t.seq > c.since AND t.seq <= c.last_seq
         GROUP BY c.n, c.transfers) q WHERE bad ORDER BY place`
  },
  {
    invariant: "I8",
    says: "every link's hash is that of the link before and its leaves, and every leaf that of its transfer",
    query: `SELECT broken FROM (
        SELECT 'link ' || n || ': its hash is not that of what it says' AS broken, n AS place, 0::bigint AS at
          FROM (SELECT *, lag(hash, 1, decode(repeat('00', 32), 'hex')) OVER (ORDER BY n) AS before FROM wallet.chain) c
         WHERE hash <> sha256(prev || leaves) OR prev <> before
        UNION ALL
        SELECT 'transfer ' || t.id || ' (seq ' || t.seq || ', link ' || t.n || '): not what was chained', t.n, t.seq
          FROM (SELECT c.n, c.leaves, x.*, row_number() OVER (PARTITION BY c.n ORDER BY x.seq) AS place
                  FROM wallet.chain c JOIN wallet.transfers x ON x.seq BETWEEN c.first_seq AND c.last_seq) t
          JOIN wallet.transfers whole ON whole.id = t.id
         WHERE substring(t.leaves FROM (32 * (t.place - 1) + 1)::int FOR 32) <> wallet.leaf(whole)) q
      ORDER BY place, at`
  },
  {
    invariant: "balance after",
    says: "every entry's balance is the one before it plus its amount",
    query:
      `SELECT 'entry ' || id || ' of account ' || account_id || ': ' || balance_after || ' after ' || before AS broken
      FROM (SELECT *, coalesce(lag(balance_after) OVER (PARTITION BY account_id ORDER BY created_at, seq), 0) AS before
              FROM wallet.entries) e
      WHERE balance_after <> before + amount`
  }
]

/** Checks the books. Reads everything in one snapshot, so a busy ledger is judged as it stood at one instant. */
export class LedgerAudit extends Context.Service<LedgerAudit, {
  readonly run: Effect.Effect<AuditReport, SqlError>
  /** The same for a caller that knows no SQL; a busy or large ledger may take minutes. */
  readonly report: Effect.Effect<AuditReport, Unavailable>
}>()("midnight/services/wallet/LedgerAudit") {
  static readonly layer = Layer.effect(
    LedgerAudit,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const run = Effect.fn("LedgerAudit.run")(function*() {
        yield* sql`SET LOCAL statement_timeout = '10min'`
        yield* sql`SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY`
        const [size] = yield* sql<{ readonly accounts: number; readonly transfers: number; readonly entries: number }>`
          SELECT (SELECT count(*)::int FROM wallet.accounts) AS accounts,
                 (SELECT count(*)::int FROM wallet.transfers) AS transfers,
                 (SELECT count(*)::int FROM wallet.entries) AS entries`
        const [head] = yield* sql<{ readonly link: number; readonly hash: string }>`
          SELECT n::int AS link, encode(hash, 'hex') AS hash FROM wallet.chain ORDER BY n DESC LIMIT 1`
        const [rest] = yield* sql<{ readonly unchained: number }>`
          SELECT count(*)::int AS unchained FROM wallet.transfers
          WHERE seq > coalesce((SELECT max(last_seq) FROM wallet.chain), 0)`
        const findings = yield* Effect.forEach(invariants, ({ invariant, query, says }) =>
          Effect.map(
            sql.unsafe<{ readonly broken: string }>(`SELECT broken FROM (${query}) q LIMIT 10`),
            (rows): Finding => ({ invariant, says, broken: rows.map((row) => row.broken) })
          ))
        const unchained = rest?.unchained ?? 0
        return { accounts: 0, transfers: 0, entries: 0, ...size, head: head ?? null, unchained, findings }
      }, sql.withTransaction)
      const away = new Unavailable({ detail: "The database did not answer.", retry_after: 5 })
      return LedgerAudit.of({
        run: run(),
        report: Effect.catch(run(), (error) => error.isRetryable ? Effect.fail(away) : Effect.die(error))
      })
    })
  )
}
