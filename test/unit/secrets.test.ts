import { assert, it } from "@effect/vitest"
import { type Config, ConfigProvider, Effect, Layer, Redacted } from "effect"
import { randomBytes } from "node:crypto"
import { GatewaysLive } from "../../src/layers/GatewaysLive.ts"
import { issued, secret } from "../../src/layers/Secrets.ts"

const read = (config: (name: string) => Config.Config<Redacted.Redacted<string>>, value: string) =>
  config("SOME_SECRET").pipe(
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown({ SOME_SECRET: value }))
  )
const refuses = (config: (name: string) => Config.Config<Redacted.Redacted<string>>, weak: string) =>
  Effect.map(Effect.result(read(config, weak)), (result) => {
    if (result._tag === "Success") return assert.fail(`accepted ${weak}`)
    const { message } = result.failure
    assert.include(message, "SOME_SECRET")
    if (weak.length > 1) assert.notInclude(message, weak)
  })

it.effect("refuses a secret that is short, repeats, counts or waits to be replaced, and does not repeat it", () =>
  Effect.gen(function*() {
    for (
      const weak of [
        "",
        "0123456789abcdef",
        "a".repeat(64),
        "changeme".repeat(8),
        "secret-".repeat(8),
        "12345".repeat(9),
        "12345678901234567890123456789012",
        "98765432109876543210987654321098",
        "abcdefghijklmnopqrstuvwxyz0123456789",
        "0123456789abcdef".repeat(4),
        "change-me-change-me-change-me-change-me",
        "change-me-in-production-please-1234567890",
        "your-super-secret-password-goes-here",
        "password1password2password3password4",
        "qwertyuiopasdfghjklzxcvbnm1234567890",
        "correct horse ".repeat(3),
        `tr0ub4dor&3${" ".repeat(30)}`
      ]
    ) yield* refuses(secret, weak)
  }))

it.effect("takes what a generator makes", () =>
  Effect.gen(function*() {
    for (let n = 0; n < 1_000; n++) {
      for (const [bytes, encoding] of [[16, "hex"], [32, "hex"], [24, "base64"], [32, "base64url"]] as const) {
        const made = randomBytes(bytes).toString(encoding)
        assert.strictEqual(Redacted.value(yield* read(secret, made)), made)
      }
    }
  }))

const stripe = (apiBase: string) => (name: string) => issued(name, apiBase, /^(sk|rk)_(test|live)_/)
const real = stripe("https://api.stripe.com")
const alphanumeric = randomBytes(48).toString("base64").replace(/[+/=]/g, "").slice(0, 24)

it.effect("takes of a provider only what looks like its secrets: events are verified by them", () =>
  Effect.gen(function*() {
    const short = `sk_live_${alphanumeric.slice(0, 23)}`
    for (const weak of ["x", "sk_test_fake", short, `pk_live_${alphanumeric}`, `sk_live_${"0".repeat(32)}`]) {
      yield* refuses(real, weak)
    }
    yield* refuses((name) => issued(name, "https://api.stripe.com", /^whsec_/), "whsec_".padEnd(38, "secret"))
    for (const prefix of ["sk_test_", "sk_live_", "rk_live_"]) {
      assert.strictEqual(Redacted.value(yield* read(real, prefix + alphanumeric)), prefix + alphanumeric)
    }
  }))

it.effect("takes anything of a fake, which is on this machine, but not nothing", () =>
  Effect.gen(function*() {
    for (const base of ["http://127.0.0.1:3011", "http://localhost:3011", "http://[::1]:3011"]) {
      assert.strictEqual(Redacted.value(yield* read(stripe(base), "whsec_fake")), "whsec_fake")
      yield* refuses(stripe(base), "")
    }
    for (const elsewhere of ["https://127.0.0.1.example.org", "https://localhost.example.org", "none"]) {
      yield* refuses(stripe(elsewhere), "sk_test_fake")
    }
  }))

it.effect("starts with no provider whose secret is weak, and says which variable it is", () =>
  Effect.gen(function*() {
    const good = `sk_test_${alphanumeric}`
    const built = (environment: Record<string, string>) =>
      Layer.build(GatewaysLive).pipe(
        Effect.provideService(
          ConfigProvider.ConfigProvider,
          ConfigProvider.fromUnknown({ ...environment, STRIPE_RETURN_URL: "https://app.example.com/paid" })
        ),
        Effect.scoped
      )
    const hook = `whsec_${randomBytes(32).toString("hex")}`
    yield* built({ STRIPE_SECRET_KEY: good, STRIPE_WEBHOOK_SECRET: hook, PAYSTACK_SECRET_KEY: good })
    const stripe = { STRIPE_SECRET_KEY: good, STRIPE_WEBHOOK_SECRET: hook }
    for (
      const [variable, environment] of [
        ["PAYSTACK_SECRET_KEY", {}],
        ["STRIPE_SECRET_KEY", stripe],
        ["STRIPE_WEBHOOK_SECRET", stripe],
        ["STRIPE_CONNECT_WEBHOOK_SECRET", stripe]
      ] as const
    ) {
      const { message } = yield* Effect.flip(built({ ...environment, [variable]: "x" }))
      assert.include(message, variable)
    }
  }))
