import { Context, DateTime, Effect, Layer, Option, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import { UserId, WebhookEndpointId } from "../domain/Ids.ts"
import {
  DisabledReason,
  mostEndpoints,
  type WebhookEndpoint,
  WebhookEndpointView,
  WebhookScope
} from "../domain/WebhookEndpoints.ts"
import { type Happened, recorder } from "./AuditStore.ts"
import { decoded } from "./Database.ts"

export const endpointFields = {
  id: WebhookEndpointId,
  userId: UserId,
  scope: WebhookScope,
  url: Schema.String,
  description: Schema.OptionFromNullOr(Schema.String),
  events: Schema.fromJsonString(WebhookEndpointView.fields.events),
  status: Schema.Literals(["enabled", "disabled"]),
  disabledReason: Schema.OptionFromNullOr(DisabledReason),
  failingSince: Schema.OptionFromNullOr(Schema.DateTimeUtcFromDate),
  createdAt: Schema.DateTimeUtcFromDate
}
const Row = Schema.Struct(endpointFields)
const decodeRows = Schema.decodeUnknownEffect(Schema.Array(Row))

export const endpointColumns = `id, user_id AS "userId", scope, url, description, array_to_json(events)::text AS events,
  status, disabled_reason AS "disabledReason", failing_since AS "failingSince", created_at AS "createdAt"`

export interface NewEndpoint
  extends Pick<WebhookEndpoint, "id" | "userId" | "scope" | "url" | "description" | "events">
{
  readonly secret: Uint8Array
}

/** What its owner does with an endpoint. Deliveries to it are WebhookDeliveryStore's. */
export class WebhookEndpointStore extends Context.Service<WebhookEndpointStore, {
  /** None: no place was free, or another request took the one that was. */
  insert(endpoint: NewEndpoint, now: DateTime.Utc): Effect.Effect<Option.Option<WebhookEndpoint>, SqlError>
  find(userId: UserId, id: WebhookEndpointId): Effect.Effect<Option.Option<WebhookEndpoint>, SqlError>
  /** Newest first, older than `before`. */
  list(page: {
    readonly userId: UserId
    readonly before: Option.Option<WebhookEndpointId>
    readonly limit: number
  }): Effect.Effect<ReadonlyArray<WebhookEndpoint>, SqlError>
  /** One that is enabled begins anew; what one that is disabled still had to send are dead letters. */
  edit(endpoint: WebhookEndpoint, now: DateTime.Utc): Effect.Effect<Option.Option<WebhookEndpoint>, SqlError>
  /** The secret of before goes on signing until then. */
  rotate(
    endpoint: Pick<WebhookEndpoint, "id" | "userId">,
    secret: Uint8Array,
    previousUntil: DateTime.Utc
  ): Effect.Effect<Option.Option<WebhookEndpoint>, SqlError>
  /** Gone for its owner at once, with its secrets and where it led; what was delivered to it is cleared away by and by. */
  remove(userId: UserId, id: WebhookEndpointId, now: DateTime.Utc): Effect.Effect<boolean, SqlError>
  /** Removes all that somebody has. */
  forget(userId: UserId, now: DateTime.Utc): Effect.Effect<void, SqlError>
}>()("midnight/services/webhooks/WebhookEndpointStore") {
  static readonly layer = Layer.effect(
    WebhookEndpointStore,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const columns = sql.literal(endpointColumns)
      const record = recorder(sql)
      // What it was says who its owner is, and with whom he deals; its row waits for its deliveries to be cleared away.
      const emptied = sql.literal(
        `url = 'https://removed.invalid/', description = NULL, due_at = NULL, secret = decode('00', 'hex'),
         previous_secret = NULL, previous_until = NULL`
      )
      const rows = Effect.flatMap((found: ReadonlyArray<unknown>) => decoded(decodeRows(found)))
      const first = (found: Effect.Effect<ReadonlyArray<unknown>, SqlError>) =>
        Effect.map(rows(found), (all) => Option.fromUndefinedOr(all[0]))
      /** One transaction: what its owner did with it, and its record. */
      const recording = (kind: Happened["kind"], work: Effect.Effect<Option.Option<WebhookEndpoint>, SqlError>) =>
        work.pipe(
          Effect.tap((done) =>
            Option.isSome(done)
              ? record({
                kind,
                userId: done.value.userId,
                by: done.value.userId,
                subject: done.value.id,
                scope: done.value.scope
              })
              : Effect.void
          ),
          sql.withTransaction
        )
      const json = (events: WebhookEndpoint["events"]) =>
        sql`ARRAY(SELECT jsonb_array_elements_text(${JSON.stringify(events)}::text::jsonb))`

      const insert = (e: NewEndpoint, now: DateTime.Utc) =>
        recording(
          "webhook_endpoint_created",
          first(sql`
          INSERT INTO webhooks.endpoints (id, user_id, slot, scope, url, description, events, secret, created_at, updated_at)
          SELECT ${e.id}::uuid, ${e.userId}::uuid, free, ${e.scope}, ${e.url}, ${Option.getOrNull(e.description)}::text,
                 ${json(e.events)}, ${e.secret}::bytea, ${DateTime.formatIso(now)}::timestamptz,
                 ${DateTime.formatIso(now)}::timestamptz
            FROM generate_series(1, ${mostEndpoints}::int) free
           WHERE NOT EXISTS (SELECT FROM webhooks.endpoints t
                              WHERE t.user_id = ${e.userId} AND t.slot = free AND t.deleted_at IS NULL)
           ORDER BY free LIMIT 1
          ON CONFLICT (user_id, slot) WHERE deleted_at IS NULL DO NOTHING RETURNING ${columns}`)
        )

      const edit = Effect.fn("WebhookEndpointStore.edit")(function*(e: WebhookEndpoint, now: DateTime.Utc) {
        const at = DateTime.formatIso(now)
        const enabled = e.status === "enabled"
        const written = yield* first(sql`
          UPDATE webhooks.endpoints
             SET url = ${e.url}, description = ${Option.getOrNull(e.description)}, events = ${json(e.events)},
                 status = ${e.status}, disabled_reason = ${Option.getOrNull(e.disabledReason)},
                 failing_since = CASE WHEN ${enabled} THEN NULL ELSE failing_since END,
                 failures = CASE WHEN ${enabled} THEN 0 ELSE failures END,
                 due_at = CASE WHEN ${enabled} THEN ${at}::timestamptz ELSE NULL END, updated_at = ${at}::timestamptz
           WHERE id = ${e.id} AND user_id = ${e.userId} AND deleted_at IS NULL RETURNING ${columns}`)
        if (!enabled) {
          yield* sql`
            UPDATE webhooks.deliveries SET state = 'failed', next_at = NULL, last_failure = 'the endpoint was disabled',
                   updated_at = ${at}::timestamptz WHERE endpoint_id = ${e.id} AND state = 'pending'`
        }
        return written
      }, (work) => recording("webhook_endpoint_changed", work))

      const listRows = SqlSchema.findAll({
        Request: Schema.Struct({
          userId: UserId,
          before: Schema.OptionFromNullOr(WebhookEndpointId),
          limit: Schema.Int
        }),
        Result: Row,
        execute: ({ before, limit, userId }) =>
          sql`SELECT ${columns} FROM webhooks.endpoints WHERE user_id = ${userId} AND deleted_at IS NULL
                AND (${before}::uuid IS NULL OR id < ${before}::uuid) ORDER BY id DESC LIMIT ${limit}`
      })

      return WebhookEndpointStore.of({
        insert,
        find: (userId, id) =>
          first(sql`SELECT ${columns} FROM webhooks.endpoints
                     WHERE id = ${id} AND user_id = ${userId} AND deleted_at IS NULL`),
        list: (page) => decoded(listRows(page)),
        edit,
        rotate: ({ id, userId }, secret, previousUntil) =>
          recording(
            "webhook_endpoint_rotated",
            first(sql`
            UPDATE webhooks.endpoints SET previous_secret = secret,
                   previous_until = ${DateTime.formatIso(previousUntil)}::timestamptz, secret = ${secret}::bytea
             WHERE id = ${id} AND user_id = ${userId} AND deleted_at IS NULL RETURNING ${columns}`)
          ),
        remove: (userId, id, now) =>
          recording(
            "webhook_endpoint_deleted",
            first(sql`
            UPDATE webhooks.endpoints SET deleted_at = ${DateTime.formatIso(now)}::timestamptz, ${emptied}
             WHERE id = ${id} AND user_id = ${userId} AND deleted_at IS NULL RETURNING ${columns}`)
          ).pipe(Effect.map(Option.isSome)),
        forget: (userId, now) =>
          Effect.asVoid(sql`
            UPDATE webhooks.endpoints SET deleted_at = ${DateTime.formatIso(now)}::timestamptz, ${emptied}
             WHERE user_id = ${userId} AND deleted_at IS NULL`)
      })
    })
  )
}
