import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Option } from "effect"
import { TestClock } from "effect/testing"
import { Unavailable } from "../../src/domain/Problem.ts"
import { withDatabase } from "../../src/services/Database.ts"
import { gathered } from "../../src/services/Gathered.ts"

it.effect("answers after four seconds, also where the statement does not let itself be cancelled", () =>
  Effect.gen(function*() {
    const stubborn = Effect.onInterrupt(Effect.never, () => Effect.never)
    const caller = yield* Effect.forkChild(Effect.flip(withDatabase(stubborn)), { startImmediately: true })
    yield* TestClock.adjust("3999 millis")
    assert.isUndefined(caller.pollUnsafe())
    yield* TestClock.adjust("1 millis")
    assert.instanceOf(yield* Fiber.join(caller), Unavailable)
  }))

it.effect("gives up the work of a caller that has gone", () =>
  Effect.gen(function*() {
    let ended = false
    const work = Effect.onInterrupt(Effect.never, () => Effect.sync(() => ended = true))
    const caller = yield* Effect.forkChild(withDatabase(work), { startImmediately: true })
    yield* Fiber.interrupt(caller)
    assert.isTrue(ended)
  }))

it.effect("turns questions away that wait behind a query without an end, and answers those that come after it", () =>
  Effect.gen(function*() {
    let queries = 0
    const ask = yield* gathered((keys: ReadonlyArray<string>) => {
      queries += 1
      const answers = Effect.succeed(new Map(keys.map((key) => [key, `${key} of query ${queries}`])))
      return queries === 1 ? Effect.delay(answers, "3 seconds") : answers
    })
    const asking = (key: string) => Effect.forkChild(Effect.result(ask(key)), { startImmediately: true })
    const first = yield* asking("first")
    yield* TestClock.adjust("1 millis")
    const second = yield* asking("second")
    yield* TestClock.adjust("1 second")
    const refused = yield* Fiber.join(second)
    assert.instanceOf(refused._tag === "Failure" && refused.failure, Unavailable)
    const third = yield* asking("third")
    yield* TestClock.adjust("2 seconds")
    const answers = [yield* Fiber.join(first), yield* asking("fourth").pipe(Effect.flatMap(Fiber.join))]
    assert.deepStrictEqual(answers.map((it) => it._tag === "Success" ? Option.getOrNull(it.success) : it.failure), [
      "first of query 1",
      "fourth of query 2"
    ])
    assert.strictEqual((yield* Fiber.join(third))._tag, "Failure")
  }).pipe(Effect.scoped))
