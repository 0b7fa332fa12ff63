import { PgConnection } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { Effect, Exit, Layer, Option } from "effect"
import { CampaignId, UserId } from "../../src/domain/Ids.ts"
import { Amount } from "../../src/domain/Money.ts"
import { between, clearingOf, escrowOf, walletOf } from "../../src/domain/Wallet.ts"
import { WalletLive } from "../../src/layers/WalletLive.ts"
import { Health } from "../../src/services/Health.ts"
import { Ledger } from "../../src/services/Ledger.ts"
import { newId } from "../../src/services/NewId.ts"
import { Users } from "../../src/services/Users.ts"
import { PgTest } from "../layers/PgTest.ts"
import { testConfig } from "../layers/TestConfig.ts"

// The ledger knows no users: any id may own a wallet. Who exists is asked by transfers between members only.
const everybody = Layer.mock(Users, {})

const Ground = WalletLive.pipe(
  Layer.provide([Health.layer, everybody]),
  Layer.provide(testConfig()),
  Layer.provideMerge(PgTest.layer)
)

const amount = (n: number) => Amount.make(BigInt(n))

const charge = Effect.fnUntraced(function*(to: UserId, n: number, key?: string) {
  const ledger = yield* Ledger
  return yield* ledger.post(between({
    key: key ?? `charge:${to}`,
    kind: "charge",
    from: clearingOf("sandbox"),
    to: walletOf(to),
    amount: amount(n),
    currency: "NGN"
  }))
})

const pay = Effect.fnUntraced(function*(from: UserId, to: UserId, n: number, key: string) {
  const ledger = yield* Ledger
  return yield* ledger.post(between({
    key,
    kind: "transfer",
    from: walletOf(from),
    to: walletOf(to),
    amount: amount(n),
    currency: "NGN"
  }))
})

const availableOf = (user: UserId) =>
  Effect.flatMap(Ledger, (ledger) => Effect.map(ledger.balance(walletOf(user), "NGN"), (b) => Number(b.available)))

const asRole = Effect.fnUntraced(function*(role: string, statement: string) {
  const pg = yield* PgTest
  const url = role === "owner" ? pg.ownerUrl : pg.urlFor(role)
  const connection = yield* PgConnection.make({ url })
  return yield* connection.query(statement, [])
}, Effect.scoped)

