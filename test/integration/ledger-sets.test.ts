import { assert, layer } from "@effect/vitest"
import { Effect, Exit, Layer, Option } from "effect"
import { UserId } from "../../src/domain/Ids.ts"
import { Amount } from "../../src/domain/Money.ts"
import { between, clearingOf, walletOf } from "../../src/domain/Wallet.ts"
import { WalletLive } from "../../src/layers/WalletLive.ts"
import { Health } from "../../src/services/Health.ts"
import { Ledger } from "../../src/services/Ledger.ts"
import { newId } from "../../src/services/NewId.ts"
import { Users } from "../../src/services/Users.ts"
import { reconcile } from "../chaos/bank/Judge.ts"
import { PgTest } from "../layers/PgTest.ts"
import { testConfig } from "../layers/TestConfig.ts"

const Ground = WalletLive.pipe(
  Layer.provide([Health.layer, Layer.mock(Users, {})]),
  Layer.provide(testConfig()),
  Layer.provideMerge(PgTest.layer)
)

const pay = (from: UserId, to: UserId, n: number, key: string) =>
  between({
    key,
    kind: "transfer",
    from: walletOf(from),
    to: walletOf(to),
    amount: Amount.make(BigInt(n)),
    currency: "NGN"
  })

/** Three members, the first with 100. */
const people = Effect.gen(function*() {
  const ledger = yield* Ledger
  const [one, two, three] = yield* Effect.all([newId(UserId), newId(UserId), newId(UserId)])
  yield* ledger.post(between({
    key: `charge:${one}`,
    kind: "charge",
    from: clearingOf("sandbox"),
    to: walletOf(one),
    amount: Amount.make(100n),
    currency: "NGN"
  }))
  return [one, two, three] as const
})

const balances = (...of: ReadonlyArray<UserId>) =>
  Effect.flatMap(Ledger, (ledger) =>
    Effect.map(
      ledger.balances("wallet", of.map((owner) => ({ owner, currency: "NGN" as const }))),
      (all) => all.map(({ balance }) => Number(balance))
    ))

layer(Ground, { timeout: "60 seconds" })("a set of postings", (it) => {
  it.effect("is posted whole, each spending what those before it brought, and a repetition answers the same", () =>
    Effect.gen(function*() {
      const ledger = yield* Ledger
      const [one, two, three] = yield* people
      const set = [pay(one, two, 60, `set:${one}:1`), pay(two, three, 50, `set:${one}:2`)]
      const first = yield* ledger.postAll(set)
      assert.deepStrictEqual(first.map(({ replayed }) => replayed), [false, false])
      assert.strictEqual(new Set(first.map(({ at }) => at)).size, 1)
      const again = yield* ledger.postAll(set)
      assert.deepStrictEqual(again, first.map((posted) => ({ ...posted, replayed: true })))
      assert.deepStrictEqual(yield* balances(one, two, three), [40, 10, 50])
      // A member is a posting like any other, under its own key.
      const alone = yield* ledger.post(pay(one, two, 60, `set:${one}:1`))
      assert.deepStrictEqual([alone.id, alone.replayed], [first[0]?.id, true])
    }))

  it.effect("leaves nothing when one cannot be posted, and says which and why; its neighbours are posted", () =>
    Effect.gen(function*() {
      const ledger = yield* Ledger
      const [one, two, three] = yield* people
      const set = [pay(one, two, 60, `set:${one}:1`), pay(one, three, 41, `set:${one}:2`)]
      const [refused, neighbour] = yield* Effect.all([
        Effect.flip(ledger.postAll(set)),
        ledger.post(pay(one, three, 1, `beside:${one}`))
      ], { concurrency: "unbounded" })
      assert.isFalse(neighbour.replayed)
      assert.deepInclude(refused, { _tag: "SetRefused", key: `set:${one}:2` })
      assert.strictEqual(refused._tag === "SetRefused" ? refused.reason._tag : "", "InsufficientFunds")
      assert.deepStrictEqual(yield* balances(one, two, three), [99, 0, 1])
      // The keys are as free as before.
      const fewer = yield* ledger.postAll([pay(one, two, 60, `set:${one}:1`), pay(one, three, 39, `set:${one}:2`)])
      assert.deepStrictEqual(fewer.map(({ replayed }) => replayed), [false, false])
    }))

  it.effect("is refused whole when a key of it was posted with other content", () =>
    Effect.gen(function*() {
      const ledger = yield* Ledger
      const [one, two, three] = yield* people
      yield* ledger.post(pay(one, two, 5, `set:${one}:2`))
      const set = [pay(one, three, 7, `set:${one}:1`), pay(one, two, 6, `set:${one}:2`)]
      const refused = yield* Effect.flip(ledger.postAll(set))
      assert.strictEqual(refused._tag === "SetRefused" ? refused.reason._tag : "", "PostingConflict")
      assert.deepStrictEqual(yield* balances(one, two, three), [95, 5, 0])
    }))

  it.effect("lets exactly three of twenty sets of 10 and 20 through when 100 are there, and the books balance", () =>
    Effect.gen(function*() {
      const ledger = yield* Ledger
      const [one, two, three] = yield* people
      const exits = yield* Effect.forEach(
        Array.from({ length: 20 }, (_, i) => `set:${one}:${i}`),
        (key) => Effect.exit(ledger.postAll([pay(one, two, 10, `${key}:a`), pay(one, three, 20, `${key}:b`)])),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(exits.filter(Exit.isSuccess).length, 3)
      assert.deepStrictEqual(yield* balances(one, two, three), [10, 30, 60])
      const { ownerUrl } = yield* PgTest
      const findings = yield* reconcile(ownerUrl, "")
      assert.deepStrictEqual(findings.filter(({ claim }) => /^(I\d|every balance)/.test(claim)), [])
    }))

  it.effect("is the caller's own fault when it is empty, repeats a key or does not balance", () =>
    Effect.gen(function*() {
      const ledger = yield* Ledger
      const [one, two] = yield* people
      const good = pay(one, two, 1, `set:${one}`)
      const lame = { ...pay(one, two, 1, `lame:${one}`), legs: good.legs.slice(1), memo: Option.none<string>() }
      for (const set of [[], [good, good], [good, lame]]) {
        const told = yield* ledger.postAll(set).pipe(
          Effect.as("posted"),
          Effect.catchDefect((defect) => Effect.succeed(String(defect)))
        )
        assert.match(told, /a set of postings is empty/)
      }
      assert.deepStrictEqual(yield* balances(one, two), [100, 0])
    }))
})
