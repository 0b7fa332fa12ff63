import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Ref } from "effect"
import { TestClock } from "effect/testing"
import { sweeper } from "../../src/layers/RewardsLive.ts"
import { away } from "../../src/services/Database.ts"
import { Health } from "../../src/services/Health.ts"
import { Rewards } from "../../src/services/Rewards.ts"

describe("the sweeper of rewards", () => {
  it.effect("is well during an outage of the database, and sweeps in the first round after it", () =>
    Effect.gen(function*() {
      const up = yield* Ref.make(false)
      const rounds = yield* Ref.make(0)
      const sweep = Effect.gen(function*() {
        if (!(yield* Ref.get(up))) return yield* away
        yield* Ref.update(rounds, (n) => n + 1)
      })
      yield* Layer.build(sweeper).pipe(Effect.provide(Layer.mock(Rewards, { sweep })))
      const health = yield* Health
      yield* TestClock.adjust("2 minutes")
      assert.deepInclude((yield* health.snapshot).rewards, { status: "ok", restarts: 0 })
      yield* Ref.set(up, true)
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(yield* Ref.get(rounds), 1)
    }).pipe(Effect.provide(Health.layer)))
})