layer(Ground, { timeout: "60 seconds" })("the ledger", (it) => {
  it.effect("posts once per key and answers a repetition with the same transfer", () =>
    Effect.gen(function*() {
      const user = yield* newId(UserId)
      const first = yield* charge(user, 500)
      const second = yield* charge(user, 500)
      assert.strictEqual(second.id, first.id)
      assert.deepStrictEqual([first.replayed, second.replayed], [false, true])
      assert.strictEqual(yield* availableOf(user), 500)
    }))

  it.effect("refuses a key that comes back with other content", () =>
    Effect.gen(function*() {
      const user = yield* newId(UserId)
      yield* charge(user, 500)
      const again = yield* Effect.flip(charge(user, 501))
      assert.strictEqual(again._tag, "PostingConflict")
      assert.strictEqual(yield* availableOf(user), 500)
    }))

  it.effect("lets exactly ten of twenty parallel debits of 10 through when 100 are there", () =>
    Effect.gen(function*() {
      const [from, to] = [yield* newId(UserId), yield* newId(UserId)]
      yield* charge(from, 100)
      const exits = yield* Effect.forEach(
        Array.from({ length: 20 }, (_, i) => i),
        (i) => Effect.exit(pay(from, to, 10, `transfer:${from}-${i}`)),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(exits.filter(Exit.isSuccess).length, 10)
      assert.deepStrictEqual([yield* availableOf(from), yield* availableOf(to)], [0, 100])
    }))

  it.effect("makes one transfer of fifty equal requests at once", () =>
    Effect.gen(function*() {
      const [from, to] = [yield* newId(UserId), yield* newId(UserId)]
      yield* charge(from, 100)
      const posted = yield* Effect.all(
        Array.from({ length: 50 }, () => pay(from, to, 30, `transfer:${from}`)),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(new Set(posted.map((p) => p.id)).size, 1)
      assert.strictEqual(posted.filter((p) => !p.replayed).length, 1)
      assert.strictEqual(yield* availableOf(to), 30)
    }))

  it.effect("opens no wallet for a transfer that is refused", () =>
    Effect.gen(function*() {
      const [from, to] = [yield* newId(UserId), yield* newId(UserId)]
      const refused = yield* Effect.flip(pay(from, to, 1, `transfer:${from}`))
      assert.strictEqual(refused._tag, "InsufficientFunds")
      const rows = yield* asRole("wallet", `SELECT 1 FROM wallet.accounts WHERE owner IN ('${from}', '${to}')`)
      assert.strictEqual(rows.rows.length, 0)
    }))

  it.effect("holds, captures once and releases the rest", () =>
    Effect.gen(function*() {
      const ledger = yield* Ledger
      const [sponsor, member] = [yield* newId(UserId), yield* newId(UserId)]
      const escrow = escrowOf(CampaignId.make(sponsor))
      yield* charge(sponsor, 1000)
      yield* ledger.post(between({
        key: `fund:${sponsor}`,
        kind: "escrow",
        from: walletOf(sponsor),
        to: escrow,
        amount: amount(1000),
        currency: "NGN"
      }))
      const hold = (n: number) =>
        ledger.authorise({ key: `slot:${sponsor}-${n}`, account: escrow, amount: amount(400), currency: "NGN" })
      yield* hold(1)
      yield* hold(2)
      const third = yield* Effect.flip(hold(3))
      assert.strictEqual(third._tag, "InsufficientFunds")
      const capture = ledger.capture({
        key: `reward:${sponsor}`,
        hold: `slot:${sponsor}-1`,
        kind: "reward",
        amount: amount(400),
        currency: "NGN",
        to: walletOf(member),
        memo: Option.none(),
        reference: {}
      })
      const paid = yield* capture
      assert.strictEqual((yield* capture).id, paid.id)
      yield* ledger.void(`slot:${sponsor}-2`)
      yield* ledger.void(`slot:${sponsor}-2`)
      assert.strictEqual((yield* Effect.flip(ledger.void(`slot:${sponsor}-1`)))._tag, "HoldClosed")
      const left = yield* ledger.balance(escrow, "NGN")
      assert.deepStrictEqual([left.balance, left.held, left.available], [600n, 0n, 600n])
      assert.strictEqual(yield* availableOf(member), 400)
    }))

  it.effect("keeps one faulty command from failing its neighbours", () =>
    Effect.gen(function*() {
      const ledger = yield* Ledger
      const users = yield* Effect.all(Array.from({ length: 5 }, () => newId(UserId)))
      const tooLong = ledger.post({
        ...between({
          key: `charge:${users[0]}`,
          kind: "charge",
          from: clearingOf("sandbox"),
          to: walletOf(users[0] ?? UserId.make("")),
          amount: amount(1),
          currency: "NGN"
        }),
        memo: Option.some("x".repeat(281))
      })
      const [faulty, ...good] = yield* Effect.all(
        [Effect.exit(tooLong), ...users.slice(1).map((user) => Effect.exit(charge(user, 7)))],
        { concurrency: "unbounded" }
      )
      assert.isTrue(faulty !== undefined && Exit.isFailure(faulty))
      assert.isTrue(good.every(Exit.isSuccess))
    }))

  it.effect("refuses the app's role every write but the ledger's own functions", () =>
    Effect.gen(function*() {
      for (
        const statement of [
          "INSERT INTO wallet.accounts (id, kind, owner, currency, floor, created_at) VALUES (gen_random_uuid(), 'wallet', 'x', 'NGN', 0, now())",
          "UPDATE wallet.accounts SET balance = balance + 1",
          "UPDATE wallet.holds SET status = 'voided'",
          "UPDATE wallet.hold_changes SET held_after = 0",
          "DELETE FROM wallet.hold_changes",
          "DELETE FROM wallet.entries",
          "UPDATE wallet.entries SET amount = 1",
          "INSERT INTO wallet.transfers (id, key, digest, kind, created_at) VALUES (gen_random_uuid(), 'a:b', sha256(''), 'transfer', now())",
          "TRUNCATE wallet.entries",
          "ALTER TABLE wallet.entries DISABLE TRIGGER ALL",
          "SELECT wallet.uuid7()"
        ]
      ) {
        const refused = yield* Effect.flip(asRole("wallet", statement))
        assert.match(String(refused.reason.cause), /permission denied|must be owner/, statement)
      }
    }))

  it.effect("lets no other bulkhead take the lock that postings follow one another by", () =>
    Effect.gen(function*() {
      for (const role of ["identity", "payments", "video_worker"]) {
        for (const take of ["pg_advisory_lock", "pg_try_advisory_lock_shared", "pg_advisory_xact_lock"]) {
          const refused = yield* Effect.flip(asRole(role, `SELECT ${take}(6148914691236517204)`))
          assert.match(String(refused.reason.cause), /permission denied/, `${role} ${take}`)
        }
      }
    }))

  it.effect("refuses the owner an unbalanced transfer, a transfer without entries, and any edit", () =>
    Effect.gen(function*() {
      const user = yield* newId(UserId)
      yield* charge(user, 50)
      const account = `(SELECT id FROM wallet.accounts WHERE owner = '${user}')`
      const oneLegged = `WITH t AS (INSERT INTO wallet.transfers (id, key, digest, kind, created_at)
          VALUES (gen_random_uuid(), 'own:${user}', sha256(''), 'transfer', now()) RETURNING id)
        INSERT INTO wallet.entries (account_id, created_at, id, transfer_id, amount, balance_after)
        SELECT ${account}, now(), gen_random_uuid(), t.id, 5, 55 FROM t`
      const empty = `INSERT INTO wallet.transfers (id, key, digest, kind, created_at)
        VALUES (gen_random_uuid(), 'own2:${user}', sha256(''), 'transfer', now())`
      const late = `INSERT INTO wallet.entries (account_id, created_at, id, transfer_id, amount, balance_after)
        SELECT account_id, now(), gen_random_uuid(), transfer_id, amount, 0 FROM wallet.entries
        WHERE transfer_id = (SELECT transfer_id FROM wallet.entries WHERE account_id = ${account})`
      for (
        const [statement, why] of [
          [oneLegged, /does not balance/],
          [empty, /has no entries/],
          [late, /does not balance/],
          [`UPDATE wallet.entries SET amount = 51 WHERE account_id = ${account}`, /only grows/],
          [`DELETE FROM wallet.transfers WHERE key = 'charge:${user}'`, /only grows/],
          ["TRUNCATE wallet.entries", /only grows/],
          [`UPDATE wallet.accounts SET held = balance + 1 WHERE owner = '${user}'`, /violates check constraint/]
        ] as const
      ) {
        const refused = yield* Effect.flip(asRole("owner", statement))
        assert.match(String(refused.reason.cause), why, statement)
      }
    }))
})
