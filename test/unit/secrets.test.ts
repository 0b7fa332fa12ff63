import { assert, it } from "@effect/vitest"
import { ConfigProvider, Effect, Redacted } from "effect"
import { randomBytes } from "node:crypto"
import { secret } from "../../src/layers/Config.ts"

const given = (value: string) =>
  secret("UPLOAD_SECRET").pipe(
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown({ UPLOAD_SECRET: value }))
  )

it.effect("refuses a secret that is short, or one word over and over, and does not repeat it", () =>
  Effect.gen(function*() {
    for (
      const weak of [
        "",
        "0123456789abcdef",
        "a".repeat(64),
        "changeme".repeat(8),
        "secret-".repeat(8),
        "12345".repeat(9)
      ]
    ) {
      const { message } = yield* Effect.flip(given(weak))
      assert.include(message, "UPLOAD_SECRET")
      if (weak !== "") assert.notInclude(message, weak)
    }
  }))

it.effect("takes what a generator makes", () =>
  Effect.gen(function*() {
    for (const encoding of ["hex", "base64url"] as const) {
      const made = randomBytes(32).toString(encoding)
      assert.strictEqual(Redacted.value(yield* given(made)), made)
    }
  }))
