import { Context, Effect, Layer, Option, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import type { QueueName } from "../domain/DeadLetters.ts"
import { UserId } from "../domain/Ids.ts"
import { PositionInstant } from "../domain/Page.ts"
import { type Happened, recorder } from "./AuditStore.ts"
import { decoded } from "./Database.ts"

export const LetterRow = Schema.Struct({
  id: Schema.String,
  attempts: Schema.Int,
  lastFailure: Schema.OptionFromNullOr(Schema.String),
  requestId: Schema.OptionFromNullOr(Schema.String),
  createdAt: Schema.DateTimeUtcFromDate,
  failedAt: Schema.DateTimeUtcFromDate,
  position: PositionInstant,
  sequence: Schema.BigInt
})
export type LetterRow = typeof LetterRow.Type

export const Standing = Schema.Struct({ waiting: Schema.Int, oldestSeconds: Schema.Finite, dead: Schema.Int })
export type Standing = typeof Standing.Type

/** What operators see of a queue, and do to it; its work is done through Commands. */
export interface CommandStore {
  /** The longest dead first, those after the position. */
  deadLetters(
    after: Option.Option<{ readonly at: string; readonly sequence: bigint }>,
    limit: number
  ): Effect.Effect<ReadonlyArray<LetterRow>, SqlError>
  /** A dead letter is due again at once, with all its attempts. False when it is none. Keeps who did it, and what had failed. */
  requeue(id: string, by: string): Effect.Effect<boolean, SqlError>
  state(id: string): Effect.Effect<Option.Option<"pending" | "completed" | "failed">, SqlError>
  /** How many commands wait or are being worked, how old the oldest of those is, and how many are dead. */
  readonly standing: Effect.Effect<Standing, SqlError>
}

export class PaymentQueue extends Context.Service<PaymentQueue, CommandStore>()("midnight/services/PaymentQueue") {}
export class SettlementQueue
  extends Context.Service<SettlementQueue, CommandStore>()("midnight/services/SettlementQueue")
{}
export class VerificationQueue
  extends Context.Service<VerificationQueue, CommandStore>()("midnight/services/VerificationQueue")
{}

export class MailQueue extends Context.Service<MailQueue, CommandStore>()("midnight/services/MailQueue") {}

const decodeUserId = Schema.decodeUnknownOption(UserId)
/** What the audit log has of a requeue. `by` may be no account: the command of an operator. */
export const requeued = (queue: QueueName, id: string, by: string): Happened => ({
  kind: "dead_letter_requeued",
  by: Option.getOrUndefined(decodeUserId(by)),
  subject: `${queue}/${id}`
})

/** `revive` brings what the command is about back to where it can be worked, in the same transaction. */
const make = (
  table: QueueName,
  revive: (sql: SqlClient.SqlClient, id: string) => Effect.Effect<unknown, SqlError> = () => Effect.void
) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const queue = sql(`queue.${table}`)
    const record = recorder(sql)

    const deadLetters = SqlSchema.findAll({
      Request: Schema.Struct({
        at: Schema.NullOr(Schema.String),
        sequence: Schema.NullOr(Schema.String),
        limit: Schema.Int
      }),
      Result: LetterRow,
      // The library's times are UTC without saying so.
      execute: ({ at, limit, sequence }) =>
        sql`
        SELECT id, attempts, left(last_failure, 2000) AS "lastFailure", element::jsonb ->> 'requestId' AS "requestId",
               created_at AT TIME ZONE 'UTC' AS "createdAt", updated_at AT TIME ZONE 'UTC' AS "failedAt",
               to_char(updated_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"+00"') AS position, sequence
        FROM ${queue} WHERE state = 'failed'
          AND (updated_at, sequence) > (coalesce(${at}::timestamptz AT TIME ZONE 'UTC', '-infinity'),
                                        coalesce(${sequence}::bigint, 0))
        ORDER BY updated_at, sequence LIMIT ${limit}`
    })

    const requeue = Effect.fn("CommandStore.requeue")(function*(id: string, by: string) {
      const [dead] = yield* sql<{ readonly failure: string | null }>`
        SELECT last_failure AS failure FROM ${queue}
        WHERE id = ${id} AND queue_name = ${table} AND state = 'failed' FOR UPDATE`
      if (dead === undefined) return false
      yield* sql`
        UPDATE ${queue} SET state = 'pending', attempts = 0, visible_at = now() AT TIME ZONE 'UTC',
               updated_at = now() AT TIME ZONE 'UTC', acquired_at = NULL, acquired_by = NULL
        WHERE id = ${id} AND queue_name = ${table}`
      yield* sql`
        INSERT INTO queue.requeues (queue_name, command_id, requeued_by, last_failure)
        VALUES (${table}, ${id}, ${by}, ${dead.failure})`
      yield* record(requeued(table, id, by))
      yield* revive(sql, id)
      return true
    }, sql.withTransaction)

    const state = SqlSchema.findOneOption({
      Request: Schema.String,
      Result: Schema.Struct({ state: Schema.Literals(["pending", "completed", "failed"]) }),
      execute: (id) => sql`SELECT state FROM ${queue} WHERE id = ${id} AND queue_name = ${table}`
    })

    const standing = SqlSchema.findOne({
      Request: Schema.Void,
      Result: Standing,
      execute: () =>
        sql`
        SELECT count(*) FILTER (WHERE state = 'pending')::int AS waiting,
               count(*) FILTER (WHERE state = 'failed')::int AS dead,
               coalesce(extract(epoch FROM (now() AT TIME ZONE 'UTC')
                 - min(created_at) FILTER (WHERE state = 'pending')), 0)::float8 AS "oldestSeconds"
        FROM ${queue} WHERE state IN ('pending', 'failed')`
    })

    const store: CommandStore = {
      deadLetters: (after, limit) =>
        decoded(deadLetters({
          at: Option.getOrNull(Option.map(after, ({ at }) => at)),
          sequence: Option.getOrNull(Option.map(after, ({ sequence }) => String(sequence))),
          limit
        })),
      requeue,
      state: (id) => Effect.map(decoded(state(id)), Option.map(({ state }) => state)),
      standing: decoded(Effect.catchTag(standing(undefined), "NoSuchElementError", Effect.die))
    }
    return store
  })

// Factories: each stands on the connections of the bulkhead whose commands it holds.
export const paymentQueue = () => Layer.effect(PaymentQueue, make("payment_commands"))
export const mailQueue = () => Layer.effect(MailQueue, make("mail_commands"))
export const settlementQueue = () => Layer.effect(SettlementQueue, make("settlement_commands"))
export const verificationQueue = () =>
  Layer.effect(
    VerificationQueue,
    make("verification_commands", (sql, id) =>
      sql`UPDATE video.submissions SET status = 'queued', updated_at = now() WHERE id = ${id} AND status = 'failed'`)
  )
