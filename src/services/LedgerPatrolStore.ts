import { Context, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import { chainGaps, chainHashes, chainOf, reversalsOf } from "./LedgerAudit.ts"

interface Walk {
  readonly table: string
  /** What the table is walked by: its columns, and how a row's place is written as SQL. */
  readonly key: string
  readonly place: string
  readonly start: string
  /** How many rows of it a slice has at most, and which of so many is its last where that is not the last of them. */
  readonly most: number
  readonly last?: (rows: string) => string
  /** What is asked of the rows after one place and up to another. */
  readonly checks: (
    rows: string,
    after: string,
    upTo: string
  ) => ReadonlyArray<readonly [invariant: string, query: string]>
}

const number = "'-9223372036854775808'::bigint"
const nobody = "'00000000-0000-0000-0000-000000000000'::uuid"

/** The row before, of the same account; in another slice, perhaps. */
const running = (rows: string, table: string, at: string, total: string, change: string) =>
  `SELECT 'account ' || account_id || ': ' || ${total} || ' after ' || before || ' at ' || ${at} || ', seq ' || seq AS broken
     FROM (SELECT r.*, coalesce(lag(${total}) OVER (PARTITION BY account_id ORDER BY ${at}, seq),
                                (SELECT p.${total} FROM ${table} p
                                  WHERE p.account_id = r.account_id AND (p.${at}, p.seq) < (r.${at}, r.seq)
                                  ORDER BY p.${at} DESC, p.seq DESC LIMIT 1), 0) AS before FROM ${rows} r) r
    WHERE ${total} <> before::numeric + ${change}`

const transfers: Walk = {
  table: "wallet.transfers",
  key: "seq",
  place: "format('%L::bigint', seq)",
  start: number,
  most: 2_000,
  checks: (rows) => [
    [
      "I1",
      `SELECT 'transfer ' || t.id || ': ' || e.n || ' entries' AS broken FROM ${rows} t
        CROSS JOIN LATERAL (SELECT sum(c.n) AS n, bool_or(c.total <> 0 OR c.wrong) AS wrong
          FROM (SELECT count(*) AS n, sum(e.amount) AS total,
                       bool_or(a.id IS NULL OR e.kind IS DISTINCT FROM nullif(t.kind, 'transfer')) AS wrong
                  FROM wallet.entries e LEFT JOIN wallet.accounts a ON a.id = e.account_id
                 WHERE e.transfer_id = t.id GROUP BY a.currency) c) e
        WHERE coalesce(e.n, 0) < 2 OR e.wrong`
    ],
    [
      "I4",
      `SELECT 'key ' || t.key AS broken FROM ${rows} t
        WHERE EXISTS (SELECT FROM wallet.transfers o WHERE o.key = t.key AND o.seq <> t.seq)`
    ],
    ["reversals", reversalsOf(`t.reverses IN (SELECT s.reverses FROM ${rows} s WHERE s.reverses IS NOT NULL)`)]
  ]
}

const entries: Walk = {
  table: "wallet.entries",
  key: "(account_id, created_at, seq)",
  place: "format('(%L::uuid, %L::timestamptz, %L::bigint)', account_id, created_at, seq)",
  start: `(${nobody}, '-infinity'::timestamptz, ${number})`,
  most: 5_000,
  checks: (rows) => [
    [
      "I1",
      `SELECT 'entry ' || e.id || ': of no transfer or account' AS broken FROM ${rows} e
        WHERE NOT EXISTS (SELECT FROM wallet.transfers t WHERE t.id = e.transfer_id)
           OR NOT EXISTS (SELECT FROM wallet.accounts a WHERE a.id = e.account_id)`
    ],
    ["balance after", running(rows, "wallet.entries", "created_at", "balance_after", "amount")]
  ]
}

const holds: Walk = {
  ...entries,
  table: "wallet.hold_changes",
  key: "(account_id, at, seq)",
  place: "format('(%L::uuid, %L::timestamptz, %L::bigint)', account_id, at, seq)",
  checks: (rows) => [["held after", running(rows, "wallet.hold_changes", "at", "held_after", "change")]]
}

// With what the other walks find, the last balance is the sum of an account's entries.
const accounts: Walk = {
  table: "wallet.accounts",
  key: "id",
  place: "format('%L::uuid', id)",
  start: nobody,
  most: 2_000,
  checks: (rows) => [
    [
      "I2",
      `SELECT 'account ' || a.id || ': balance ' || a.balance || ', held ' || a.held AS broken FROM ${rows} a
        WHERE a.balance <> coalesce((SELECT e.balance_after FROM wallet.entries e WHERE e.account_id = a.id
                                      ORDER BY e.created_at DESC, e.seq DESC LIMIT 1), 0)
           OR a.held <> coalesce((SELECT c.held_after FROM wallet.hold_changes c WHERE c.account_id = a.id
                                   ORDER BY c.at DESC, c.seq DESC LIMIT 1), 0)
           OR a.held <> coalesce((SELECT sum(h.amount - h.captured) FROM wallet.holds h
                                   WHERE h.account_id = a.id AND h.status = 'open'), 0)`
    ],
    ["I3", `SELECT 'account ' || a.id AS broken FROM ${rows} a WHERE a.balance::numeric - a.held < a.floor`]
  ]
}

// A link has up to 5,000 transfers, and one by a server that has little to do has one: links of 2,000 in all, or a single one.
const links: Walk = {
  table: "wallet.chain",
  key: "n",
  place: "format('%L::bigint', n)",
  start: number,
  most: 50,
  last: (rows) =>
    `(SELECT n FROM (SELECT n, row_number() OVER w AS nth, sum(abs(transfers::numeric)) OVER w AS total
                       FROM ${rows} l WINDOW w AS (ORDER BY n)) l WHERE nth = 1 OR total <= 2000)`,
  checks: (_, after, upTo) => {
    const some = chainOf(
      `(SELECT * FROM wallet.chain WHERE n <= ${upTo}
           AND n >= coalesce((SELECT max(n) FROM wallet.chain WHERE n <= ${after}), ${number}))`
    )
    const chain = `(SELECT * FROM ${some} w WHERE n > ${after})`
    return [["I7", chainGaps(chain)], ["I8", chainHashes(chain)]]
  }
}

const walks = { transfers, entries, holds, accounts, links } as const
export type WalkName = keyof typeof walks
export const walkNames: ReadonlyArray<WalkName> = ["transfers", "entries", "holds", "accounts", "links"]

/** An invariant that does not hold, and the row that breaks it. */
export type Broken = readonly [invariant: string, row: string]

// Statistics may be older than the rows, and none of this is worth reading a whole table. Each slice is a fraction of a second.
const session = `SELECT set_config('statement_timeout', '10s', true), ${
  ["seqscan", "hashjoin", "mergejoin", "bitmapscan"].map((way) => `set_config('enable_${way}', 'off', true)`).join()
}`

/**
 * The audit in slices of a few thousand rows, each read by an index: for a server, which has other things to do. I6 is not
 * asked, since it follows from I1 and I2; whether each hold's own changes are what is left of it, only the whole audit tells.
 */
export class LedgerPatrolStore extends Context.Service<LedgerPatrolStore, {
  /** Where the slice ends that begins after a place, or at the beginning without one; none when nothing is left. */
  end(walk: WalkName, after: string | null): Effect.Effect<string | null, SqlError>
  /** What is broken in the rows after a place, up to another. */
  broken(walk: WalkName, after: string | null, upTo: string): Effect.Effect<ReadonlyArray<Broken>, SqlError>
}>()("midnight/services/wallet/LedgerPatrolStore") {
  static readonly layer = Layer.effect(
    LedgerPatrolStore,
    Effect.map(SqlClient.SqlClient, (sql) => {
      const end = Effect.fnUntraced(function*(name: WalkName, after: string | null) {
        const { key, last, most, place, start, table } = walks[name]
        yield* sql.unsafe(session).unprepared
        const rows = `(SELECT * FROM ${table} WHERE ${key} > ${after ?? start} ORDER BY ${
          key.replace(/[()]/g, "")
        } LIMIT ${most})`
        const [row] = yield* sql.unsafe<{ readonly place: string }>(
          `SELECT ${place} AS place FROM ${last?.(rows) ?? rows} r ORDER BY ${key} DESC LIMIT 1`
        ).unprepared
        return row?.place ?? null
      }, sql.withTransaction)

      const broken = Effect.fnUntraced(function*(name: WalkName, after: string | null, upTo: string) {
        const { checks, key, start, table } = walks[name]
        const from = after ?? start
        yield* sql.unsafe(session).unprepared
        const rows = `(SELECT * FROM ${table} WHERE ${key} > ${from} AND ${key} <= ${upTo})`
        const found = yield* Effect.forEach(checks(rows, from, upTo), ([invariant, query]) =>
          Effect.map(
            sql.unsafe<{ readonly broken: string }>(`${query} LIMIT 10`).unprepared,
            (found) => found.map((row): Broken => [invariant, row.broken])
          ))
        return found.flat()
      }, sql.withTransaction)

      return LedgerPatrolStore.of({ end, broken })
    })
  )
}
