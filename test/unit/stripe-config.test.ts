import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer } from "effect"
import { GatewaysLive } from "../../src/layers/GatewaysLive.ts"
import { Gateways } from "../../src/services/Gateway.ts"

const configured = (more: Record<string, string>) =>
  Effect.map(Gateways, (gateways) => gateways.configured).pipe(
    Effect.provide(GatewaysLive.pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown({
      STRIPE_SECRET_KEY: "sk_test_1",
      STRIPE_WEBHOOK_SECRET: "whsec_test_secret",
      // On this machine a provider's secrets may be short.
      STRIPE_API_BASE: "http://127.0.0.1:1",
      ...more
    })))))
  )

describe("a deployment with Stripe", () => {
  it.effect("does not start without a return URL, and takes either of the two that there are", () =>
    Effect.gen(function*() {
      assert.include(String(yield* Effect.flip(configured({}))), "STRIPE_RETURN_URL")
      assert.deepStrictEqual(yield* configured({ STRIPE_RETURN_URL: "https://app.example.com/done" }), ["stripe"])
      assert.deepStrictEqual(yield* configured({ RETURN_URL_ORIGINS: "https://app.example.com" }), ["stripe"])
    }))
})
