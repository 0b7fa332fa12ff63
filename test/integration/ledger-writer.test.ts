import { assert, layer } from "@effect/vitest"
import { Cause, Context, Deferred, Effect, Exit, Fiber, Layer, Logger, Ref } from "effect"
import { TestClock } from "effect/testing"
import { UserId } from "../../src/domain/Ids.ts"
import { Amount } from "../../src/domain/Money.ts"
import { between, clearingOf, walletOf } from "../../src/domain/Wallet.ts"
import { pool } from "../../src/layers/Pools.ts"
import { Ledger } from "../../src/services/Ledger.ts"
import { LedgerStore } from "../../src/services/LedgerStore.ts"
import { LedgerWriter } from "../../src/services/LedgerWriter.ts"
import { newId } from "../../src/services/NewId.ts"
import { PgTest } from "../layers/PgTest.ts"
import { testConfig } from "../layers/TestConfig.ts"

/** What befalls the next batch between its commit and its answer, and the sign that it has come that far. */
class AfterCommit extends Context.Service<AfterCommit, {
  readonly next: Ref.Ref<Effect.Effect<void>>
}>()("midnight/test/AfterCommit") {
  static readonly layer = Layer.effect(AfterCommit, Effect.map(Ref.make(Effect.void), (next) => ({ next })))
}

/** The real store on the real database; only what comes after its commit can be told to go wrong, once. */
const Store = Layer.effect(
  LedgerStore,
  Effect.gen(function*() {
    const store = yield* LedgerStore
    const { next } = yield* AfterCommit
    return LedgerStore.of({
      ...store,
      post: (commands) => Effect.tap(store.post(commands), () => Effect.flatten(Ref.getAndSet(next, Effect.void)))
    })
  })
).pipe(Layer.provide(LedgerStore.layer), Layer.provide(pool("wallet")), Layer.provide(testConfig()))

const Ground = Ledger.layer.pipe(
  Layer.provideMerge(LedgerWriter.layer),
  Layer.provide(Store),
  Layer.provideMerge(AfterCommit.layer),
  Layer.provideMerge(PgTest.layer),
  Layer.provideMerge(Logger.layer([]))
)

const charge = Effect.fnUntraced(function*(user: UserId) {
  const ledger = yield* Ledger
  return yield* ledger.post(between({
    key: `charge:${user}`,
    kind: "charge",
    from: clearingOf("sandbox"),
    to: walletOf(user),
    amount: Amount.make(7n),
    currency: "NGN"
  }))
})

const users = Effect.all(Array.from({ length: 8 }, () => newId(UserId)))
const writing = Effect.flatMap(LedgerWriter, (writer) => Effect.forkScoped(writer.run))

/** Has all of them queued before the writer looks, so that they are one batch. */
const queued = (ids: ReadonlyArray<UserId>) =>
  Effect.forEach(ids, (user) => Effect.forkChild(Effect.exit(charge(user)), { startImmediately: true }))

/** Lets the next batch commit, tells when it has, and then does this to it. */
const afterCommit = Effect.fnUntraced(function*(fault: Effect.Effect<void>) {
  const committed = yield* Deferred.make<void>()
  yield* Ref.set((yield* AfterCommit).next, Effect.andThen(Deferred.succeed(committed, undefined), fault))
  return Deferred.await(committed)
})

/** Every caller learned the truth, or that it is not known; asked again, each learns that it was posted, once. */
const truthful = Effect.fnUntraced(function*(ids: ReadonlyArray<UserId>, fibers: ReadonlyArray<AnswerFiber>) {
  const exits = yield* Effect.forEach(fibers, Fiber.join)
  for (const exit of exits) {
    if (Exit.isFailure(exit)) {
      const failure = exit.cause.reasons.find(Cause.isFailReason)
      assert.strictEqual(failure?.error._tag, "Unavailable")
      assert.notMatch(failure?.error.detail ?? "", /[Nn]othing was/, "it was posted, whatever became of the answer")
    }
  }
  const again = yield* Effect.forEach(ids, charge, { concurrency: "unbounded" })
  const ledger = yield* Ledger
  for (const [i, { id, replayed }] of again.entries()) {
    assert.isTrue(replayed)
    const first = exits[i]
    if (first !== undefined && Exit.isSuccess(first)) assert.strictEqual(id, first.value.id)
  }
  for (const user of ids) assert.strictEqual((yield* ledger.balance(walletOf(user), "NGN")).balance, 7n)
  return exits.filter(Exit.isSuccess).length
})
type AnswerFiber = Effect.Success<ReturnType<typeof queued>>[number]

layer(Ground, { timeout: "60 seconds" })("the ledger's writer, stopped between a commit and its answers", (it) => {
  it.effect("killed, leaves its callers with Unavailable, and what they repeat is there once", () =>
    Effect.gen(function*() {
      const ids = yield* users
      const committed = yield* afterCommit(Effect.never)
      const callers = yield* queued(ids)
      const writer = yield* writing
      yield* committed
      yield* Fiber.interrupt(writer)
      yield* writing
      assert.strictEqual(yield* truthful(ids, callers), 0)
    }))

  it.effect("dying of a defect, answers each of a batch truly", () =>
    Effect.gen(function*() {
      const ids = yield* users
      const committed = yield* afterCommit(Effect.die(new Error("after the commit")))
      const callers = yield* queued(ids)
      yield* writing
      yield* committed
      yield* truthful(ids, callers)
    }))

  it.effect("waiting for an answer that never comes, gives up after four seconds", () =>
    Effect.gen(function*() {
      const ids = yield* users
      const committed = yield* afterCommit(Effect.never)
      const callers = yield* queued(ids)
      yield* writing
      yield* committed
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual(yield* truthful(ids, callers), 0)
    }))

  it.effect("turns away whoever queues behind a batch that does not end, and posts nothing of theirs", () =>
    Effect.gen(function*() {
      const ids = yield* users
      const committed = yield* afterCommit(Effect.never)
      const callers = yield* queued(ids)
      yield* writing
      yield* committed
      const later = yield* users
      const behind = yield* queued(later)
      yield* TestClock.adjust("1 second")
      for (const exit of yield* Effect.forEach(behind, Fiber.join)) {
        assert.match(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "", /Nothing was posted/)
      }
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(yield* truthful(ids, callers), 0)
      const asked = yield* Effect.forEach(later, charge, { concurrency: "unbounded" })
      assert.isFalse(asked.some(({ replayed }) => replayed))
    }))

  it.effect("goes on with the rest of its queue after a caller has gone away", () =>
    Effect.gen(function*() {
      const ids = yield* users
      const callers = yield* queued(ids)
      yield* Effect.forEach(callers.slice(0, 4), Fiber.interrupt)
      yield* writing
      const posted = yield* Effect.forEach(callers.slice(4), Fiber.join)
      assert.isTrue(posted.every(Exit.isSuccess))
      const again = yield* Effect.forEach(ids, charge, { concurrency: "unbounded" })
      assert.isTrue(again.every(({ replayed }) => replayed), "also what nobody waited for was posted, once")
    }))
})
