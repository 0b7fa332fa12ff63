import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Config, Effect, Layer, Option } from "effect"
import { CircuitBreaker } from "effect/persistence"
import { type Gateway, Gateways } from "../services/Gateway.ts"
import { guarded, ProviderSettings } from "../services/GatewayPolicy.ts"
import { providerSettings } from "./BulkheadSettings.ts"
import * as Settings from "./Config.ts"
import { makePaystackGateway } from "./paystack/PaystackGateway.ts"
import { makeSandboxGateway } from "./SandboxGateway.ts"
import { issued, secret } from "./Secrets.ts"
import { makeStripeGateway } from "./stripe/StripeGateway.ts"

/** A provider is configured by its secret key; with it, the webhook secret is required too. */
const stripe = Effect.gen(function*() {
  const apiBase = yield* Config.NonEmptyString("STRIPE_API_BASE").pipe(Config.withDefault("https://api.stripe.com"))
  // A restricted key begins with rk.
  const secretKey = yield* Config.option(issued("STRIPE_SECRET_KEY", apiBase, /^(sk|rk)_(test|live)_/))
  if (Option.isNone(secretKey)) return []
  const [firstOrigin] = yield* Settings.returnUrlOrigins
  const connected = yield* Config.option(issued("STRIPE_CONNECT_WEBHOOK_SECRET", apiBase, /^whsec_/))
  // Stripe takes no checkout without one: not to have any would fail every charge that names none.
  const returnUrl = Config.NonEmptyString("STRIPE_RETURN_URL")
  return [
    yield* makeStripeGateway({
      secretKey: secretKey.value,
      webhookSecrets: [yield* issued("STRIPE_WEBHOOK_SECRET", apiBase, /^whsec_/), ...Option.toArray(connected)],
      apiBase,
      timeout: (yield* ProviderSettings).limitMillis,
      returnUrl: yield* (firstOrigin === undefined ? returnUrl : returnUrl.pipe(Config.withDefault(firstOrigin)))
    })
  ]
})

/** Paystack signs its events with the secret key itself. */
const paystack = Effect.gen(function*() {
  const apiBase = yield* Config.NonEmptyString("PAYSTACK_API_BASE").pipe(
    Config.withDefault("https://api.paystack.co")
  )
  const secretKey = yield* Config.option(issued("PAYSTACK_SECRET_KEY", apiBase, /^sk_(test|live)_/))
  if (Option.isNone(secretKey)) return []
  return [yield* makePaystackGateway({ apiBase, secretKey: secretKey.value })]
})

const sandbox = Effect.gen(function*() {
  const secretKey = yield* Config.option(secret("SANDBOX_SECRET_KEY"))
  if (Option.isNone(secretKey)) return []
  const port = yield* Settings.port("SANDBOX_PORT", 3002)
  const apiBase = yield* Config.NonEmptyString("SANDBOX_API_BASE").pipe(
    Config.withDefault(`http://127.0.0.1:${port}`)
  )
  const webhookSecret = yield* secret("SANDBOX_WEBHOOK_SECRET")
  return [yield* makeSandboxGateway({ apiBase, secretKey: secretKey.value, webhookSecret })]
})

/**
 * The configured providers, each under its limits, in the order in which a charge that names none finds the one that takes
 * its currency.
 */
export const GatewaysLive = Layer.effect(
  Gateways,
  Effect.gen(function*() {
    const all: ReadonlyArray<Gateway> = [...(yield* paystack), ...(yield* stripe), ...(yield* sandbox)]
    const configured = yield* Effect.forEach(all, guarded)
    return {
      configured: configured.map((gateway) => gateway.provider),
      find: (provider) => Option.fromUndefinedOr(configured.find((gateway) => gateway.provider === provider))
    }
  })
).pipe(
  Layer.provide([
    providerSettings,
    NodeHttpClient.layerUndici,
    NodeCrypto.layerMac,
    NodeCrypto.layerDigest,
    CircuitBreaker.layerStoreMemory()
  ])
)
