import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Config, Effect, Layer, Option } from "effect"
import { PaymentCommands, paymentCommands } from "../services/Commands.ts"
import { PaymentQueue, paymentQueue } from "../services/CommandStore.ts"
import { type Gateway, Gateways } from "../services/Gateway.ts"
import { paymentsKeys } from "../services/IdempotencyStore.ts"
import { Payments, PaymentSettings } from "../services/Payments.ts"
import { PaymentStore } from "../services/PaymentStore.ts"
import { Settlement } from "../services/Settlement.ts"
import * as Settings from "./Config.ts"
import { consume } from "./Consumers.ts"
import { pool } from "./Pools.ts"
import { queueMetrics } from "./QueueMetrics.ts"
import { makeSandboxGateway } from "./SandboxGateway.ts"
import { supervised } from "./Supervision.ts"

// Most of a settlement is waiting for the provider and for the ledger's next group commit, which eight of them share.
const consumers = 8

const settings = Layer.effect(
  PaymentSettings,
  Effect.gen(function*() {
    return { currencies: yield* Settings.currencies, returnUrlOrigins: yield* Settings.returnUrlOrigins }
  })
)

/** The sandbox is configured by its secret key; with it, the webhook secret is required too. */
const sandbox = Effect.gen(function*() {
  const secretKey = yield* Config.option(Settings.secret("SANDBOX_SECRET_KEY"))
  if (Option.isNone(secretKey)) return []
  const port = yield* Settings.port("SANDBOX_PORT", 3002)
  const apiBase = yield* Config.NonEmptyString("SANDBOX_API_BASE").pipe(
    Config.withDefault(`http://127.0.0.1:${port}`)
  )
  const webhookSecret = yield* Settings.secret("SANDBOX_WEBHOOK_SECRET")
  return [yield* makeSandboxGateway({ apiBase, secretKey: secretKey.value, webhookSecret })]
})

const gateways = Layer.effect(
  Gateways,
  Effect.map(sandbox, (configured: ReadonlyArray<Gateway>) => ({
    configured: configured.map((gateway) => gateway.provider),
    find: (provider) => Option.fromUndefinedOr(configured.find((gateway) => gateway.provider === provider))
  }))
).pipe(Layer.provide([NodeHttpClient.layerUndici, NodeCrypto.layerMac]))

const work = Effect.gen(function*() {
  const settlement = yield* Settlement
  return yield* consume("payment_commands", yield* PaymentCommands, consumers, settlement.work)
})

/** The payments bulkhead: providers, charges, webhooks in. Needs the ledger's public face and Health from outside. */
export const PaymentsLive = Layer.suspend(() => {
  const own = Layer.mergeAll(PaymentStore.layer, paymentCommands("consumer"), paymentQueue(), paymentsKeys()).pipe(
    // The pool is provided, not merged: no other bulkhead can come by its connections.
    Layer.provide(pool("payments"))
  )
  return Layer.merge(supervised("payments", "commands", work), queueMetrics("payment_commands", PaymentQueue)).pipe(
    Layer.provideMerge(Payments.layer),
    Layer.provideMerge(Settlement.layer),
    Layer.provideMerge(Layer.merge(gateways, settings)),
    Layer.provideMerge(own)
  )
})
