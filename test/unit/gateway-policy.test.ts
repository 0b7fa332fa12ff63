import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber } from "effect"
import { CircuitBreaker } from "effect/persistence"
import { TestClock } from "effect/testing"
import { ProviderUnavailable } from "../../src/domain/Payments.ts"
import { type ProviderError, ProviderNonsense, ProviderRefused } from "../../src/services/Gateway.ts"
import { type ProviderCalls, providerCalls } from "../../src/services/GatewayPolicy.ts"

const away = new ProviderUnavailable({ provider: "stripe", retry_after: 1, detail: "away" })
const refused = new ProviderRefused({ provider: "stripe", code: "no", detail: "no" })
const nonsense = new ProviderNonsense({ provider: "stripe", detail: "?" })

const limits = providerCalls("stripe").pipe(Effect.provide(CircuitBreaker.layerStoreMemory()))

/** A provider that answers with the same each time, and counts. */
const provider = (answer: Effect.Effect<string, ProviderError>) => {
  const calls = { count: 0 }
  return {
    calls,
    call: Effect.suspend(() => {
      calls.count++
      return answer
    })
  }
}

const ended = Effect.fnUntraced(function*(run: ProviderCalls, call: Effect.Effect<string, ProviderError>) {
  const fiber = yield* Effect.forkChild(Effect.exit(run(call)))
  yield* TestClock.adjust(Duration.seconds(10))
  return yield* Fiber.join(fiber)
})
const tagOf = (exit: Exit.Exit<string, ProviderError>) =>
  Exit.match(exit, { onSuccess: (value) => value, onFailure: (cause) => JSON.stringify(cause) })

describe("the limits of calls to a provider", () => {
  it.effect("try three times, 100 ms at least apart, when the provider is away", () =>
    Effect.gen(function*() {
      const run = yield* limits
      const { call, calls } = provider(Effect.fail(away))
      const fiber = yield* Effect.forkChild(Effect.flip(run(call)))
      yield* TestClock.adjust(Duration.millis(99))
      assert.strictEqual(calls.count, 1)
      yield* TestClock.adjust(Duration.millis(1_300))
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "ProviderUnavailable")
      assert.strictEqual(calls.count, 3)
    }))

  it.effect("do not repeat what was refused or makes no sense", () =>
    Effect.gen(function*() {
      const run = yield* limits
      for (const answer of [refused, nonsense]) {
        const { call, calls } = provider(Effect.fail(answer))
        assert.strictEqual((yield* Effect.flip(run(call)))._tag, answer._tag)
        assert.strictEqual(calls.count, 1)
      }
    }))

  it.effect("end a call after ten seconds when the provider hangs, without a second attempt", () =>
    Effect.gen(function*() {
      const run = yield* limits
      const { call, calls } = provider(Effect.never)
      const fiber = yield* Effect.forkChild(Effect.flip(run(call)))
      yield* TestClock.adjust(Duration.millis(9_999))
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust(Duration.millis(1))
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "ProviderUnavailable")
      assert.strictEqual(calls.count, 1)
    }))

  it.effect("leave a provider alone for 30 s after five failures in a row, then ask it once", () =>
    Effect.gen(function*() {
      const run = yield* limits
      const down = provider(Effect.fail(away))
      yield* ended(run, down.call)
      yield* ended(run, down.call)
      assert.strictEqual(down.calls.count, 5)
      const open = yield* Effect.flip(run(down.call))
      assert.strictEqual(open._tag, "ProviderUnavailable")
      assert.isTrue(open._tag === "ProviderUnavailable" && open.retry_after > 1 && open.retry_after <= 30)
      assert.strictEqual(down.calls.count, 5)
      yield* TestClock.adjust(Duration.seconds(30))
      const well = provider(Effect.succeed("well"))
      assert.strictEqual(tagOf(yield* ended(run, well.call)), "well")
      assert.strictEqual(tagOf(yield* ended(run, well.call)), "well")
      assert.strictEqual(well.calls.count, 2)
    }))

  it.effect("count a provider that hangs or talks nonsense as failing, and one that refuses as well", () =>
    Effect.gen(function*() {
      const run = yield* limits
      for (let call = 0; call < 10; call++) yield* ended(run, Effect.fail(refused))
      const { call, calls } = provider(Effect.never)
      for (let round = 0; round < 4; round++) yield* ended(run, call)
      yield* ended(run, Effect.fail(nonsense))
      assert.strictEqual((yield* Effect.flip(run(call)))._tag, "ProviderUnavailable")
      assert.strictEqual(calls.count, 4)
    }))

  it.effect("spend no more than a tenth of the calls on retries, after the ten saved ones", () =>
    Effect.gen(function*() {
      const run = yield* limits
      let attempts = 0
      // Every other attempt fails, so that the circuit stays closed and each call would retry once.
      const flaky = Effect.suspend((): Effect.Effect<string, ProviderError> =>
        ++attempts % 2 === 1 ? Effect.fail(away) : Effect.succeed("well")
      )
      for (let call = 0; call < 300; call++) yield* ended(run, flaky)
      assert.isAtMost(attempts, 300 + 30 + 10)
      assert.isAtLeast(attempts, 300 + 20)
    }))
})
