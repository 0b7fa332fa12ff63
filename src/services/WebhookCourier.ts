import { Context, type Effect } from "effect"
import type { DeliveryOutcome } from "../domain/WebhookDeliveries.ts"

/** Carries one signed event to its receiver. Never fails: what went wrong is what is written into the log. */
export class WebhookCourier extends Context.Service<WebhookCourier, {
  send(letter: {
    readonly url: string
    readonly headers: Readonly<Record<string, string>>
    readonly body: string
  }): Effect.Effect<DeliveryOutcome>
}>()("midnight/services/webhooks/WebhookCourier") {}

/** What a deployment allows. */
export class WebhookSettings extends Context.Service<WebhookSettings, {
  /** http and private addresses too: for development and tests, never where strangers may name an endpoint. */
  readonly allowPrivate: boolean
}>()("midnight/services/webhooks/WebhookSettings") {}
