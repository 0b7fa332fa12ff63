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

// Every row of the chain beside what stands before it. Nothing is before the first: its range begins with the lowest number,
// so that a transfer put in before all others is in a link as well.
const nothing = "decode(repeat('00', 32), 'hex')"
/** Links of the chain, each with what stands before it among them. */
export const chainOf = (links: string) =>
  `(SELECT *, lag(n, 1, 0::bigint) OVER w AS n_before, lag(last_seq, 1, -9223372036854775808) OVER w AS since,
            lag(hash, 1, ${nothing}) OVER w AS hash_before, lag(coalesce(seal, hash), 1, ${nothing}) OVER w AS head_before,
            lag(seal, 1, ${nothing}) OVER w AS seal_before
       FROM ${links} l WINDOW w AS (ORDER BY n))`
const chain = chainOf("wallet.chain")

// What a link says of itself.
const numbers = `sha256(convert_to(concat_ws('|', n, first_seq, last_seq, transfers,
                   trunc(extract(epoch FROM chained_at) * 1000000)), 'UTF8'))`

// The leaf of the transfer that is the `place`th of its link.
const kept = (leaves: string) => `substring(${leaves} FROM (32 * (place - 1) + 1)::int FOR 32)`

export const chainGaps = (chain: string) =>
  `SELECT broken FROM (
        SELECT 'link ' || n || ': follows ' || n_before || ' and seq ' || since AS broken, n AS place
          FROM ${chain} c WHERE n <> n_before::numeric + 1 OR first_seq <= since
        UNION ALL
        SELECT 'link ' || c.n || ': chained ' || c.transfers || ' transfers of seq ' || c.first_seq || ' to ' || c.last_seq
               || ', there are ' || count(t.id) || coalesce(' of ' || min(t.seq) || ' to ' || max(t.seq), ''), c.n
          FROM ${chain} c LEFT JOIN wallet.transfers t ON t.seq > c.since AND t.seq <= c.last_seq
         GROUP BY c.n, c.transfers, c.first_seq, c.last_seq
        HAVING count(t.id) <> c.transfers OR min(t.seq) IS DISTINCT FROM c.first_seq
            OR max(t.seq) IS DISTINCT FROM c.last_seq) q
      ORDER BY place, broken`

export const chainHashes = (chain: string) =>
  `SELECT broken FROM (
        SELECT 'link ' || n || ': its hash is not that of what it says' AS broken, n AS place, NULL::bigint AS at
          FROM ${chain} c
         WHERE CASE WHEN seal IS NULL
               THEN prev <> head_before OR hash <> sha256(prev || ${numbers} || leaves) OR seal_leaves IS NOT NULL
               ELSE prev <> hash_before OR hash <> sha256(prev || leaves) END
        UNION ALL
        SELECT 'link ' || n || ': its seal is not that of what it says', n, NULL
          FROM ${chain} c
         WHERE seal IS NOT NULL AND seal IS DISTINCT FROM sha256(seal_before || ${numbers} || seal_leaves || hash)
        UNION ALL
        SELECT 'transfer ' || t.id || ' (seq ' || t.seq || ', link ' || t.n || '): not what was chained', t.n, t.seq
          FROM (SELECT c.n, c.seal, c.seal_leaves, c.leaves, c.transfers, x.id, x.seq, x AS whole,
                       row_number() OVER (PARTITION BY c.n ORDER BY x.seq) AS place
                  FROM ${chain} c JOIN wallet.transfers x ON x.seq > c.since AND x.seq <= c.last_seq) t
         WHERE CASE WHEN place > transfers THEN true
               ELSE ${kept("coalesce(seal_leaves, leaves)")} <> wallet.leaf(whole)
                 OR (seal IS NOT NULL AND ${kept("leaves")} <> wallet.sealed_leaf(whole)) END) q
      ORDER BY place, at NULLS FIRST, broken`

/** Of the reversals `t` of which that is so. */
export const reversalsOf = (which: string) =>
  `SELECT 'transfer ' || r.reverses || ': gave ' || coalesce(moved, 0) || ' to account ' || r.account_id
        || ', of which ' || -r.back || ' came back by ' || r.by AS broken
      FROM (SELECT t.reverses, e.account_id, sum(e.amount) AS back, min(t.seq) AS first,
                   string_agg('transfer ' || t.id, ', ' ORDER BY t.seq) AS by
              FROM wallet.transfers t JOIN wallet.entries e ON e.transfer_id = t.id
             WHERE ${which} GROUP BY 1, 2) r
      LEFT JOIN wallet.transfers o ON o.id = r.reverses
      CROSS JOIN LATERAL (SELECT sum(e.amount) AS moved FROM wallet.entries e
                           WHERE e.transfer_id = r.reverses AND e.account_id = r.account_id) m
      WHERE o.id IS NULL OR o.reverses IS NOT NULL OR moved IS NULL OR moved * r.back >= 0 OR abs(r.back) > abs(moved)
      ORDER BY r.first, r.account_id`

