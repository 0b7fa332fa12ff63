import { assert, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer } from "effect"
import { RateLimiter } from "effect/persistence"
import { readFileSync } from "node:fs"
import { Limits } from "../../src/http/middleware/Limits.ts"
import { perUser } from "../../src/http/middleware/Policies.ts"
import { configurable, figuresLive, variableOf } from "../../src/layers/LimitFigures.ts"
import { LimitsLive } from "../../src/layers/LimitsLive.ts"

const limits = (environment: Record<string, string>) =>
  Limits.layer.pipe(
    Layer.provide([RateLimiter.layerStoreMemory, figuresLive]),
    Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown(environment))),
    Layer.fresh
  )
const once = Effect.flatMap(Limits, (one) => one.consume([{ policy: perUser, subject: "somebody" }]))

it.effect("a limit is what the environment says, and what its policy declares where it says nothing", () =>
  Effect.gen(function*() {
    const third = yield* Effect.andThen(once, once).pipe(
      Effect.andThen(Effect.flip(once)),
      Effect.provide(limits({ LIMIT_USER: "2/1m" }))
    )
    assert.deepInclude(third, { code: "TooManyRequests", detail: "The limit \"user\" is 2 in 60 seconds." })
    yield* Effect.provide(Effect.all([once, once, once]), limits({}))
  }))

it.effect("a limit that is none ends the start with its variable", () =>
  Effect.gen(function*() {
    for (const wrong of ["0/1m", "-1/1m", "5", "5/1d", "5/25h", "1e3/1m", "5/m", "99999999/1s"]) {
      const { message } = yield* Effect.flip(Effect.scoped(Layer.build(limits({ LIMIT_USER: wrong }))))
      assert.include(message, "LIMIT_USER", wrong)
    }
  }))

it.effect("a REDIS_URL that Redis's client would not take ends the start, and its password is not said", () =>
  Effect.gen(function*() {
    for (
      const wrong of ["redis.example.org:6379", "rediss//x", "http://127.0.0.1:6379", "redis://:hunter2@host/zero"]
    ) {
      const starting = Layer.build(
        Layer.fresh(LimitsLive).pipe(
          Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown({ REDIS_URL: wrong })))
        )
      )
      const { message } = yield* Effect.flip(Effect.scoped(starting))
      assert.include(message, "redis://127.0.0.1:6379", wrong)
      assert.notInclude(message, "hunter2")
    }
  }))

it("each limit that can be set stands in .env.example with the figure that its policy declares", () => {
  const shown = readFileSync(new URL("../../.env.example", import.meta.url), "utf8").split("\n")
    .flatMap((line) => /^#(LIMIT_[A-Z_]+)=(\d+)\/(\d+)([smh])$/.exec(line) ?? [])
  const said = new Map<string, readonly [number, number]>()
  for (let at = 0; at < shown.length; at += 5) {
    const unit = shown[at + 4] === "h" ? 3_600 : shown[at + 4] === "m" ? 60 : 1
    said.set(shown[at + 1] ?? "", [Number(shown[at + 2]), Number(shown[at + 3]) * unit])
  }
  const declared = configurable.map(({ limit, name, windowSeconds }) =>
    [variableOf(name), [limit, windowSeconds]] as const
  )
  assert.deepStrictEqual(Object.fromEntries(said), Object.fromEntries(declared))
})
