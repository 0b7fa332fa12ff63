import { assert, layer } from "@effect/vitest"
import { DateTime, Effect, Option, Stream } from "effect"
import { OperationId, type TransferId, UserId } from "../../src/domain/Ids.ts"
import { Amount } from "../../src/domain/Money.ts"
import { MoneyRequest } from "../../src/domain/MoneyRequest.ts"
import { LedgerAdmin } from "../../src/services/LedgerAdmin.ts"
import { LedgerAudit } from "../../src/services/LedgerAudit.ts"
import { newId } from "../../src/services/NewId.ts"
import { Wallets } from "../../src/services/Wallets.ts"
import { moneyRequest } from "../layers/moneyRequest.ts"
import { asOwner, charge, WalletGround } from "../layers/WalletGround.ts"

const chained = Effect.gen(function*() {
  const audit = yield* LedgerAudit
  return yield* Effect.repeat(audit.run, { until: (report) => report.unchained === 0 })
})

const asAdmin = <A, E, R>(act: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    return yield* Effect.provideService(
      act,
      MoneyRequest,
      moneyRequest(yield* newId(UserId), yield* newId(OperationId))
    )
  })

const reverse = (id: TransferId, amount?: number) =>
  asAdmin(
    Effect.flatMap(LedgerAdmin, (admin) =>
      admin.reverse(id, {
        reason: "charged by mistake",
        ...(amount === undefined ? {} : { amount: Amount.make(BigInt(amount)) })
      }))
  )

layer(WalletGround, { timeout: "60 seconds", excludeTestServices: true })("the ledger's history", (it) => {
  it.effect("knows the balance at every instant of the past", () =>
    Effect.gen(function*() {
      const wallets = yield* Wallets
      const user = yield* newId(UserId)
      const stood: Array<readonly [string, bigint]> = []
      let total = 0n
      for (let i = 1; i <= 30; i++) {
        total += BigInt(i)
        stood.push([(yield* charge(user, i, i)).at, total])
      }
      for (const [at, balance] of stood) {
        // The ledger's clock has microseconds, an instant on the wire milliseconds: the next one is after the posting.
        const instant = DateTime.add(DateTime.makeUnsafe(at), { milliseconds: 1 })
        const then = yield* wallets.balance(user, "NGN", Option.some(instant))
        const last = stood.findLast(([other]) => DateTime.isLessThan(DateTime.makeUnsafe(other), instant))
        assert.strictEqual(then.balance, last?.[1] ?? balance)
      }
      const before = DateTime.subtract(DateTime.makeUnsafe(stood[0]?.[0] ?? ""), { seconds: 1 })
      assert.strictEqual((yield* wallets.balance(user, "NGN", Option.some(before))).balance, 0n)
    }))

  it.effect("states every entry once, in order, across its pages", () =>
    Effect.gen(function*() {
      const wallets = yield* Wallets
      const user = yield* newId(UserId)
      yield* Effect.forEach(Array.from({ length: 2_345 }, (_, i) => i), (i) => charge(user, i + 1, i), {
        // More at once are a batch that a slow machine may take for one that does not end: the ledger turns callers away then.
        concurrency: 50,
        discard: true
      })
      const range = { userId: user, currency: "NGN" as const, from: Option.none(), to: Option.none() }
      const entries = yield* Stream.runCollect(yield* wallets.statement(range))
      assert.strictEqual(entries.length, 2_345)
      assert.strictEqual(new Set(entries.map((entry) => entry.id)).size, 2_345)
      for (const [i, entry] of entries.entries()) {
        const older = entries[i + 1]?.balanceAfter ?? 0n
        assert.strictEqual(entry.balanceAfter, older + entry.amount)
      }
    }))

  it.effect("refuses a range that ends before it begins", () =>
    Effect.gen(function*() {
      const wallets = yield* Wallets
      const [from, to] = [DateTime.makeUnsafe("2026-02-01T00:00:00Z"), DateTime.makeUnsafe("2026-01-01T00:00:00Z")]
      const range = { from: Option.some(from), to: Option.some(to) }
      const refused = yield* Effect.flip(
        wallets.statement({ userId: yield* newId(UserId), currency: "NGN", ...range })
      )
      assert.strictEqual(refused._tag, "RangeReversed")
    }))

  it.effect("reverses in parts, never more than was moved, and keeps the reason", () =>
    Effect.gen(function*() {
      const wallets = yield* Wallets
      const admin = yield* LedgerAdmin
      const user = yield* newId(UserId)
      const { id } = yield* charge(user, 100, 1)
      const first = yield* reverse(id, 30)
      assert.deepInclude(first, { kind: "reversal", amount: 30n, reverses: id, reason: "charged by mistake" })
      const tooMuch = yield* Effect.flip(reverse(id, 71))
      assert.strictEqual(tooMuch._tag, "ReversalExceeded")
      const rest = yield* reverse(id)
      assert.strictEqual(rest.amount, 70n)
      assert.strictEqual((yield* Effect.flip(reverse(id)))._tag, "ReversalExceeded")
      assert.strictEqual((yield* Effect.flip(reverse(first.id)))._tag, "NotFound")
      assert.strictEqual((yield* wallets.balance(user, "NGN", Option.none())).balance, 0n)
      const acts = yield* admin.acts(Option.none(), 2)
      assert.deepStrictEqual(acts.map(({ act }) => act.id), [rest.id, first.id])
    }))

  it.effect("adjusts a wallet up and down by hand, down to its floor", () =>
    Effect.gen(function*() {
      const admin = yield* LedgerAdmin
      const user = yield* newId(UserId)
      const adjust = (amount: number) =>
        asAdmin(admin.adjust({ userId: user, amount, currency: "NGN", reason: "goodwill" }))
      assert.strictEqual((yield* adjust(50)).amount, 50n)
      assert.strictEqual((yield* adjust(-20)).amount, -20n)
      assert.strictEqual((yield* Effect.flip(adjust(-31)))._tag, "InsufficientFunds")
    }))
})