// The invariants of the ledger, each as the query that finds what breaks it, the first row first. They are computed from the
// rows alone and share nothing with the function that posts. No edited value may make one fail: sums and differences
// of what has no bound are numeric, and times may be infinite.
const invariants = [
  {
    invariant: "I1",
    says:
      "every transfer has two entries or more that sum to zero in each currency, and no entry is without transfer or account, or of another kind",
    query: `SELECT broken FROM (
        SELECT 'transfer ' || t.id || ': ' || count(e.id) || ' entries, sum ' || coalesce(sum(e.amount), 0) AS broken,
               t.created_at, t.seq
          FROM wallet.transfers t LEFT JOIN wallet.entries e ON e.transfer_id = t.id
          LEFT JOIN wallet.accounts a ON a.id = e.account_id
         GROUP BY t.id, a.currency HAVING coalesce(sum(e.amount), 0) <> 0 OR count(e.id) < 2
        UNION ALL
        SELECT 'entry ' || e.id || ': of no transfer, ' || e.transfer_id, e.created_at, e.seq
          FROM wallet.entries e WHERE NOT EXISTS (SELECT FROM wallet.transfers t WHERE t.id = e.transfer_id)
        UNION ALL
        SELECT 'entry ' || e.id || ': of kind ' || coalesce(e.kind, 'transfer') || ', its transfer ' || t.id || ' of ' || t.kind,
               e.created_at, e.seq
          FROM wallet.entries e JOIN wallet.transfers t ON t.id = e.transfer_id
         WHERE e.kind IS DISTINCT FROM nullif(t.kind, 'transfer')
        UNION ALL
        SELECT 'entry ' || e.id || ': of no account, ' || e.account_id, e.created_at, e.seq
          FROM wallet.entries e WHERE NOT EXISTS (SELECT FROM wallet.accounts a WHERE a.id = e.account_id)) q
      ORDER BY created_at, seq, broken`
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
      WHERE a.balance <> coalesce(e.total, 0) OR a.held <> coalesce(h.total, 0)
      ORDER BY a.created_at, a.id`
  },
  {
    invariant: "I3",
    says: "no account is below its floor",
    query: `SELECT 'account ' || id || ': available ' || (balance::numeric - held) || ', floor ' || floor AS broken
      FROM wallet.accounts WHERE balance::numeric - held < floor ORDER BY created_at, id`
  },
  {
    invariant: "I4",
    says: "every key was posted once",
    query: `SELECT 'key ' || key || ': ' || count(*) || ' transfers' AS broken
      FROM wallet.transfers GROUP BY key HAVING count(*) > 1 ORDER BY min(seq)`
  },
  {
    invariant: "I6",
    says: "all accounts of a currency together hold zero",
    query: `SELECT 'currency ' || currency || ': ' || sum(balance) AS broken
      FROM wallet.accounts GROUP BY currency HAVING sum(balance) <> 0 ORDER BY currency`
  },
  {
    invariant: "I7",
    says: "the chain has no gap, and leaves no transfer out",
    query: chainGaps(chain)
  },
  {
    // A link that is older than migration 0025 is in two chains: the one it was made for, and that of the seals.
    invariant: "I8",
    says:
      "every link's hash is that of the link before, of what it says and its leaves, and every leaf that of its transfer",
    query: chainHashes(chain)
  },
  {
    invariant: "balance after",
    says: "every entry's balance is the one before it plus its amount",
    query:
      `SELECT 'entry ' || id || ' of account ' || account_id || ': ' || balance_after || ' after ' || before AS broken
      FROM (SELECT *, coalesce(lag(balance_after) OVER (PARTITION BY account_id ORDER BY created_at, seq), 0) AS before
              FROM wallet.entries) e
      WHERE balance_after <> before::numeric + amount ORDER BY created_at, seq`
  },
  {
    invariant: "held after",
    says:
      "what an account held after every change of a hold is what it held before and the change, up to what it holds",
    query: `SELECT broken FROM (
        SELECT 'account ' || account_id || ': ' || held_after || ' held after ' || before || ' at ' || at AS broken, at, seq
          FROM (SELECT *, coalesce(lag(held_after) OVER (PARTITION BY account_id ORDER BY at, seq), 0) AS before
                  FROM wallet.hold_changes) c
         WHERE held_after <> before::numeric + change
        UNION ALL
        SELECT 'hold ' || coalesce(h.id, c.hold_id) || ': ' || coalesce(c.total, 0) || ' of it noted as held', h.created_at, 0
          FROM wallet.holds h
          FULL JOIN (SELECT hold_id, account_id, sum(change) AS total FROM wallet.hold_changes GROUP BY 1, 2) c
            ON c.hold_id = h.id AND c.account_id = h.account_id
         WHERE coalesce(c.total, 0) IS DISTINCT FROM CASE WHEN h.status = 'open' THEN h.amount - h.captured ELSE 0 END) q
      ORDER BY at, seq, broken`
  },
  {
    invariant: "reversals",
    says: "no transfer is given back more than it moved, or to anybody else",
    query: reversalsOf("t.reverses IS NOT NULL")
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
          SELECT least(n, 9007199254740991)::float8 AS link, encode(hash, 'hex') AS hash FROM wallet.chain ORDER BY n DESC LIMIT 1`
        const [rest] = yield* sql<{ readonly unchained: number }>`
          SELECT count(*)::int AS unchained FROM wallet.transfers
          WHERE seq > coalesce((SELECT max(last_seq) FROM wallet.chain), 0)`
        const findings = yield* Effect.forEach(invariants, ({ invariant, query, says }) =>
          Effect.map(
            sql.unsafe<{ readonly broken: string }>(`${query} LIMIT 10`),
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
