import { assert, layer } from "@effect/vitest"
import { Console, Effect, Exit, Layer, Logger } from "effect"
import { randomInt } from "node:crypto"
import { UserId } from "../../src/domain/Ids.ts"
import { Amount } from "../../src/domain/Money.ts"
import { type Account, between, clearingOf, walletOf } from "../../src/domain/Wallet.ts"
import { Ledger } from "../../src/services/Ledger.ts"
import { newId } from "../../src/services/NewId.ts"
import { PgTest } from "../layers/PgTest.ts"
import { TwoLedgers } from "../layers/TwoLedgers.ts"
import { deadlocks, reconcile } from "./bank/Judge.ts"
import { type Random, random } from "./bank/Random.ts"

// The short form of `npm run test:chaos -- --servers 2 --no-kills --clients 32 --seconds 60`, which has two real processes
// behind HTTP: here two ledgers, each with its own pool, queue and writer, share one database.

const Ground = TwoLedgers.layer.pipe(Layer.provideMerge(PgTest.layer), Layer.provideMerge(Logger.layer([])))

const seed = Number(process.env["CHAOS_SEED"] ?? randomInt(1_000_000_000))
const clients = 32
const seconds = 5

const move = (key: string, from: Account, to: Account, amount: number) =>
  Effect.flatMap(Ledger, (ledger) =>
    ledger.post(between({
      key,
      kind: from.kind === "clearing" ? "charge" : "transfer",
      from,
      to,
      amount: Amount.make(BigInt(amount)),
      currency: "NGN"
    })))

/** Moves money between members until time is up, through either process; some keys go to both at once. */
const client = Effect.fnUntraced(function*(
  name: string,
  members: readonly [UserId, ...ReadonlyArray<UserId>],
  choices: Random,
  over: () => boolean
) {
  const { processes } = yield* TwoLedgers
  let done = 0
  for (let n = 0; !over(); n++) {
    const [from, to] = [choices.pick(members), choices.pick(members)]
    if (from === to) continue
    const transfer = move(`transfer:${name}-${n}`, walletOf(from), walletOf(to), choices.between(1, 400))
    const through = choices.chance(0.1) ? processes : [choices.pick(processes)]
    const exits = yield* Effect.forEach(through, (process) => Effect.exit(Effect.provide(transfer, process)), {
      concurrency: "unbounded"
    })
    const ids = new Set<string>()
    for (const exit of exits) {
      if (Exit.isSuccess(exit)) ids.add(exit.value.id)
      else assert.include(String(exit.cause), "InsufficientFunds", "the only refusal there may be")
    }
    assert.isAtMost(ids.size, 1)
    done += ids.size
  }
  return done
})

layer(Ground, { timeout: "60 seconds", excludeTestServices: true })("two ledgers on one database", (it) => {
  it.effect("move money both ways for 32 clients without an error, a deadlock or a broken invariant", () =>
    Effect.gen(function*() {
      const { processes: [first] } = yield* TwoLedgers
      const ids = yield* Effect.all(Array.from({ length: 8 }, () => newId(UserId)))
      const [one = UserId.make(""), ...others] = ids
      yield* Effect.forEach(ids, (id) => move(`charge:${id}`, clearingOf("bank"), walletOf(id), 2_000), {
        concurrency: "unbounded"
      }).pipe(Effect.provide(first))
      const end = performance.now() + seconds * 1000
      const choices = random(seed)
      const done = yield* Effect.forEach(
        Array.from({ length: clients }, (_, i) => i),
        (i) => client(`${seed}-${i}`, [one, ...others], choices.fork(i), () => performance.now() > end),
        { concurrency: "unbounded" }
      )
      const url = (yield* PgTest).ownerUrl
      const transfers = done.reduce((sum, n) => sum + n, 0)
      yield* Console.log(`two ledgers: ${transfers} transfers in ${seconds} s, seed ${seed}`)
      assert.isAbove(transfers, clients)
      assert.deepStrictEqual(yield* deadlocks(url), [])
      // Nobody kept a journal here: what it says of unknown transfers is left out.
      const findings = (yield* reconcile(url, "")).filter(({ claim }) => !claim.startsWith("no transfer exists"))
      assert.deepStrictEqual(findings, [], `CHAOS_SEED=${seed}`)
    }))
})
