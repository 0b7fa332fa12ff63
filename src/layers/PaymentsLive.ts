import { Effect, Layer } from "effect"
import { PaymentCommands, paymentCommands } from "../services/Commands.ts"
import { PaymentQueue, paymentQueue } from "../services/CommandStore.ts"
import { paymentsKeys } from "../services/IdempotencyStore.ts"
import { Payments, PaymentSettings } from "../services/Payments.ts"
import { PaymentStore } from "../services/PaymentStore.ts"
import { Settlement } from "../services/Settlement.ts"
import * as Settings from "./Config.ts"
import { consume } from "./Consumers.ts"
import { GatewaysLive } from "./GatewaysLive.ts"
import { pool } from "./Pools.ts"
import { queueMetrics } from "./QueueMetrics.ts"
import { supervised } from "./Supervision.ts"

// Most of a settlement is waiting for the provider and for the ledger's next group commit, which eight of them share.
const consumers = 8

const settings = Layer.effect(
  PaymentSettings,
  Effect.gen(function*() {
    return { currencies: yield* Settings.currencies, returnUrlOrigins: yield* Settings.returnUrlOrigins }
  })
)

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
    Layer.provideMerge(Layer.merge(GatewaysLive, settings)),
    Layer.provideMerge(own)
  )
})
