import { Effect, FiberSet, Layer } from "effect"
import { Sealed } from "../../services/Sealed.ts"
import { WebhookSettings } from "../../services/WebhookCourier.ts"
import { WebhookDeliveries } from "../../services/WebhookDeliveries.ts"
import { WebhookDeliveryStore } from "../../services/WebhookDeliveryStore.ts"
import { WebhookEndpoints } from "../../services/WebhookEndpoints.ts"
import { WebhookEndpointStore } from "../../services/WebhookEndpointStore.ts"
import { WebhookLogStore, WebhookQueue, webhookQueue } from "../../services/WebhookLogStore.ts"
import * as Settings from "../Config.ts"
import { pool } from "../Pools.ts"
import { queueMetrics } from "../QueueMetrics.ts"
import { every, supervised } from "../Supervision.ts"
import { CourierLive } from "./CourierLive.ts"
import { HostNames } from "./HostNames.ts"

/** Turns run beside the rounds, so that one that waits for its receiver holds up none. They end with this task. */
const sending = Effect.scoped(Effect.gen(function*() {
  const { round } = yield* WebhookDeliveries
  const turns = yield* FiberSet.make<void>()
  // While the database is away nothing is due; it is no fault of this task, which must not take payments down with it.
  const once = round.pipe(
    Effect.flatMap(Effect.forEach((turn) => FiberSet.run(turns, turn), { discard: true })),
    Effect.catchTag(
      "Unavailable",
      (error) => Effect.andThen(Effect.logWarning(`Events wait to be sent: ${error.message}`), Effect.sleep("1 second"))
    )
  )
  return yield* every("250 millis", once)
}))

const purging = Effect.flatMap(WebhookDeliveries, ({ purge }) => every("10 minutes", Effect.ignore(purge)))

/** What the tests replace: how a letter is carried. */
export const Courier = CourierLive.pipe(Layer.provide(HostNames.layer))

const settings = Layer.effect(
  WebhookSettings,
  Effect.map(Settings.webhookAllowPrivate, (allowPrivate) => ({ allowPrivate }))
)
const sealed = Layer.unwrap(Effect.map(Settings.encryptionSecrets, Sealed.layer))

/**
 * Webhooks out: a part of the payments bulkhead with a schema, a role and connections of its own, so that neither a receiver
 * that hangs nor a query of this part takes anything that a payment needs.
 */
export const WebhooksOutServices = Layer.suspend(() => {
  const own = Layer.mergeAll(
    WebhookEndpointStore.layer,
    WebhookDeliveryStore.layer,
    WebhookLogStore.layer,
    webhookQueue()
  ).pipe(Layer.provide(pool("webhooks")))
  return Layer.merge(WebhookEndpoints.layer, WebhookDeliveries.layer).pipe(
    Layer.provide(sealed),
    Layer.provideMerge(own)
  )
})

export const WebhooksOutLive = Layer.suspend(() => {
  const background = Layer.mergeAll(
    supervised("payments", "webhooks", sending),
    supervised("payments", "webhooks-purge", purging),
    queueMetrics("webhook_deliveries", WebhookQueue)
  )
  return background.pipe(
    Layer.provideMerge(WebhooksOutServices),
    Layer.provide(Courier),
    Layer.provide(settings)
  )
})
