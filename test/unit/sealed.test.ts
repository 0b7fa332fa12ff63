import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Redacted } from "effect"
import { Sealed } from "../../src/services/Sealed.ts"

const old = Redacted.make("the secret that everything was sealed under")
const fresh = Redacted.make("the secret that came after it, for a reason")
const value = Redacted.make("GB33BUKB20201555555555")

const sealing = (current: typeof old, previous: ReadonlyArray<typeof old> = []) =>
  Effect.provide(Sealed, Sealed.layer({ current, previous }))

describe("sealed values", () => {
  it.effect("open in their own place, and are never the same bytes twice", () =>
    Effect.gen(function*() {
      const { open, seal } = yield* sealing(fresh)
      const [one, two] = yield* Effect.all([seal(value, "row:1"), seal(value, "row:1")])
      assert.notDeepEqual(one, two)
      assert.notInclude(Buffer.from(one).toString("latin1"), Redacted.value(value))
      assert.strictEqual(Redacted.value(yield* open(one, "row:1")), Redacted.value(value))
    }))

  it.effect("open after a rotation as long as the previous secret is known", () =>
    Effect.gen(function*() {
      const before = yield* (yield* sealing(old)).seal(value, "row:1")
      const opened = yield* (yield* sealing(fresh, [old])).open(before, "row:1")
      assert.strictEqual(Redacted.value(opened), Redacted.value(value))
      assert.isTrue(Exit.isFailure(yield* Effect.exit((yield* sealing(fresh)).open(before, "row:1"))))
    }))

  it.effect("do not open in another place, nor with any bit of theirs changed, nor cut short", () =>
    Effect.gen(function*() {
      const { open, seal } = yield* sealing(fresh)
      const sealed = yield* seal(value, "row:1")
      const wrong = [
        ...Array.from(sealed, (_, at) => sealed.map((byte, index) => index === at ? byte ^ 1 : byte)),
        ...Array.from(sealed, (_, length) => sealed.slice(0, length))
      ]
      for (const bytes of wrong) assert.isTrue(Exit.isFailure(yield* Effect.exit(open(bytes, "row:1"))))
      assert.isTrue(Exit.isFailure(yield* Effect.exit(open(sealed, "row:2"))))
    }))
})
