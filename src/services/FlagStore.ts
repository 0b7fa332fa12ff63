import { Context, Effect, Layer, Option, Schema } from "effect"
import { SqlClient } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import type { OutgoingId, PaymentId } from "../domain/Ids.ts"
import type { Amount, Currency } from "../domain/Money.ts"
import { bookedOf, type FlagDecision, type Outgoing } from "../domain/Outgoing.ts"
import type { Payment } from "../domain/Payments.ts"
import { decoded } from "./Database.ts"
import { columns, Row } from "./OutgoingRow.ts"
import { paymentColumns, paymentOf, PaymentRow } from "./PaymentRow.ts"

interface Page<Id> {
  readonly before: Option.Option<Id>
  readonly limit: number
}
interface Accepted {
  readonly amount: Amount
  readonly currency: Currency
}
const decodeRows = Schema.decodeUnknownEffect(Schema.Array(Row))
const decodePayments = Schema.decodeUnknownEffect(Schema.Array(PaymentRow))

/** The SQL of what a person decides. Every write wants a flag that nobody has decided about, and says whether it found one. */
export class FlagStore extends Context.Service<FlagStore, {
  /** Newest first, as all lists here. */
  charges(page: Page<PaymentId>): Effect.Effect<ReadonlyArray<Payment>, SqlError>
  outgoings(kind: Outgoing["kind"], page: Page<OutgoingId>): Effect.Effect<ReadonlyArray<Outgoing>, SqlError>
  acceptCharge(id: PaymentId, accepted: Accepted): Effect.Effect<boolean, SqlError>
  /** Without a credit. Released, it keeps its flag, and never moves again; settled, it is what its provider says as any other. */
  endCharge(id: PaymentId, decision: FlagDecision): Effect.Effect<boolean, SqlError>
  accept(row: Outgoing, accepted: Accepted): Effect.Effect<boolean, SqlError>
  /** Of one that ended without being paid: it was. False, to be rolled back, also where its payment has no room for the refund. */
  revive(row: Outgoing, accepted: Accepted, reference: string): Effect.Effect<boolean, SqlError>
  clear(row: Outgoing, decision: FlagDecision): Effect.Effect<boolean, SqlError>
  /** Nothing is moved for it any more, but that a hold which is still open ends. */
  leave(row: Outgoing): Effect.Effect<boolean, SqlError>
}>()("midnight/services/payments/FlagStore") {
  static readonly layer = Layer.effect(FlagStore, Effect.suspend(() => make))
}

const make = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const all = sql.literal(columns)
  const ofPayment = sql.literal(paymentColumns)
  const undecided = sql.literal("flag IS NOT NULL AND flag_decision IS NULL")
  // The same in other words: a row is written to by its id, not by the index of what is flagged.
  const waits = sql.literal("flag IS NOT NULL AND coalesce(flag_decision, '') = ''")
  const older = (before: Option.Option<string>) =>
    Option.isNone(before) ? sql.literal("") : sql`AND id < ${before.value}`
  const changed = (rows: Effect.Effect<ReadonlyArray<unknown>, SqlError>) =>
    Effect.map(rows, (found) => found.length === 1)

  const revive = Effect.fnUntraced(function*(row: Outgoing, accepted: Accepted, reference: string) {
    const { amount, currency } = accepted
    const booked = bookedOf({ ...row, acceptedAmount: Option.some(amount), acceptedCurrency: Option.some(currency) })
    const isRevived = yield* changed(sql`
      UPDATE payments.outgoing SET status = 'done', done_at = now(), begun_at = coalesce(begun_at, now()),
             provider_reference = coalesce(provider_reference, ${reference}), failure_reason = NULL, settled = false,
             accepted_amount = ${amount}, accepted_currency = ${currency}, flag = NULL, flag_decision = 'settle',
             updated_at = now()
       WHERE id = ${row.id} AND status = ${row.status} AND done_at IS NULL AND ${waits} RETURNING id`)
    if (!isRevived || Option.isNone(row.paymentId)) return isRevived
    return yield* changed(sql`
      UPDATE payments.payments SET refund_reserved = refund_reserved + ${booked},
             amount_refunded = amount_refunded + ${booked}, updated_at = now()
       WHERE id = ${row.paymentId.value} AND refund_reserved + ${booked} <= coalesce(accepted_amount, amount)
       RETURNING id`)
  })

  return FlagStore.of({
    charges: ({ before, limit }) =>
      sql`SELECT ${ofPayment} FROM payments.payments WHERE ${undecided} ${older(before)}
           ORDER BY id DESC LIMIT ${limit}`.pipe(
        Effect.flatMap((rows) => decoded(decodePayments(rows))),
        Effect.map((rows) => rows.map(paymentOf))
      ),
    outgoings: (kind, { before, limit }) =>
      Effect.flatMap(
        sql`SELECT ${all} FROM payments.outgoing WHERE kind = ${kind} AND ${undecided} ${older(before)}
             ORDER BY id DESC LIMIT ${limit}`,
        (rows) => decoded(decodeRows(rows))
      ),
    acceptCharge: (id, { amount, currency }) =>
      changed(sql`
        UPDATE payments.payments SET accepted_amount = ${amount}, accepted_currency = ${currency}, flag = NULL,
               flag_decision = 'settle', updated_at = now()
         WHERE id = ${id} AND status <> 'succeeded' AND ${waits} RETURNING id`),
    endCharge: (id, decision) =>
      changed(sql`
        UPDATE payments.payments SET status = CASE WHEN status = 'canceled' THEN status ELSE 'failed' END,
               flag = CASE WHEN ${decision} = 'release' THEN flag END, flag_decision = ${decision}, updated_at = now()
         WHERE id = ${id} AND status <> 'succeeded' AND ${waits} RETURNING id`),
    accept: ({ id, status }, { amount, currency }) =>
      changed(sql`
        UPDATE payments.outgoing SET accepted_amount = ${amount}, accepted_currency = ${currency}, flag = NULL,
               flag_decision = 'settle', updated_at = now()
         WHERE id = ${id} AND status = ${status} AND ${waits} RETURNING id`),
    revive,
    clear: ({ id, status }, decision) =>
      changed(sql`
        UPDATE payments.outgoing SET flag = NULL, flag_decision = ${decision}, updated_at = now()
         WHERE id = ${id} AND status = ${status} AND ${waits} RETURNING id`),
    leave: ({ id, status }) =>
      changed(sql`
        UPDATE payments.outgoing SET flag_decision = 'release', updated_at = now(),
               settled = settled OR flag = 'hold_lost'
         WHERE id = ${id} AND status = ${status} AND ${waits} RETURNING id`)
  })
})
