import * as PgConnection from "@effect/sql-pg/PgConnection"
import { Effect, Redacted } from "effect"
import type { Say } from "./groups.ts"

const opening = `SELECT wallet.post(jsonb_agg(jsonb_build_object(
    'op', 'transfer', 'key', 'growth:opening:' || n, 'kind', 'charge', 'legs', jsonb_build_array(
      jsonb_build_object('kind', 'clearing', 'owner', 'bench', 'currency', 'NGN', 'amount', '-1000000000'),
      jsonb_build_object('kind', 'wallet', 'owner', '018f0000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'),
                         'currency', 'NGN', 'amount', '1000000000')))))::text
    FROM generate_series($1::int, $2::int - 1) n`

// Where the members' wallets are, and the transfers of the batch that is being made.
const scratch = [
  "SET synchronous_commit = off",
  "SET work_mem = '64MB'",
  "SET temp_buffers = '64MB'",
  `CREATE TEMP TABLE wallets AS SELECT row_number() OVER (ORDER BY id)::int AS n, id FROM wallet.accounts
    WHERE kind = 'wallet'`,
  "CREATE UNIQUE INDEX ON wallets (n)",
  "CREATE TEMP TABLE fresh (n int, id uuid, payer uuid, payee uuid, amount bigint)",
  "ANALYZE wallets"
]

const fillBatch = [
  "BEGIN",
  "SELECT pg_advisory_xact_lock(6148914691236517204)",
  "TRUNCATE fresh",
  `INSERT INTO fresh SELECT p.n, uuidv7(), a.id, b.id, p.amount
     FROM (SELECT n, random(1, $2::int) AS payer, random(1, $2::int - 1) AS step, random(1, 100) AS amount
             FROM generate_series(1, $1::int) n) p
     JOIN wallets a ON a.n = p.payer JOIN wallets b ON b.n = 1 + (p.payer - 1 + p.step) % $2::int`,
  // In one statement, which the ledger's triggers judge as a whole.
  `WITH booked AS (
     INSERT INTO wallet.transfers (id, key, digest, kind, created_at)
     SELECT id, 'transfer:' || id, sha256(uuid_send(id)), 'transfer', now() FROM fresh ORDER BY n)
   INSERT INTO wallet.entries (account_id, created_at, id, transfer_id, amount, balance_after)
   SELECT l.account, now(), uuidv7(), l.transfer, l.amount,
          a.balance + sum(l.amount) OVER (PARTITION BY l.account ORDER BY l.n)
     FROM (SELECT n, payer AS account, id AS transfer, -amount AS amount FROM fresh
           UNION ALL SELECT n, payee, id, amount FROM fresh) l
     JOIN wallet.accounts a ON a.id = l.account
    ORDER BY l.account, l.n`,
  `UPDATE wallet.accounts a SET balance = a.balance + l.delta
     FROM (SELECT account, sum(amount) AS delta
             FROM (SELECT payer AS account, -amount AS amount FROM fresh UNION ALL SELECT payee, amount FROM fresh) x
            GROUP BY account) l WHERE a.id = l.account`,
  "COMMIT"
]

/**
 * Fills a migrated, empty ledger with so many entries: members with money, numbered as in members.ts, who pay each other at
 * random. What it leaves is what `wallet.post` would have left, in the order of time and sequence with the balance after
 * each entry; the ledger's triggers stay on and judge it, and `npm run audit` finds it clean. Batches of 50,000 transfers
 * bound what a commit and its sorting need, and in each an account's entries lie together, which fills indexes page by
 * page. Needs the owner's connection string.
 */
export const fill = (url: string, entries: number, members: number, say: Say): Promise<void> =>
  Effect.runPromise(Effect.scoped(Effect.gen(function*() {
    const connection = yield* PgConnection.make({ url: Redacted.make(url) })
    for (let from = 0; from < members; from += 500) {
      yield* connection.query(opening, [from, Math.min(members, from + 500)])
    }
    for (const statement of scratch) yield* connection.query(statement, [], false)
    const transfers = Math.max(0, Math.floor(entries / 2) - members)
    const began = performance.now()
    for (let done = 0; done < transfers; done += 50_000) {
      const size = Math.min(50_000, transfers - done)
      for (const statement of fillBatch) {
        yield* connection.query(statement, statement.includes("$1") ? [size, members] : [])
      }
      const made = (2 * (members + done + size)).toLocaleString("en-US")
      const seconds = ((performance.now() - began) / 1_000).toFixed(0)
      say(`growth: ${made} of ${entries.toLocaleString("en-US")} entries, ${seconds} s`)
    }
    yield* connection.query("VACUUM (ANALYZE) wallet.accounts, wallet.transfers, wallet.entries", [], false)
    yield* connection.query("CHECKPOINT", [], false)
  })))