layer(WalletGround, { timeout: "60 seconds", excludeTestServices: true })("the audit", (it) => {
  it.effect("is clean, and names the transfer, entry or link in which a superuser edits one byte", () =>
    Effect.gen(function*() {
      const audit = yield* LedgerAudit
      const user = yield* newId(UserId)
      const ids: Array<TransferId> = []
      for (let i = 1; i <= 5; i++) ids.push((yield* charge(user, i, i)).id)
      const clean = yield* chained
      assert.deepStrictEqual(clean.findings.flatMap((finding) => finding.broken), [])
      assert.isNotNull(clean.head)

      const edits = [
        [`UPDATE wallet.transfers SET memo = 'x' WHERE id = '${ids[2]}'`, "transfers", ids[2] ?? ""],
        [`UPDATE wallet.entries SET id = gen_random_uuid() WHERE transfer_id = '${ids[3]}'`, "entries", ids[3] ?? ""],
        ["UPDATE wallet.chain SET hash = set_byte(hash, 0, get_byte(hash, 0) # 1) WHERE n = 1", "chain", "link 1:"]
      ] as const
      for (const [edit, table, place] of edits) {
        yield* asOwner(`ALTER TABLE wallet.${table} DISABLE TRIGGER ALL`)
        yield* asOwner(edit)
        const { findings } = yield* audit.run
        const broken = findings.find((finding) => finding.invariant === "I8")?.broken ?? []
        assert.include(broken.join("\n"), place)
      }
    }))
})

layer(WalletGround, { timeout: "60 seconds", excludeTestServices: true })("the ledger's time", (it) => {
  it.effect("never goes back, though the database's clock is set back, and what is posted comes last", () =>
    Effect.gen(function*() {
      const wallets = yield* Wallets
      const audit = yield* LedgerAudit
      const user = yield* newId(UserId)
      yield* charge(user, 5, 1)
      const { id } = yield* charge(user, 10, 2)
      // As if it had been posted before the clock was set back by ten minutes.
      for (const [table, of] of [["transfers", "id"], ["entries", "transfer_id"]] as const) {
        yield* asOwner(`ALTER TABLE wallet.${table} DISABLE TRIGGER immutable_rows`)
        yield* asOwner(
          `UPDATE wallet.${table} SET created_at = created_at + interval '10 minutes' WHERE ${of} = '${id}'`
        )
        yield* asOwner(`ALTER TABLE wallet.${table} ENABLE ALWAYS TRIGGER immutable_rows`)
      }
      for (const n of [3, 4, 5]) yield* charge(user, n, n)
      // Holds and what follows from them go another way through the ledger.
      const admin = yield* LedgerAdmin
      yield* asAdmin(admin.adjust({ userId: user, amount: -1, currency: "NGN", reason: "by hand" }))
      yield* reverse((yield* charge(user, 6, 6)).id)
      const { items } = yield* wallets.entries({
        userId: user,
        currency: Option.none(),
        kind: Option.none(),
        from: Option.none(),
        to: Option.none(),
        cursor: undefined,
        limit: 100
      })
      assert.deepStrictEqual(items.map(({ amount }) => amount), [-6n, 6n, -1n, 5n, 4n, 3n, 10n, 5n])
      const { findings } = yield* audit.run
      const balances = findings.filter(({ invariant }) => invariant === "balance after" || invariant === "I2")
      assert.deepStrictEqual(balances.flatMap(({ broken }) => broken), [])
    }))

  it.effect("is the clock's when the last posting is from a time that cannot be", () =>
    Effect.gen(function*() {
      const user = yield* newId(UserId)
      const { at, id } = yield* charge(user, 5, 1)
      yield* asOwner("ALTER TABLE wallet.transfers DISABLE TRIGGER immutable_rows")
      yield* asOwner(`UPDATE wallet.transfers SET created_at = 'infinity' WHERE id = '${id}'`)
      const next = yield* charge(user, 5, 2)
      assert.isBelow(Date.parse(next.at), Date.parse(at) + 60 * 60_000)
    }))
})
