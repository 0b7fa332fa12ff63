import { Context, Effect, Layer, Option, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import { PaymentId, TransferId, UserId } from "../domain/Ids.ts"
import { Amount, Currency } from "../domain/Money.ts"
import { Flag, type NextAction, type Payment, PaymentStatus, Provider } from "../domain/Payments.ts"
import { decoded } from "./Database.ts"
import type { VerifiedEvent } from "./Gateway.ts"

const Row = Schema.Struct({
  id: PaymentId,
  userId: UserId,
  provider: Provider,
  amount: Schema.toType(Amount),
  currency: Currency,
  livemode: Schema.Boolean,
  status: PaymentStatus,
  providerReference: Schema.OptionFromNullOr(Schema.String),
  nextActionUrl: Schema.OptionFromNullOr(Schema.String),
  returnUrl: Schema.OptionFromNullOr(Schema.String),
  amountRefunded: Schema.BigInt,
  disputed: Schema.Boolean,
  flag: Schema.OptionFromNullOr(Flag),
  transferId: Schema.OptionFromNullOr(TransferId),
  createdAt: Schema.DateTimeUtcFromDate
})

const paymentOf = ({ nextActionUrl, ...row }: typeof Row.Type): Payment => ({
  ...row,
  nextAction: Option.map(nextActionUrl, (url): NextAction => ({ type: "redirect", url }))
})

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

/** The only SQL on payments. Every write is idempotent, and none leaves a final state. */
export class PaymentStore extends Context.Service<PaymentStore, {
  /** One transaction of this bulkhead's database; queue offers inside it commit with it. */
  transaction<A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R>
  /** Records an intent; false when that payment exists already. */
  insert(intent: Intent): Effect.Effect<boolean, SqlError>
  /** Writes down what the provider first answered. A payment that has its reference keeps it. */
  answer(answer: Answer): Effect.Effect<void, SqlError>
  move(id: PaymentId, to: "requires_action" | "processing" | "failed" | "canceled"): Effect.Effect<void, SqlError>
  succeed(id: PaymentId, transferId: TransferId): Effect.Effect<void, SqlError>
  flag(id: PaymentId, flag: Flag): Effect.Effect<void, SqlError>
  find(id: PaymentId): Effect.Effect<Option.Option<Payment>, SqlError>
  /** A payment that is known to exist: none is ever deleted. */
  get(id: PaymentId): Effect.Effect<Payment, SqlError>
  /** Newest first, older than `before`. */
  list(page: {
    readonly userId: UserId
    readonly before: Option.Option<PaymentId>
    readonly limit: number
  }): Effect.Effect<ReadonlyArray<Payment>, SqlError>
  /** Puts a verified event into the inbox; false when it is there already. */
  receive(event: VerifiedEvent): Effect.Effect<boolean, SqlError>
}>()("midnight/services/payments/PaymentStore") {
  static readonly layer = Layer.effect(
    PaymentStore,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const columns = sql.literal(
        `id, user_id AS "userId", provider, amount, currency, livemode, status,
         provider_reference AS "providerReference", next_action_url AS "nextActionUrl", return_url AS "returnUrl",
         amount_refunded AS "amountRefunded", disputed, flag, transfer_id AS "transferId", created_at AS "createdAt"`
      )

      const insert = Effect.fn("PaymentStore.insert")(function*(intent: Intent) {
        const rows = yield* sql`
          INSERT INTO payments.payments (id, user_id, provider, amount, currency, livemode, status, return_url)
          VALUES (${intent.id}, ${intent.userId}, ${intent.provider}, ${intent.amount}, ${intent.currency},
                  ${intent.livemode}, 'processing', ${Option.getOrNull(intent.returnUrl)})
          ON CONFLICT (id) DO NOTHING RETURNING id`
        return rows.length === 1
      })

      const answer = Effect.fn("PaymentStore.answer")(function*(given: Answer) {
        const url = Option.getOrNull(Option.map(given.nextAction, (action) => action.url))
        yield* sql`
          UPDATE payments.payments
             SET provider_reference = ${Option.getOrNull(given.providerReference)}, next_action_url = ${url},
                 status = CASE WHEN status = 'processing' THEN ${given.status} ELSE status END, updated_at = now()
           WHERE id = ${given.id} AND provider_reference IS NULL`
      })

      const move = Effect.fn("PaymentStore.move")(function*(id: PaymentId, to: string) {
        yield* sql`
          UPDATE payments.payments SET status = ${to}, updated_at = now()
           WHERE id = ${id} AND status IN ('requires_action', 'processing')`
      })

      const succeed = Effect.fn("PaymentStore.succeed")(function*(id: PaymentId, transferId: TransferId) {
        yield* sql`
          UPDATE payments.payments SET status = 'succeeded', transfer_id = ${transferId}, flag = NULL, updated_at = now()
           WHERE id = ${id} AND status <> 'succeeded'`
      })

      const flag = Effect.fn("PaymentStore.flag")(function*(id: PaymentId, reason: Flag) {
        yield* sql`
          UPDATE payments.payments SET flag = ${reason}, updated_at = now()
           WHERE id = ${id} AND status <> 'succeeded' AND flag IS NULL`
      })

      const findRow = SqlSchema.findOneOption({
        Request: PaymentId,
        Result: Row,
        execute: (id) => sql`SELECT ${columns} FROM payments.payments WHERE id = ${id}`
      })
      const find = Effect.fn("PaymentStore.find")(function*(id: PaymentId) {
        return Option.map(yield* decoded(findRow(id)), paymentOf)
      })

      const get = Effect.fn("PaymentStore.get")(function*(id: PaymentId) {
        const found = yield* decoded(findRow(id))
        if (Option.isSome(found)) return paymentOf(found.value)
        return yield* Effect.die(new Error(`Payment ${id} has vanished`))
      })

      const listRows = SqlSchema.findAll({
        Request: Schema.Struct({ userId: UserId, before: Schema.OptionFromNullOr(PaymentId), limit: Schema.Int }),
        Result: Row,
        execute: ({ before, limit, userId }) =>
          sql`SELECT ${columns} FROM payments.payments
               WHERE user_id = ${userId} ${before === null ? sql.literal("") : sql`AND id < ${before}`}
               ORDER BY id DESC LIMIT ${limit}`
      })
      const list = Effect.fn("PaymentStore.list")(function*(page: Parameters<typeof listRows>[0]) {
        return (yield* decoded(listRows(page))).map(paymentOf)
      })

      const receive = Effect.fn("PaymentStore.receive")(function*(event: VerifiedEvent) {
        const { eventId, paymentId, type } = event.facts
        const rows = yield* sql`
          INSERT INTO payments.webhook_inbox (provider, event_id, type, payment_id, body)
          VALUES (${event.provider}, ${eventId}, ${type}, ${Option.getOrNull(paymentId)}, ${event.body})
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
        get,
        list,
        receive
      })
    })
  )
}
