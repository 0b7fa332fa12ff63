import { Context, Effect, Layer, Option, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import { PaymentId, type TransferId, UserId } from "../domain/Ids.ts"
import type { Flag, NextAction, Payment, PaymentStatus } from "../domain/Payments.ts"
import { decoded } from "./Database.ts"
import type { VerifiedEvent } from "./Gateway.ts"
import { paymentColumns, paymentOf, PaymentRow } from "./PaymentRow.ts"

const decodeRow = Schema.decodeUnknownEffect(PaymentRow)

/** A payment as it is first recorded, before the provider knows of it. */
export type Intent = Pick<
  Payment,
  "id" | "userId" | "provider" | "amount" | "currency" | "livemode" | "returnUrl"
>

export interface Answer {
  readonly id: PaymentId
  readonly providerReference: Option.Option<string>
  readonly nextAction: Option.Option<NextAction>
  readonly status: Exclude<PaymentStatus, "succeeded">
}

/**
 * The only SQL on payments. Every write is idempotent, none leaves a final state, and each answers the payment as it
 * stands then, whether it changed anything or not.
 */
export class PaymentStore extends Context.Service<PaymentStore, {
  /** One transaction of this bulkhead's database; queue offers inside it commit with it. */
  transaction<A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R>
  /** Records an intent, unless that payment exists already. */
  insert(intent: Intent): Effect.Effect<{ readonly payment: Payment; readonly isNew: boolean }, SqlError>
  /** Writes down what the provider first answered. A payment that has its reference keeps it. */
  answer(answer: Answer): Effect.Effect<Payment, SqlError>
  move(id: PaymentId, to: "requires_action" | "processing" | "failed" | "canceled"): Effect.Effect<Payment, SqlError>
  succeed(id: PaymentId, transferId: TransferId): Effect.Effect<Payment, SqlError>
  flag(id: PaymentId, flag: Flag): Effect.Effect<Payment, SqlError>
  fee(id: PaymentId, fee: bigint): Effect.Effect<Payment, SqlError>
  disputed(id: PaymentId, disputed: boolean): Effect.Effect<Payment, SqlError>
  find(id: PaymentId): Effect.Effect<Option.Option<Payment>, SqlError>
  /** Newest first, older than `before`. */
  list(page: {
    readonly userId: UserId
    readonly before: Option.Option<PaymentId>
    readonly limit: number
  }): Effect.Effect<ReadonlyArray<Payment>, SqlError>
  /** Open payments that nobody has asked the provider about for so many seconds; the longest first. */
  stuck(seconds: number, limit: number): Effect.Effect<ReadonlyArray<Payment>, SqlError>
  /** Asked about now, whatever came of it. */
  asked(id: PaymentId): Effect.Effect<void, SqlError>
  /** Puts a verified event into the inbox; false when it is there already. */
  receive(event: VerifiedEvent): Effect.Effect<boolean, SqlError>
}>()("midnight/services/payments/PaymentStore") {
  static readonly layer = Layer.effect(
    PaymentStore,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const columns = sql.literal(paymentColumns)

      const findRow = SqlSchema.findOneOption({
        Request: PaymentId,
        Result: PaymentRow,
        execute: (id) => sql`SELECT ${columns} FROM payments.payments WHERE id = ${id}`
      })
      const find = Effect.fn("PaymentStore.find")(function*(id: PaymentId) {
        return Option.map(yield* decoded(findRow(id)), paymentOf)
      })

      /** What a writing statement returned, or the payment that it left alone. None is ever deleted. */
      const written = Effect.fnUntraced(function*(id: PaymentId, rows: ReadonlyArray<unknown>) {
        const [row] = rows
        const found = row === undefined ? yield* decoded(findRow(id)) : Option.some(yield* decoded(decodeRow(row)))
        if (Option.isSome(found)) return paymentOf(found.value)
        return yield* Effect.die(new Error(`Payment ${id} has vanished`))
      })

      const insert = Effect.fn("PaymentStore.insert")(function*(intent: Intent) {
        const rows = yield* sql`
          INSERT INTO payments.payments (id, user_id, provider, amount, currency, livemode, status, return_url)
          VALUES (${intent.id}, ${intent.userId}, ${intent.provider}, ${intent.amount}, ${intent.currency},
                  ${intent.livemode}, 'processing', ${Option.getOrNull(intent.returnUrl)})
          ON CONFLICT (id) DO NOTHING RETURNING ${columns}`
        return { payment: yield* written(intent.id, rows), isNew: rows.length === 1 }
      })

      const answer = Effect.fn("PaymentStore.answer")(function*(given: Answer) {
        const url = Option.getOrNull(Option.map(given.nextAction, (action) => action.url))
        const rows = yield* sql`
          UPDATE payments.payments
             SET provider_reference = ${Option.getOrNull(given.providerReference)}, next_action_url = ${url},
                 status = CASE WHEN status = 'processing' THEN ${given.status} ELSE status END, updated_at = now()
           WHERE id = ${given.id} AND provider_reference IS NULL RETURNING ${columns}`
        return yield* written(given.id, rows)
      })

      const move = Effect.fn("PaymentStore.move")(function*(id: PaymentId, to: PaymentStatus) {
        const rows = yield* sql`
          UPDATE payments.payments SET status = ${to}, updated_at = now()
           WHERE id = ${id} AND status IN ('requires_action', 'processing') RETURNING ${columns}`
        return yield* written(id, rows)
      })

      const succeed = Effect.fn("PaymentStore.succeed")(function*(id: PaymentId, transferId: TransferId) {
        const rows = yield* sql`
          UPDATE payments.payments SET status = 'succeeded', transfer_id = ${transferId}, flag = NULL, updated_at = now()
           WHERE id = ${id} AND status <> 'succeeded' RETURNING ${columns}`
        return yield* written(id, rows)
      })

      const flag = Effect.fn("PaymentStore.flag")(function*(id: PaymentId, reason: Flag) {
        const rows = yield* sql`
          UPDATE payments.payments SET flag = ${reason}, flag_decision = NULL, updated_at = now()
           WHERE id = ${id} AND status <> 'succeeded' AND flag IS NULL RETURNING ${columns}`
        return yield* written(id, rows)
      })

      const fee = Effect.fn("PaymentStore.fee")(function*(id: PaymentId, amount: bigint) {
        const rows = yield* sql`
          UPDATE payments.payments SET fee = ${amount}, updated_at = now()
           WHERE id = ${id} AND fee IS NULL RETURNING ${columns}`
        return yield* written(id, rows)
      })

      const disputed = Effect.fn("PaymentStore.disputed")(function*(id: PaymentId, isDisputed: boolean) {
        const rows = yield* sql`
          UPDATE payments.payments SET disputed = ${isDisputed}, updated_at = now()
           WHERE id = ${id} AND disputed <> ${isDisputed} RETURNING ${columns}`
        return yield* written(id, rows)
      })

      const stuckRows = SqlSchema.findAll({
        Request: Schema.Struct({ seconds: Schema.Int, limit: Schema.Int }),
        Result: PaymentRow,
        execute: ({ limit, seconds }) =>
          sql`SELECT ${columns} FROM payments.payments
               WHERE status IN ('requires_action', 'processing') AND flag IS NULL
                 AND asked_at < now() - make_interval(secs => ${seconds}) - least(asked_at - created_at, interval '6 hours')
               ORDER BY asked_at LIMIT ${limit}`
      })

      const listRows = SqlSchema.findAll({
        Request: Schema.Struct({ userId: UserId, before: Schema.OptionFromNullOr(PaymentId), limit: Schema.Int }),
        Result: PaymentRow,
        execute: ({ before, limit, userId }) =>
          sql`SELECT ${columns} FROM payments.payments
               WHERE user_id = ${userId} ${before === null ? sql.literal("") : sql`AND id < ${before}`}
               ORDER BY id DESC LIMIT ${limit}`
      })
      const list = Effect.fn("PaymentStore.list")(function*(page: Parameters<typeof listRows>[0]) {
        return (yield* decoded(listRows(page))).map(paymentOf)
      })

      const receive = Effect.fn("PaymentStore.receive")(function*(event: VerifiedEvent) {
        const { about, eventId, operationId, paymentId, reference, type } = event.facts
        const rows = yield* sql`
          INSERT INTO payments.webhook_inbox (provider, event_id, type, about, reference, operation_id, payment_id, body)
          VALUES (${event.provider}, ${eventId}, ${type}, ${about}, ${Option.getOrNull(reference)},
                  ${Option.getOrNull(operationId)}, ${Option.getOrNull(paymentId)}, ${event.body})
          ON CONFLICT (provider, event_id) DO NOTHING RETURNING event_id`
        return rows.length === 1
      })

      return PaymentStore.of({
        transaction: sql.withTransaction,
        insert,
        answer,
        move,
        succeed,
        flag,
        find,
        fee,
        disputed,
        stuck: (seconds, limit) => Effect.map(decoded(stuckRows({ seconds, limit })), (rows) => rows.map(paymentOf)),
        asked: (id) => Effect.asVoid(sql`UPDATE payments.payments SET asked_at = now() WHERE id = ${id}`),
        list,
        receive
      })
    })
  )
}
