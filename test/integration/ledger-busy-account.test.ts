import { PgConnection } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { DateTime, Effect, Layer, Option, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { UserId } from "../../src/domain/Ids.ts"
import { pool } from "../../src/layers/Pools.ts"
import { type EntryFilter, LedgerHistoryStore } from "../../src/services/LedgerHistoryStore.ts"
import { PgTest } from "../layers/PgTest.ts"
import { testConfig } from "../layers/TestConfig.ts"

const Ground = LedgerHistoryStore.layer.pipe(
  Layer.provideMerge(pool("wallet")),
  Layer.provide(testConfig()),
  Layer.provideMerge(PgTest.layer)
)

const busy = UserId.make("018f0000-0000-7000-8000-00000000000b")

// One account that everybody pays, among others of which the average one has a hundredth. Entries are stored in the order of their
// time, as a ledger's are: by account, they lie together or not as the accounts' ids happen to fall, and the plan changes with it.
const filled = Effect.gen(function*() {
  const connection = yield* PgConnection.make({ url: (yield* PgTest).ownerUrl })
  const run = (statement: string) => connection.query(statement, [], false)
  yield* run(
    `INSERT INTO wallet.accounts (id, kind, owner, currency, floor, created_at)
       SELECT gen_random_uuid(), 'wallet', gen_random_uuid()::text, 'NGN', 0, '2026-01-01'::timestamptz FROM generate_series(0, 199)
       UNION ALL SELECT gen_random_uuid(), 'wallet', '${busy}', 'NGN', 0, '2026-01-01'
       UNION ALL SELECT gen_random_uuid(), 'clearing', 'sandbox', 'NGN', NULL, '2026-01-01'`
  )
  yield* run(
    `CREATE TEMP TABLE fresh AS
       SELECT n, gen_random_uuid() AS id, '2026-01-01'::timestamptz + n * interval '1 minute' AS at,
              CASE WHEN n % 5000 = 7 THEN 'payout' ELSE 'transfer' END AS kind,
              CASE WHEN n % 5 <> 0 THEN (SELECT id FROM wallet.accounts WHERE owner = '${busy}') ELSE a.id END AS payee
         FROM generate_series(1, 25000) n
         LEFT JOIN (SELECT row_number() OVER () - 1 AS nth, id FROM wallet.accounts WHERE owner <> '${busy}' AND kind = 'wallet') a
             ON a.nth = n / 5 % 200`
  )
  yield* run(
    `WITH booked AS (INSERT INTO wallet.transfers (id, key, digest, kind, created_at)
                       SELECT id, 'transfer:' || n, sha256(''), kind, at FROM fresh)
     INSERT INTO wallet.entries (account_id, created_at, id, transfer_id, amount, balance_after, kind)
       SELECT payee, at, gen_random_uuid(), id, 1, n, nullif(kind, 'transfer') FROM fresh
       UNION ALL SELECT (SELECT id FROM wallet.accounts WHERE kind = 'clearing'), at, gen_random_uuid(), id, -1, -n,
                        nullif(kind, 'transfer') FROM fresh ORDER BY at`
  )
  yield* run(
    `INSERT INTO wallet.hold_changes (account_id, at, hold_id, change, held_after)
       SELECT payee, at, id, 1, n FROM fresh WHERE n % 5 <> 0`
  )
  yield* run("ANALYZE wallet.accounts, wallet.transfers, wallet.entries, wallet.hold_changes")
}).pipe(Effect.scoped)

const Read = Schema.decodeUnknownSync(Schema.Tuple([Schema.Struct({ rows: Schema.Int })]))

/** How many rows of the ledger's long tables a read takes from them, and what it answers. */
const reading = Effect.fnUntraced(function*<A, E, R>(read: Effect.Effect<A, E, R>) {
  const sql = yield* SqlClient.SqlClient
  // By the counts of its own transaction, that is its own connection.
  // An index scan counts at its index, every other one at the table.
  const count = Effect.map(
    sql`
      SELECT (SELECT sum(pg_stat_get_xact_tuples_fetched(t) + pg_stat_get_xact_tuples_returned(t))
                FROM unnest('{wallet.entries, wallet.hold_changes}'::regclass[]) t)::int
           + (SELECT sum(pg_stat_get_xact_tuples_returned(indexrelid)) FROM pg_index
               WHERE indrelid = ANY ('{wallet.entries, wallet.hold_changes}'::regclass[]))::int AS rows`,
    (counts) => Read(counts)[0].rows
  )
  return yield* sql.withTransaction(Effect.gen(function*() {
    const before = yield* count
    const answer = yield* read
    return { answer, rows: (yield* count) - before }
  }))
})

layer(Ground, { timeout: "60 seconds", excludeTestServices: true })("a busy account among many", (it) => {
  it.effect("is read entry by entry as far as the answer goes, whatever its history", () =>
    Effect.gen(function*() {
      yield* filled
      const history = yield* LedgerHistoryStore
      const page: EntryFilter = {
        userId: busy,
        currency: Option.none(),
        kind: Option.none(),
        from: Option.none(),
        to: Option.none(),
        before: Option.none(),
        limit: 21
      }
      const asked: ReadonlyArray<readonly [Partial<EntryFilter>, entries: number]> = [
        [{}, 21],
        [{ limit: 1_000 }, 1_000],
        [{ before: Option.some({ at: "2026-01-08T00:00:00Z", seq: "1" }) }, 21],
        [{ from: Option.some(DateTime.makeUnsafe("2026-01-02T00:00:00Z")) }, 21],
        [{ to: Option.some(DateTime.makeUnsafe("2026-01-02T00:00:00Z")) }, 21],
        [{ kind: Option.some("transfer") }, 21],
        [{ kind: Option.some("payout") }, 5],
        [{ kind: Option.some("fee") }, 0]
      ]
      for (const [filter, entries] of asked) {
        const { answer, rows } = yield* reading(history.entries({ ...page, ...filter }))
        assert.lengthOf(answer, entries)
        assert.isAtMost(rows, entries + 2, JSON.stringify(filter))
      }
      const instant = DateTime.makeUnsafe("2026-01-08T00:00:00Z")
      const { answer, rows } = yield* reading(history.standing(busy, "NGN", instant))
      assert.deepStrictEqual(answer, { balance: 10_079n, held: 10_079n })
      assert.isAtMost(rows, 4)
    }))
})
