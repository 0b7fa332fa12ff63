import { type Expected, keeps, serves } from "./Expected.ts"

const published =
  "PaymentStore.move PaymentStore.succeed OutgoingStore.settle VerificationStore.decide ReviewStore.decide"

/** The indexes of webhooks out. */
export const webhookIndexes: Readonly<Record<string, Readonly<Record<string, Expected>>>> = {
  "webhooks.deliveries": {
    deliveries_dead: serves(
      "btree (updated_at, number) WHERE (state = 'failed'::text)",
      "WebhookQueue.deadLetters WebhookQueue.standing"
    ),
    deliveries_due: serves(
      "btree (endpoint_id, next_at) WHERE (state = 'pending'::text)",
      "WebhookDeliveryStore.due WebhookDeliveryStore.release WebhookEndpointStore.edit WebhookQueue.standing"
    ),
    deliveries_of_endpoint: serves("btree (endpoint_id, seq DESC)", "WebhookLogStore.list WebhookDeliveryStore.purge"),
    deliveries_pkey: keeps("unique btree (seq, endpoint_id)", "an event has one delivery to an endpoint")
  },
  "webhooks.endpoints": {
    endpoints_deleted: serves("btree (deleted_at) WHERE (deleted_at IS NOT NULL)", "WebhookDeliveryStore.purge"),
    endpoints_due: serves(
      "btree (due_at) WHERE ((status = 'enabled'::text) AND (deleted_at IS NULL) AND (failing_since IS NULL))",
      "WebhookDeliveryStore.lease"
    ),
    endpoints_failing: serves(
      "btree (due_at) WHERE ((status = 'enabled'::text) AND (deleted_at IS NULL) AND (failing_since IS NOT NULL))",
      "WebhookDeliveryStore.lease"
    ),
    endpoints_of_all: serves(
      "btree (id) WHERE ((scope = 'all'::text) AND (status = 'enabled'::text) AND (deleted_at IS NULL))",
      `WebhookDeliveryStore.route ${published}`
    ),
    endpoints_of_transfers: serves(
      "btree (user_id) WHERE ((status = 'enabled'::text) AND (deleted_at IS NULL) AND (events && ARRAY['transfer.received'::text, '*'::text]))",
      "WebhookDeliveryStore.follow"
    ),
    endpoints_of_user: serves(
      "unique btree (user_id, slot) WHERE (deleted_at IS NULL)",
      `WebhookEndpointStore.insert WebhookEndpointStore.list WebhookEndpointStore.forget WebhookDeliveryStore.route ${published}`
    ),
    endpoints_pkey: serves(
      "unique btree (id)",
      "WebhookEndpointStore.edit WebhookDeliveryStore.release WebhookLogStore.redeliver"
    )
  },
  "webhooks.events": {
    events_created: serves("btree (created_at)", "WebhookDeliveryStore.purge"),
    events_id_key: serves("unique btree (id)", "WebhookLogStore.redeliver WebhookQueue.requeue WebhookQueue.state"),
    events_pkey: serves(
      "unique btree (seq)",
      "WebhookDeliveryStore.route WebhookDeliveryStore.due WebhookLogStore.list"
    ),
    events_unrouted: serves("btree (seq) WHERE (routed_at IS NULL)", "WebhookDeliveryStore.route")
  }
}
