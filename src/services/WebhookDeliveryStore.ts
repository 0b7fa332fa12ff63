import { Context, DateTime, Effect, Layer, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import type { WebhookEndpointId } from "../domain/Ids.ts"
import { type DeliveryAttempt, givenUpAfter, WebhookEventId } from "../domain/WebhookDeliveries.ts"
import type { DisabledReason } from "../domain/WebhookEndpoints.ts"
import { decoded } from "./Database.ts"
import { endpointColumns, endpointFields } from "./WebhookEndpointStore.ts"

/** As many deliveries may wait for an endpoint; what comes on top of them is a dead letter at once. */
export const mostWaiting = 10_000
/** Longer than a turn begins attempts, and than the last of these takes, so that an endpoint has one sender at a time. */
export const leaseSeconds = 120

const Leased = Schema.Struct({
  ...endpointFields,
  failures: Schema.Int,
  secret: Schema.Uint8Array,
  previousSecret: Schema.OptionFromNullOr(Schema.Uint8Array),
  previousUntil: Schema.OptionFromNullOr(Schema.DateTimeUtcFromDate)
})
export type Leased = typeof Leased.Type

const Due = Schema.Struct({
  seq: Schema.BigInt,
  attempts: Schema.Int,
  giveUpAt: Schema.DateTimeUtcFromDate,
  eventId: WebhookEventId,
  body: Schema.String
})
export type Due = typeof Due.Type

/** How an endpoint stands after a turn. `failures` in a row; `retryIn` is the pause before it is tried again. */
export interface Released {
  readonly id: WebhookEndpointId
  readonly failures: number
  readonly retryIn: number
  readonly disable: DisabledReason | undefined
}

/** The sender's side: events become deliveries, endpoints are leased for a turn, and what came of it is written down. */
export class WebhookDeliveryStore extends Context.Service<WebhookDeliveryStore, {
  /** Announces transfers between members that are new in the ledger; how many transfers of any kind were passed. */
  follow(most: number): Effect.Effect<number, SqlError>
  /** Makes a delivery of each new event for each endpoint that wants it; how many events there were. */
  route(now: DateTime.Utc, most: number): Effect.Effect<number, SqlError>
  /** Endpoints with something due, for this caller alone until it releases them. Those that fail stand in a line of their own. */
  lease(now: DateTime.Utc, failing: boolean, most: number): Effect.Effect<ReadonlyArray<Leased>, SqlError>
  due(id: WebhookEndpointId, now: DateTime.Utc, most: number): Effect.Effect<ReadonlyArray<Due>, SqlError>
  /** Writes down an attempt. `next`: when it is tried again; null ends it, delivered or given up. */
  record(
    delivery: { readonly endpointId: WebhookEndpointId; readonly seq: bigint },
    attempt: typeof DeliveryAttempt.Encoded,
    state: "pending" | "delivered" | "failed",
    next: DateTime.Utc | null,
    failure: string | null
  ): Effect.Effect<void, SqlError>
  release(endpoint: Released, now: DateTime.Utc): Effect.Effect<void, SqlError>
  /** Forgets what is older than thirty days, and endpoints that were removed; how many rows went. */
  purge(now: DateTime.Utc): Effect.Effect<number, SqlError>
}>()("midnight/services/webhooks/WebhookDeliveryStore") {
  static readonly layer = Layer.effect(WebhookDeliveryStore, Effect.suspend(() => make))
}

const make = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const at = (time: DateTime.Utc) => sql`${DateTime.formatIso(time)}::timestamptz`

  // Endpoints are locked in the order of their ids before anything is written, here and when they are released: a sender
  // that looks for what is due next must see what is being routed, or it would sleep over it.
  const route = Effect.fn("WebhookDeliveryStore.route")(function*(now: DateTime.Utc, most: number) {
    const events = yield* sql<{ readonly seq: bigint }>`
      SELECT seq FROM webhooks.events WHERE routed_at IS NULL ORDER BY seq LIMIT ${most} FOR UPDATE SKIP LOCKED`
    if (events.length === 0) return 0
    const seqs = JSON.stringify(events.map(({ seq }) => String(seq)))
    const chosen = sql`SELECT value::bigint AS seq FROM jsonb_array_elements_text(${seqs}::text::jsonb)`
    yield* sql`
      SELECT id FROM webhooks.endpoints WHERE id IN (
        SELECT e.id FROM (${chosen}) c JOIN webhooks.events v ON v.seq = c.seq
          JOIN webhooks.endpoints e ON e.user_id = v.user_id AND e.deleted_at IS NULL
        UNION ALL SELECT id FROM webhooks.endpoints
          WHERE scope = 'all' AND status = 'enabled' AND deleted_at IS NULL) ORDER BY id FOR UPDATE`
    yield* sql`
      WITH wanted AS MATERIALIZED (
        SELECT v.seq, e.id, e.failing_since FROM (${chosen}) c JOIN webhooks.events v ON v.seq = c.seq
          JOIN webhooks.endpoints e ON e.user_id = v.user_id AND e.deleted_at IS NULL AND e.scope = 'own'
         WHERE e.status = 'enabled' AND e.events && ARRAY[v.type, '*']
        UNION ALL
        SELECT v.seq, e.id, e.failing_since FROM (${chosen}) c JOIN webhooks.events v ON v.seq = c.seq
          JOIN webhooks.endpoints e ON e.scope = 'all' AND e.status = 'enabled' AND e.deleted_at IS NULL
           AND e.events && ARRAY[v.type, '*']),
      full_up AS MATERIALIZED (
        SELECT w.id FROM (SELECT DISTINCT id FROM wanted) w WHERE (
          SELECT count(*) FROM (SELECT FROM webhooks.deliveries d WHERE d.endpoint_id = w.id AND d.state = 'pending'
                                 LIMIT ${mostWaiting}) n) >= ${mostWaiting}),
      made AS (
        INSERT INTO webhooks.deliveries
          (seq, endpoint_id, state, next_at, give_up_at, last_failure, created_at, updated_at)
        SELECT w.seq, w.id, CASE WHEN f.id IS NULL THEN 'pending' ELSE 'failed' END,
               CASE WHEN f.id IS NULL THEN ${at(now)} END,
               ${at(DateTime.add(now, givenUpAfter))},
               CASE WHEN f.id IS NOT NULL THEN 'too many deliveries were waiting' END, ${at(now)}, ${at(now)}
          FROM wanted w LEFT JOIN full_up f ON f.id = w.id ORDER BY w.seq
        ON CONFLICT (seq, endpoint_id) DO NOTHING RETURNING endpoint_id)
      UPDATE webhooks.endpoints e
         SET due_at = least(e.due_at, ${at(now)}
               + CASE WHEN e.failing_since IS NULL THEN interval '0' ELSE interval '1 minute' END)
       WHERE e.id IN (SELECT endpoint_id FROM made)`
    yield* sql`UPDATE webhooks.events SET routed_at = ${at(now)} WHERE seq IN (${chosen})`
    return events.length
  }, sql.withTransaction)

  const leaseRows = SqlSchema.findAll({
    Request: Schema.Struct({ now: Schema.DateTimeUtcFromString, failing: Schema.Boolean, most: Schema.Int }),
    Result: Leased,
    execute: ({ failing, most, now }) =>
      sql`
      UPDATE webhooks.endpoints SET leased_until = ${now}::timestamptz + make_interval(secs => ${leaseSeconds})
       WHERE id IN (
         SELECT id FROM webhooks.endpoints WHERE status = 'enabled' AND deleted_at IS NULL
            AND failing_since ${failing ? sql.literal("IS NOT NULL") : sql.literal("IS NULL")}
            AND due_at <= ${now}::timestamptz AND (leased_until IS NULL OR leased_until < ${now}::timestamptz)
          ORDER BY due_at LIMIT ${most} FOR UPDATE SKIP LOCKED)
      RETURNING ${sql.literal(endpointColumns)}, failures, secret, previous_secret AS "previousSecret",
                previous_until AS "previousUntil"`
  })

  const dueRows = SqlSchema.findAll({
    Request: Schema.Struct({ id: Schema.String, now: Schema.DateTimeUtcFromString, most: Schema.Int }),
    Result: Due,
    execute: ({ id, most, now }) =>
      sql`
      SELECT d.seq, d.attempts, d.give_up_at AS "giveUpAt", v.id AS "eventId", v.body
        FROM webhooks.deliveries d JOIN webhooks.events v ON v.seq = d.seq
       WHERE d.endpoint_id = ${id} AND d.state = 'pending' AND d.next_at <= ${now}::timestamptz
       ORDER BY d.next_at LIMIT ${most}`
  })

  const release = Effect.fn("WebhookDeliveryStore.release")(function*(released: Released, now: DateTime.Utc) {
    const { disable, failures, id, retryIn } = released
    yield* sql`SELECT id FROM webhooks.endpoints WHERE id = ${id} FOR UPDATE`
    if (disable !== undefined) {
      yield* sql`
        UPDATE webhooks.deliveries SET state = 'failed', next_at = NULL, last_failure = 'the endpoint was disabled',
               updated_at = ${at(now)} WHERE endpoint_id = ${id} AND state = 'pending'`
    }
    yield* sql`
      UPDATE webhooks.endpoints e
         SET leased_until = NULL, failures = ${failures},
             failing_since = CASE WHEN ${failures} = 0 THEN NULL ELSE coalesce(failing_since, ${at(now)}) END,
             status = CASE WHEN ${disable ?? null}::text IS NULL THEN status ELSE 'disabled' END,
             disabled_reason = coalesce(${disable ?? null}::text, disabled_reason),
             due_at = (SELECT greatest(next_at, ${at(now)} + make_interval(secs => ${retryIn / 1_000}))
                         FROM webhooks.deliveries d WHERE d.endpoint_id = ${id} AND d.state = 'pending'
                        ORDER BY d.next_at LIMIT 1)
       WHERE e.id = ${id}`
  }, sql.withTransaction)

  const purge = Effect.fn("WebhookDeliveryStore.purge")(function*(now: DateTime.Utc) {
    const old = yield* sql`
      DELETE FROM webhooks.events WHERE seq IN (
        SELECT seq FROM webhooks.events WHERE created_at < ${at(DateTime.subtract(now, { days: 30 }))}
         ORDER BY created_at LIMIT 1000) RETURNING seq`
    const removed = yield* sql`
      DELETE FROM webhooks.deliveries WHERE (seq, endpoint_id) IN (
        SELECT d.seq, d.endpoint_id FROM webhooks.endpoints e JOIN webhooks.deliveries d ON d.endpoint_id = e.id
         WHERE e.deleted_at IS NOT NULL LIMIT 1000) RETURNING seq`
    const endpoints = yield* sql`
      DELETE FROM webhooks.endpoints e WHERE e.deleted_at < ${at(DateTime.subtract(now, { minutes: 10 }))}
         AND NOT EXISTS (SELECT FROM webhooks.deliveries d WHERE d.endpoint_id = e.id) RETURNING id`
    return old.length + removed.length + endpoints.length
  })

  return WebhookDeliveryStore.of({
    follow: (most) =>
      Effect.map(
        sql<{ readonly passed: number }>`SELECT webhooks.follow_transfers(${most}::int) AS passed`,
        (rows) => rows[0]?.passed ?? 0
      ),
    route,
    lease: (now, failing, most) => decoded(leaseRows({ now, failing, most })),
    due: (id, now, most) => decoded(dueRows({ id, now, most })),
    record: ({ endpointId, seq }, attempt, state, next, failure) =>
      Effect.asVoid(sql`
        UPDATE webhooks.deliveries
           SET state = ${state}, attempts = attempts + 1, next_at = ${
        next === null ? null : DateTime.formatIso(next)
      }::timestamptz,
               last_failure = ${failure}, updated_at = ${attempt.at}::timestamptz,
               log = CASE WHEN jsonb_array_length(log) >= 20 THEN log - 0 ELSE log END
                     || jsonb_build_array(${JSON.stringify(attempt)}::text::jsonb)
         WHERE seq = ${seq} AND endpoint_id = ${endpointId} AND state = 'pending'`),
    release,
    purge
  })
})
