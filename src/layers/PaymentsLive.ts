import { Effect, Layer } from "effect"
import { payoutsAtOnce } from "../domain/Payouts.ts"
import { PaymentActs } from "../services/AuditStore.ts"
import { PaymentCommands, paymentCommands } from "../services/Commands.ts"
import { PaymentQueue, paymentQueue } from "../services/CommandStore.ts"
import { Disputes } from "../services/Disputes.ts"
import { DisputeStore } from "../services/DisputeStore.ts"
import { Flags } from "../services/Flags.ts"
import { FlagStore } from "../services/FlagStore.ts"
import { paymentsKeys } from "../services/IdempotencyStore.ts"
import { Outgoings } from "../services/Outgoings.ts"
import { OutgoingStore } from "../services/OutgoingStore.ts"
import { Payments, PaymentSettings } from "../services/Payments.ts"
import { PaymentStore } from "../services/PaymentStore.ts"
import { PaymentWork } from "../services/PaymentWork.ts"
import { Payouts, PayoutSettings } from "../services/Payouts.ts"
import { Reconciliation } from "../services/Reconciliation.ts"
import { ReconciliationStore } from "../services/ReconciliationStore.ts"
import { Refunds } from "../services/Refunds.ts"
import { Sealed } from "../services/Sealed.ts"
import { Settlement } from "../services/Settlement.ts"
import { Webhooks } from "../services/Webhooks.ts"
import * as Settings from "./Config.ts"
import { consume } from "./Consumers.ts"
import { GatewaysLive } from "./GatewaysLive.ts"
import { figure } from "./LimitFigures.ts"
import { pool } from "./Pools.ts"
import { queueMetrics } from "./QueueMetrics.ts"
import { every, supervised } from "./Supervision.ts"
import { WebhooksOutLive } from "./webhooks/WebhooksOutLive.ts"

// Most of a settlement is waiting for the provider and for the ledger's next group commit, which eight of them share.
const consumers = 8

const settings = Layer.effect(
  PaymentSettings,
  Effect.gen(function*() {
    return { currencies: yield* Settings.currencies, returnUrlOrigins: yield* Settings.returnUrlOrigins }
  })
)

const payoutSettings = Layer.effect(
  PayoutSettings,
  Effect.gen(function*() {
    return {
      currencies: yield* Settings.currencies,
      approvalAbove: yield* Settings.payoutApprovalAbove,
      dailyLimit: yield* Settings.payoutDailyLimit,
      atOnce: yield* figure("LIMIT_PAYOUTS", payoutsAtOnce)
    }
  })
)

const work = Effect.gen(function*() {
  const { run } = yield* PaymentWork
  return yield* consume("payment_commands", yield* PaymentCommands, consumers, run)
})

/** Asks about what has not moved for a while, so that nothing depends on an event that may be lost. */
const asking = Effect.flatMap(Reconciliation, ({ askAboutStuck }) => every("15 seconds", Effect.ignore(askAboutStuck)))

/**
 * Compares the providers' lists of two days with what is recorded here, and once a day those of ten: a bank may return a payout
 * days after it was paid.
 */
const reconciling = Effect.flatMap(
  Reconciliation,
  // Not while a process starts: then requests come first.
  ({ run }) =>
    Effect.all([
      Effect.delay(every("15 minutes", Effect.ignore(run(48))), "1 minute"),
      Effect.delay(every("1440 minutes", Effect.ignore(run(240))), "10 minutes")
    ], { concurrency: 2, discard: true })
)

const sealed = Layer.unwrap(Effect.map(Settings.encryptionSecrets, Sealed.layer))

/** The payments bulkhead: providers, money in and out, webhooks in. Needs the ledger's public face and Health from outside. */
export const PaymentsLive = Layer.suspend(() => {
  const own = Layer.mergeAll(
    PaymentStore.layer,
    OutgoingStore.layer,
    PaymentActs.layer,
    FlagStore.layer,
    DisputeStore.layer,
    ReconciliationStore.layer,
    paymentCommands("consumer"),
    paymentQueue(),
    paymentsKeys()
  ).pipe(
    // The pool is provided, not merged: no other bulkhead can come by its connections.
    Layer.provide(pool("payments"))
  )
  const background = Layer.mergeAll(
    supervised("payments", "commands", work),
    supervised("payments", "stuck", asking),
    supervised("payments", "reconciliation", reconciling),
    queueMetrics("payment_commands", PaymentQueue),
    WebhooksOutLive
  )
  return background.pipe(
    Layer.provideMerge(
      Layer.mergeAll(Payments.layer, Refunds.layer, Payouts.layer, Flags.layer, Reconciliation.layer, Webhooks.layer)
    ),
    Layer.provideMerge(PaymentWork.layer),
    Layer.provideMerge(Disputes.layer),
    Layer.provideMerge(Layer.merge(Settlement.layer, Outgoings.layer)),
    Layer.provideMerge(Layer.mergeAll(GatewaysLive, settings, payoutSettings)),
    Layer.provide(sealed),
    Layer.provideMerge(own)
  )
})
