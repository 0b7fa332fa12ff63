import { Context, DateTime, Effect, Layer, Option, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import { WebhookEndpointId } from "../domain/Ids.ts"
import { PositionInstant } from "../domain/Page.ts"
import { DeliveryAttempt, DeliveryState, givenUpAfter, WebhookEventId } from "../domain/WebhookDeliveries.ts"
import { WebhookEventType } from "../domain/WebhookEndpoints.ts"
import { recorder } from "./AuditStore.ts"
import { type CommandStore, LetterRow, requeued, Standing } from "./CommandStore.ts"
import { decoded } from "./Database.ts"

const Row = Schema.Struct({
  seq: Schema.BigInt,
  id: WebhookEventId,
  type: WebhookEventType,
  state: DeliveryState,
  attempts: Schema.Int,
  lastFailure: Schema.NullOr(Schema.String),
  nextAttemptAt: Schema.NullOr(Schema.DateTimeUtcFromDate),
  log: Schema.fromJsonString(Schema.Array(DeliveryAttempt)),
  createdAt: Schema.DateTimeUtcFromDate
})
export type DeliveryRow = typeof Row.Type

/** The name of a delivery among dead letters. */
const letterId = /^([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}):(evt_[a-z0-9_-]{1,90})$/
const nameOf = (id: string) => {
  const [, endpointId, eventId] = letterId.exec(id) ?? []
  return endpointId === undefined || eventId === undefined ? undefined : { endpointId, eventId }
}

/** The delivery log of an endpoint, and the way back from it. */
export class WebhookLogStore extends Context.Service<WebhookLogStore, {
  /** Newest first, older than `before`. */
  list(page: {
    readonly endpointId: WebhookEndpointId
    readonly state: DeliveryState | undefined
    readonly before: Option.Option<bigint>
    readonly limit: number
  }): Effect.Effect<ReadonlyArray<DeliveryRow>, SqlError>
  /** Due at once, with all its attempts and its time before it. None: there is no such delivery. */
  redeliver(
    endpointId: string,
    eventId: string,
    now: DateTime.Utc
  ): Effect.Effect<Option.Option<DeliveryRow>, SqlError>
}>()("midnight/services/webhooks/WebhookLogStore") {
  static readonly layer = Layer.effect(WebhookLogStore, Effect.map(Effect.suspend(() => make), ({ log }) => log))
}

/** Deliveries that were given up, as operators see the queues. */
export class WebhookQueue extends Context.Service<WebhookQueue, CommandStore>()("midnight/services/WebhookQueue") {}
export const webhookQueue = () =>
  Layer.effect(WebhookQueue, Effect.map(Effect.suspend(() => make), ({ queue }) => queue))

const make = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const record = recorder(sql)
  const columns = sql.literal(`d.seq, v.id, v.type, d.state, d.attempts, d.last_failure AS "lastFailure",
    d.next_at AS "nextAttemptAt", d.log::text AS log, d.created_at AS "createdAt"`)

  const listRows = SqlSchema.findAll({
    Request: Schema.Struct({
      endpointId: WebhookEndpointId,
      state: Schema.NullOr(DeliveryState),
      before: Schema.NullOr(Schema.String),
      limit: Schema.Int
    }),
    Result: Row,
    execute: ({ before, endpointId, limit, state }) =>
      sql`
      SELECT ${columns} FROM webhooks.deliveries d JOIN webhooks.events v ON v.seq = d.seq
       WHERE d.endpoint_id = ${endpointId} AND d.seq < coalesce(${before}::bigint, 9223372036854775807)
         ${state === null ? sql.literal("") : sql`AND d.state = ${state}`}
       ORDER BY d.seq DESC LIMIT ${limit}`
  })

  const again = SqlSchema.findOneOption({
    Request: Schema.Struct({ endpointId: Schema.String, eventId: Schema.String, now: Schema.DateTimeUtcFromString }),
    Result: Row,
    execute: ({ endpointId, eventId, now }) =>
      sql`
      UPDATE webhooks.deliveries d
         SET state = 'pending', attempts = 0, next_at = ${now}::timestamptz, updated_at = ${now}::timestamptz,
             give_up_at = ${now}::timestamptz + make_interval(hours => ${givenUpAfter.hours})
        FROM webhooks.events v WHERE v.id = ${eventId} AND d.seq = v.seq AND d.endpoint_id = ${endpointId}
      RETURNING ${columns}`
  })
  const redeliver = Effect.fn("WebhookLogStore.redeliver")(
    function*(endpointId: string, eventId: string, now: DateTime.Utc) {
      const at = DateTime.formatIso(now)
      const locked = yield* sql`
        SELECT id FROM webhooks.endpoints WHERE id = ${endpointId} AND deleted_at IS NULL AND status = 'enabled' FOR UPDATE`
      if (locked.length === 0) return Option.none()
      const row = yield* decoded(again({ endpointId, eventId, now }))
      if (Option.isSome(row)) {
        yield* sql`UPDATE webhooks.endpoints SET due_at = least(due_at, ${at}::timestamptz) WHERE id = ${endpointId}`
      }
      return row
    },
    sql.withTransaction
  )

  const deadLetters = SqlSchema.findAll({
    Request: Schema.Struct({
      at: Schema.NullOr(PositionInstant),
      sequence: Schema.NullOr(Schema.String),
      limit: Schema.Int
    }),
    Result: LetterRow,
    execute: ({ at, limit, sequence }) =>
      sql`
      SELECT d.endpoint_id || ':' || v.id AS id, d.attempts, d.last_failure AS "lastFailure",
             NULL::text AS "requestId", d.created_at AS "createdAt", d.updated_at AS "failedAt",
             to_char(d.updated_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"+00"') AS position, d.number AS sequence
        FROM webhooks.deliveries d JOIN webhooks.events v ON v.seq = d.seq
       WHERE d.state = 'failed' AND (d.updated_at, d.number) > (coalesce(${at}::timestamptz, '-infinity'),
                                                                coalesce(${sequence}::bigint, 0))
       ORDER BY d.updated_at, d.number LIMIT ${limit}`
  })

  const stateOf = SqlSchema.findOneOption({
    Request: Schema.Struct({ endpointId: Schema.String, eventId: Schema.String }),
    Result: Schema.Struct({ state: DeliveryState, lastFailure: Schema.NullOr(Schema.String) }),
    execute: ({ endpointId, eventId }) =>
      sql`
      SELECT d.state, d.last_failure AS "lastFailure" FROM webhooks.events v JOIN webhooks.deliveries d ON d.seq = v.seq
       WHERE v.id = ${eventId} AND d.endpoint_id = ${endpointId}`
  })

  const requeue = Effect.fn("WebhookQueue.requeue")(function*(id: string, by: string) {
    const name = nameOf(id)
    const found = name === undefined ? Option.none() : yield* decoded(stateOf(name))
    if (name === undefined || Option.isNone(found) || found.value.state !== "failed") return false
    const row = yield* redeliver(name.endpointId, name.eventId, yield* DateTime.now)
    if (Option.isNone(row)) return false
    yield* sql`
      INSERT INTO queue.requeues (queue_name, command_id, requeued_by, last_failure)
      VALUES ('webhook_deliveries', ${id}, ${by}, ${found.value.lastFailure})`
    yield* record(requeued("webhook_deliveries", id, by))
    return true
  }, sql.withTransaction)

  const standing = SqlSchema.findOne({
    Request: Schema.Void,
    Result: Standing,
    execute: () =>
      sql`
      SELECT (SELECT count(*)::int FROM webhooks.deliveries WHERE state = 'pending') AS waiting,
             (SELECT count(*)::int FROM webhooks.deliveries WHERE state = 'failed') AS dead,
             coalesce((SELECT extract(epoch FROM now() - min(created_at)) FROM webhooks.deliveries
                        WHERE state = 'pending'), 0)::float8 AS "oldestSeconds"`
  })

  const queue: CommandStore = {
    deadLetters: (after, limit) =>
      decoded(deadLetters({
        at: Option.getOrNull(Option.map(after, ({ at }) => at)),
        sequence: Option.getOrNull(Option.map(after, ({ sequence }) => String(sequence))),
        limit
      })),
    requeue,
    state: (id) => {
      const name = nameOf(id)
      return name === undefined
        ? Effect.succeedNone
        : Effect.map(
          decoded(stateOf(name)),
          Option.map(({ state }) => state === "delivered" ? "completed" as const : state)
        )
    },
    standing: decoded(Effect.catchTag(standing(undefined), "NoSuchElementError", Effect.die))
  }
  const log: WebhookLogStore["Service"] = {
    list: ({ before, endpointId, limit, state }) =>
      decoded(listRows({
        endpointId,
        state: state ?? null,
        before: Option.getOrNull(Option.map(before, String)),
        limit
      })),
    redeliver
  }
  return { log, queue }
})
