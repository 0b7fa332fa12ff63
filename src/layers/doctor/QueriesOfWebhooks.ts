import type { PgConnection } from "@effect/sql-pg"
import { DateTime, Effect, Option } from "effect"
import { SecureRandom } from "effect/crypto"
import { UserId, WebhookEndpointId } from "../../domain/Ids.ts"
import type { WebhookEndpoint } from "../../domain/WebhookEndpoints.ts"
import type { CommandStore } from "../../services/CommandStore.ts"
import type { LedgerStore } from "../../services/LedgerStore.ts"
import type { WebhookDeliveryStore } from "../../services/WebhookDeliveryStore.ts"
import type { WebhookEndpointStore } from "../../services/WebhookEndpointStore.ts"
import type { WebhookLogStore } from "../../services/WebhookLogStore.ts"
import { after, named, type Uses } from "./NamedQuery.ts"

interface Stores {
  readonly endpoints: WebhookEndpointStore["Service"]
  readonly deliveries: WebhookDeliveryStore["Service"]
  readonly log: WebhookLogStore["Service"]
  readonly queue: CommandStore
  readonly ledger: Pick<LedgerStore["Service"], "post">
}

/** An endpoint, and an event that is on its way to it, or was given up. */
export const webhookQueries = (stores: Stores, connection: PgConnection.PgConnection, now: DateTime.Utc) => {
  const id = WebhookEndpointId.make(SecureRandom.uuidV7Unsafe())
  const userId = UserId.make(SecureRandom.uuidV7Unsafe())
  const eventId = `evt_payment_succeeded_${id}`
  const secret = new Uint8Array(8)
  const endpoint: WebhookEndpoint = {
    id,
    userId,
    scope: "own",
    url: "https://example.com/",
    description: Option.none(),
    events: ["*"],
    status: "enabled",
    disabledReason: Option.none(),
    failingSince: Option.none(),
    createdAt: now
  }
  const disabled: WebhookEndpoint = { ...endpoint, status: "disabled", disabledReason: Option.some("by_user") }
  const there = stores.endpoints.insert({ ...endpoint, secret }, now)
  const published = Effect.andThen(
    there,
    connection.queryValues(
      `INSERT INTO webhooks.events (id, type, user_id, body) VALUES ($1, 'payment.succeeded', $2, '{}')`,
      [eventId, userId]
    )
  )
  const routed = Effect.andThen(published, stores.deliveries.route(now, 10))
  const dead = Effect.andThen(
    routed,
    connection.queryValues(
      `UPDATE webhooks.deliveries SET state = 'failed', next_at = NULL WHERE endpoint_id = $1`,
      [id]
    )
  )
  const attempt = { at: DateTime.formatIso(now), status: 500, failure: "doctor", milliseconds: 1 }
  const named1 = { endpointId: id, seq: 1n }
  const letter = `${id}:${eventId}`
  const transferred = stores.ledger.post([{
    op: "transfer",
    key: `doctor:followed:${userId}`,
    kind: "charge",
    memo: null,
    reference: {},
    legs: [
      { kind: "clearing", owner: "sandbox", currency: "USD", amount: "-1" },
      { kind: "wallet", owner: userId, currency: "USD", amount: "1" }
    ]
  }])
  const released = { id, failures: 1, retryIn: 1_000, disable: undefined }

  const endpoints: Uses<WebhookEndpointStore["Service"]> = {
    insert: there,
    find: stores.endpoints.find(userId, id),
    list: [
      stores.endpoints.list({ userId, before: Option.none(), limit: 20 }),
      stores.endpoints.list({ userId, before: Option.some(id), limit: 20 })
    ],
    edit: [after(routed, stores.endpoints.edit(endpoint, now)), after(routed, stores.endpoints.edit(disabled, now))],
    rotate: after(there, stores.endpoints.rotate(endpoint, secret, now)),
    remove: after(there, stores.endpoints.remove(userId, id, now)),
    forget: after(there, stores.endpoints.forget(userId, now))
  }
  const deliveries: Uses<WebhookDeliveryStore["Service"]> = {
    follow: after(Effect.andThen(there, transferred), stores.deliveries.follow(10)),
    route: after(published, stores.deliveries.route(now, 10)),
    lease: [
      after(routed, stores.deliveries.lease(now, false, 10)),
      after(routed, stores.deliveries.lease(now, true, 10))
    ],
    due: after(routed, stores.deliveries.due(id, now, 10)),
    record: stores.deliveries.record(named1, attempt, "pending", now, "doctor"),
    release: [
      after(routed, stores.deliveries.release(released, now)),
      after(routed, stores.deliveries.release({ ...released, disable: "gone" }, now))
    ],
    purge: after(routed, stores.deliveries.purge(now))
  }
  const log: Uses<WebhookLogStore["Service"]> = {
    list: [
      stores.log.list({ endpointId: id, state: undefined, before: Option.none(), limit: 20 }),
      stores.log.list({ endpointId: id, state: "failed", before: Option.some(9n), limit: 20 })
    ],
    redeliver: after(dead, stores.log.redeliver(id, eventId, now))
  }
  const queue: Uses<CommandStore> = {
    deadLetters: [
      stores.queue.deadLetters(Option.none(), 20),
      stores.queue.deadLetters(Option.some({ at: "2026-01-01T00:00:00.000000+00", sequence: 1n }), 20)
    ],
    requeue: after(dead, stores.queue.requeue(letter, "doctor")),
    state: after(dead, stores.queue.state(letter)),
    standing: stores.queue.standing
  }
  return [
    ...named("WebhookEndpointStore", endpoints),
    ...named("WebhookDeliveryStore", deliveries),
    ...named("WebhookLogStore", log),
    ...named("WebhookQueue", queue)
  ]
}
