import { Effect, Layer } from "effect"
import { PaymentCommands, paymentCommands } from "../services/Commands.ts"
import { PaymentQueue, paymentQueue } from "../services/CommandStore.ts"
import { withDatabase } from "../services/Database.ts"
import { paymentsKeys } from "../services/IdempotencyStore.ts"
import { OutboundMoney } from "../services/OutboundMoney.ts"
import { PaymentOffers } from "../services/PaymentOffers.ts"
import { Payments, PaymentSettings } from "../services/Payments.ts"
import { PaymentStore } from "../services/PaymentStore.ts"
import { PayoutProgress } from "../services/PayoutProgress.ts"
import { Payouts } from "../services/Payouts.ts"
import { PayoutStore } from "../services/PayoutStore.ts"
import { Refunds } from "../services/Refunds.ts"
import { RefundStore } from "../services/RefundStore.ts"
import { Sealed } from "../services/Sealed.ts"
import { Settlement } from "../services/Settlement.ts"
import * as Settings from "./Config.ts"
import { consume } from "./Consumers.ts"
import { GatewaysLive } from "./GatewaysLive.ts"
import { pool } from "./Pools.ts"
import { queueMetrics } from "./QueueMetrics.ts"
import { every, supervised } from "./Supervision.ts"

// Most of a settlement is waiting for the provider and for the ledger's next group commit, which eight of them share.
const consumers = 8

const settings = Layer.effect(
  PaymentSettings,
  Effect.gen(function*() {
    return {
      currencies: yield* Settings.currencies,
      returnUrlOrigins: yield* Settings.returnUrlOrigins,
      ...(yield* Settings.payoutLimits)
    }
  })
)

const work = Effect.gen(function*() {
  const settlement = yield* Settlement
  const refunds = yield* Refunds
  const payouts = yield* PayoutProgress
  return yield* consume("payment_commands", yield* PaymentCommands, consumers, (command, id) =>
    "refundId" in command
      ? refunds.advance(command.refundId)
      : "payoutId" in command
      ? payouts.advance(command.payoutId)
      : settlement.work(command.paymentId, id))
})

/** Asks about what nothing was heard of for two minutes: an event may be lost, and some providers send none. */
const askAbout = Effect.gen(function*() {
  const [refunds, payouts] = [yield* Refunds, yield* PayoutProgress]
  const [refundStore, payoutStore] = [yield* RefundStore, yield* PayoutStore]
  const one = <E>(about: string, asked: Effect.Effect<void, E>) =>
    Effect.catch(asked, (error) => Effect.logWarning(`${about} could not be asked about`, error))
  const round = Effect.gen(function*() {
    for (const id of yield* withDatabase(refundStore.stuck(120))) yield* one("a refund", refunds.advance(id))
    for (const id of yield* withDatabase(payoutStore.stuck(120))) yield* one("a payout", payouts.advance(id))
  }).pipe(Effect.catchTag("Unavailable", () => Effect.logWarning("Stuck movements wait for the database")))
  return yield* every("60 seconds", round)
})

const sealedLive = Layer.unwrap(Effect.map(Settings.encryptionSecrets, Sealed.layer))

/** The payments bulkhead: providers, charges, webhooks in. Needs the ledger's public face and Health from outside. */
export const PaymentsLive = Layer.suspend(() => {
  const own = Layer.mergeAll(
    PaymentStore.layer,
    RefundStore.layer,
    PayoutStore.layer,
    paymentCommands("consumer"),
    paymentQueue(),
    paymentsKeys()
  ).pipe(
    // The pool is provided, not merged: no other bulkhead can come by its connections.
    Layer.provide(pool("payments"))
  )
  return Layer.mergeAll(
    supervised("payments", "commands", work),
    supervised("payments", "stuck", askAbout),
    queueMetrics("payment_commands", PaymentQueue)
  ).pipe(
    Layer.provideMerge(Layer.mergeAll(Payments.layer, Refunds.layer, Payouts.layer)),
    Layer.provideMerge(PayoutProgress.layer),
    Layer.provideMerge(Layer.mergeAll(Settlement.layer, OutboundMoney.layer, PaymentOffers.layer)),
    Layer.provideMerge(Layer.mergeAll(GatewaysLive, settings, sealedLive)),
    Layer.provideMerge(own)
  )
})
