import { Context, DateTime, Effect, Layer, Option, Schema } from "effect"
import { SqlClient } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import { PaymentId } from "../domain/Ids.ts"
import { PositionInstant } from "../domain/Page.ts"
import { Provider } from "../domain/Payments.ts"
import { ReconciliationReport } from "../domain/Reconciliation.ts"
import { decoded } from "./Database.ts"

const Inbox = Schema.Struct({
  provider: Provider,
  eventId: Schema.String,
  type: Schema.String,
  about: Schema.Literals(["charge", "refund", "payout", "dispute", "other"]),
  reference: Schema.OptionFromNullOr(Schema.String),
  paymentId: Schema.OptionFromNullOr(PaymentId),
  operationId: Schema.OptionFromNullOr(Schema.String),
  receivedAt: Schema.DateTimeUtcFromDate,
  position: PositionInstant
})
export type InboxRow = typeof Inbox.Type

const Known = Schema.Struct({ id: Schema.String, reference: Schema.String })
export type KnownRow = typeof Known.Type

const Body = Schema.fromJsonString(ReconciliationReport)

/** The SQL of reconciliation: what was found, what came in, and what a provider's list should have. */
export class ReconciliationStore extends Context.Service<ReconciliationStore, {
  /** Newest first, older than `before`. */
  events(
    before: Option.Option<{ readonly at: string; readonly provider: Provider; readonly eventId: string }>,
    limit: number
  ): Effect.Effect<ReadonlyArray<InboxRow>, SqlError>
  event(provider: Provider, eventId: string): Effect.Effect<Option.Option<InboxRow>, SqlError>
  /** Payments of a provider that succeeded here, and that were made after the one that `from` would be. */
  succeeded(provider: Provider, from: string, limit: number): Effect.Effect<ReadonlyArray<KnownRow>, SqlError>
  keep(report: ReconciliationReport): Effect.Effect<void, SqlError>
  /** Newest first, older than the one with the id `before`. */
  reports(before: Option.Option<string>, limit: number): Effect.Effect<ReadonlyArray<ReconciliationReport>, SqlError>
}>()("midnight/services/payments/ReconciliationStore") {
  static readonly layer = Layer.effect(
    ReconciliationStore,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const columns = sql.literal(
        `provider, event_id AS "eventId", type, about, reference, payment_id AS "paymentId",
         operation_id AS "operationId", received_at AS "receivedAt",
         to_char(received_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00"') AS position`
      )
      const rows = <S extends Schema.Codec<unknown, unknown>>(
        schema: S,
        found: Effect.Effect<ReadonlyArray<unknown>, SqlError>
      ) => Effect.flatMap(found, (unknown) => decoded(Schema.decodeUnknownEffect(Schema.Array(schema))(unknown)))

      return ReconciliationStore.of({
        events: (before, limit) =>
          rows(
            Inbox,
            Option.isNone(before)
              ? sql`SELECT ${columns} FROM payments.webhook_inbox
                     ORDER BY received_at DESC, provider DESC, event_id DESC LIMIT ${limit}`
              : sql`SELECT ${columns} FROM payments.webhook_inbox
                     WHERE (received_at, provider, event_id)
                           < (${before.value.at}::timestamptz, ${before.value.provider}, ${before.value.eventId})
                     ORDER BY received_at DESC, provider DESC, event_id DESC LIMIT ${limit}`
          ),
        event: (provider, eventId) =>
          Effect.map(
            rows(
              Inbox,
              sql`SELECT ${columns} FROM payments.webhook_inbox WHERE provider = ${provider} AND event_id = ${eventId}`
            ),
            ([row]) => Option.fromUndefinedOr(row)
          ),
        succeeded: (provider, from, limit) =>
          rows(
            Known,
            sql`SELECT id, provider_reference AS reference FROM payments.payments
                 WHERE id > ${from} AND provider = ${provider} AND status = 'succeeded' ORDER BY id LIMIT ${limit}`
          ),
        keep: (report) =>
          Effect.flatMap(
            Effect.orDie(Schema.encodeEffect(Body)(report)),
            (body) =>
              Effect.asVoid(sql`INSERT INTO payments.reconciliations (id, since, report)
              VALUES (${report.id}, ${DateTime.formatIso(report.since)}::timestamptz, ${body}::text::jsonb)`)
          ),
        reports: (before, limit) =>
          Effect.map(
            rows(
              Schema.Struct({ report: Body }),
              sql`SELECT report::text AS report FROM payments.reconciliations
                   ${Option.isNone(before) ? sql.literal("") : sql`WHERE id < ${before.value}`}
                   ORDER BY id DESC LIMIT ${limit}`
            ),
            (found) => found.map(({ report }) => report)
          )
      })
    })
  )
}
