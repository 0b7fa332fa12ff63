import { PgConnection } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Logger, Metric } from "effect"
import { patrol } from "../../src/layers/LedgerPatrol.ts"
import { pool } from "../../src/layers/Pools.ts"
import { WalletLive } from "../../src/layers/WalletLive.ts"
import { Health } from "../../src/services/Health.ts"
import { LedgerPatrolStore, type WalkName } from "../../src/services/LedgerPatrolStore.ts"
import { Users } from "../../src/services/Users.ts"
import { PgTest } from "../layers/PgTest.ts"
import { testConfig } from "../layers/TestConfig.ts"

const broken = (walk: WalkName) =>
  Metric.gauge("midnight.ledger.broken_invariants", {
    description: "Invariants of the ledger that the last look through a part of it found broken; 0 is well",
    attributes: { walk }
  })

layer(PgTest.layer, { timeout: "60 seconds", excludeTestServices: true })("a server", (it) => {
  it.effect("looks through the ledger by itself after its start, and counts what it finds broken", () =>
    Effect.gen(function*() {
      const owner = yield* PgConnection.make({ url: (yield* PgTest).ownerUrl })
      yield* owner.query(
        `INSERT INTO wallet.accounts (id, kind, owner, currency, balance, floor, created_at)
           VALUES (gen_random_uuid(), 'wallet', 'from-nowhere', 'NGN', 5, 0, now())`
      )
      const server = WalletLive.pipe(
        Layer.provide([Health.layer, Layer.mock(Users, {})]),
        Layer.provide(testConfig({ AUDIT_AFTER: "0 seconds" }))
      )
      yield* Layer.build(server)
      const seen = Effect.andThen(owner.query("SELECT 1"), Metric.value(broken("accounts")))
      const { value } = yield* Effect.repeat(seen, { until: (gauge) => gauge.value > 0 })
      assert.strictEqual(value, 1)
    }))
})

const asOwner = Effect.fnUntraced(function*(statements: ReadonlyArray<string>) {
  const connection = yield* PgConnection.make({ url: (yield* PgTest).ownerUrl })
  for (const statement of statements) yield* connection.query(statement, [], false)
}, Effect.scoped)

const account = (n: string) => `('00000000-0000-7000-8000-' || lpad(to_hex(${n}), 12, '0'))::uuid`

// Two slices of accounts, three of transfers and five of links. What is wrong: an account of the first slice, a link of the
// second, a transfer of the third.
const ledger = [
  ...["accounts", "transfers", "entries", "holds", "chain"].map((table) =>
    `ALTER TABLE wallet.${table} DISABLE TRIGGER ALL`
  ),
  `INSERT INTO wallet.accounts (id, kind, owner, currency, balance, floor, created_at)
     SELECT ${account("n")}, CASE n WHEN 1 THEN 'clearing' ELSE 'wallet' END, 'owner-' || n, 'NGN',
            CASE n WHEN 1 THEN -4000 WHEN 2 THEN 4000 WHEN 3 THEN 5 ELSE 0 END, CASE n WHEN 1 THEN NULL ELSE 0 END, now()
       FROM generate_series(1::integer, 2500) n`,
  `INSERT INTO wallet.transfers (id, key, digest, kind, created_at)
     SELECT ${
    account("n")
  }, 'transfer-' || n, sha256(''), 'transfer', '2026-01-01'::timestamptz + n * interval '1 second'
       FROM generate_series(1::integer, 4001) n`,
  `INSERT INTO wallet.entries (account_id, created_at, id, transfer_id, amount, balance_after)
     SELECT ${account("side")}, '2026-01-01'::timestamptz + n * interval '1 second', gen_random_uuid(), ${account("n")},
            CASE side WHEN 1 THEN -1 ELSE 1 END, CASE side WHEN 1 THEN -n ELSE n END
       FROM generate_series(1::integer, 4000) n, generate_series(1::integer, 2) side ORDER BY n, side`,
  "ANALYZE wallet.transfers, wallet.entries",
  // Fifteen that are almost a slice together, one that is more than a slice, and a hundred and one of one transfer each.
  "SELECT wallet.chain_next(100) FROM generate_series(1, 15)",
  "SELECT wallet.chain_next(2400)",
  "SELECT wallet.chain_next(1) FROM generate_series(1, 101)",
  "UPDATE wallet.chain SET hash = set_byte(hash, 0, get_byte(hash, 0) # 1) WHERE n = 16"
]

/** One look through the ledger, without rests: what it says of it, and the gauges, which were all 7 before it. */
const round = Effect.gen(function*() {
  const walks = ["transfers", "entries", "holds", "accounts", "links"] as const
  for (const walk of walks) yield* Metric.update(broken(walk), 7)
  const said: Array<string> = []
  const capture = Logger.layer([Logger.make(({ message }) => said.push(String(message)))])
  yield* Effect.provide(patrol(0), capture)
  const gauges = yield* Effect.forEach(walks, (walk) => Metric.value(broken(walk)))
  const says = /^the audit (found .* broken|could not look at .*?),/
  return { said: said.flatMap((line) => says.exec(line)?.[1] ?? []), gauges: gauges.map(({ value }) => value) }
})

const Ground = LedgerPatrolStore.layer.pipe(
  Layer.provide(pool("wallet")),
  Layer.provide(testConfig()),
  Layer.provideMerge(PgTest.layer)
)

layer(Ground, { timeout: "60 seconds", excludeTestServices: true })("a look through the ledger", (it) => {
  it.effect("takes its walks in turns, so that a long one keeps nothing back that another finds", () =>
    Effect.gen(function*() {
      yield* asOwner(ledger)
      assert.deepStrictEqual(yield* round, {
        said: ["found I2 broken", "found I8 broken", "found I1 broken"],
        gauges: [1, 0, 0, 1, 1]
      })
    }))

  it.effect("takes as many links at once as have a slice's transfers, one at least and fifty at most", () =>
    Effect.gen(function*() {
      const { end } = yield* LedgerPatrolStore
      const ends: Array<string> = []
      for (let last = yield* end("links", null); last !== null; last = yield* end("links", last)) ends.push(last)
      assert.deepStrictEqual(ends, [15, 16, 66, 116, 117].map((n) => `'${n}'::bigint`))
    }))

  it.effect("goes on behind what it cannot read, says so once for each walk, and does not call that well", () =>
    Effect.gen(function*() {
      yield* asOwner([
        // Only the walk of the transfers asks for it, in every slice.
        "ALTER TABLE wallet.entries RENAME COLUMN kind TO sort",
        // Nobody but its owner can read the hold of an account of the first slice.
        `INSERT INTO wallet.holds (id, key, digest, account_id, amount, status, created_at, updated_at)
           VALUES (gen_random_uuid(), 'poison', sha256(''), ${account("4")}, 1, 'open', now(), now())`,
        "ALTER TABLE wallet.holds ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY unreadable ON wallet.holds USING (1 / (length(key) - length('poison')) IS NOT NULL)",
        `UPDATE wallet.accounts SET balance = 5 WHERE id = ${account("2400")}`
      ])
      assert.deepStrictEqual(yield* round, {
        said: [
          "could not look at a part of the ledger's transfers",
          "could not look at a part of the ledger's accounts",
          "found I2 broken",
          "found I8 broken"
        ],
        gauges: [7, 0, 0, 1, 1]
      })
    }))
})
