import { Context, Effect, Layer, Option, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import { PaymentId, RefundId, TransferId, UserId } from "../domain/Ids.ts"
import { Amount, Currency } from "../domain/Money.ts"
import { OutFlag } from "../domain/MoneyOut.ts"
import { Provider } from "../domain/Payments.ts"
import { type Refund, RefundStatus } from "../domain/Refunds.ts"
import { decoded } from "./Database.ts"

const Row = Schema.Struct({
  id: RefundId,
  paymentId: PaymentId,
  userId: UserId,
  provider: Provider,
  chargeReference: Schema.String,
  amount: Schema.toType(Amount),
  currency: Currency,
  reason: Schema.OptionFromNullOr(Schema.String),
  status: RefundStatus,
  providerReference: Schema.OptionFromNullOr(Schema.String),
  flag: Schema.OptionFromNullOr(OutFlag),
  transferId: Schema.OptionFromNullOr(TransferId),
  createdAt: Schema.DateTimeUtcFromDate
})

/**
 * The only SQL on refunds. Every write is idempotent and answers the refund as it stands then, whether it changed anything
 * or not. What is refunded of a payment is counted on the payment, whose CHECK lets it never exceed what was paid.
 */
export class RefundStore extends Context.Service<RefundStore, {
  /** Records an intent and counts it, unless it exists already. `full`: so much is not left of the payment. */
  insert(refund: {
    readonly id: RefundId
    readonly paymentId: PaymentId
    readonly amount: Amount
    readonly reason: Option.Option<string>
  }): Effect.Effect<"new" | "known" | "full", SqlError>
  find(id: RefundId): Effect.Effect<Option.Option<Refund>, SqlError>
  /** The provider's name for it. One that has a name keeps it. */
  named(id: RefundId, providerReference: string): Effect.Effect<void, SqlError>
  settle(id: RefundId, transferId: TransferId): Effect.Effect<void, SqlError>
  /** It will not happen, or was taken back: what it counted on the payment is free again. */
  fail(id: RefundId, reason: string, returned: Option.Option<TransferId>): Effect.Effect<void, SqlError>
  flag(id: RefundId, flag: OutFlag): Effect.Effect<void, SqlError>
  /** Takes it for whoever is to ask the provider, until it is freed, for 45 s at most; false while somebody has it. */
  claim(id: RefundId): Effect.Effect<boolean, SqlError>
  free(id: RefundId): Effect.Effect<void, SqlError>
  /** Those that nothing has happened to for so many seconds, the oldest first. */
  stuck(seconds: number): Effect.Effect<ReadonlyArray<RefundId>, SqlError>
}>()("midnight/services/payments/RefundStore") {
  static readonly layer = Layer.effect(
    RefundStore,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient

      const insert: RefundStore["Service"]["insert"] = Effect.fn("RefundStore.insert")(function*(refund) {
        // Refunds of one payment follow one another, a repetition of this one among them.
        yield* sql`SELECT 1 FROM payments.payments WHERE id = ${refund.paymentId} FOR UPDATE`
        const known = yield* sql`SELECT 1 FROM payments.refunds WHERE id = ${refund.id}`
        if (known.length > 0) return "known"
        const counted = yield* sql`
          UPDATE payments.payments SET amount_refunded = amount_refunded + ${refund.amount}, updated_at = now()
           WHERE id = ${refund.paymentId} AND status = 'succeeded' AND amount_refunded + ${refund.amount} <= amount
          RETURNING id`
        if (counted.length === 0) return "full"
        yield* sql`
          INSERT INTO payments.refunds (id, payment_id, amount, reason, status)
          VALUES (${refund.id}, ${refund.paymentId}, ${refund.amount}, ${Option.getOrNull(refund.reason)}, 'pending')`
        return "new"
      })

      const findRow = SqlSchema.findOneOption({
        Request: RefundId,
        Result: Row,
        execute: (id) =>
          sql`SELECT r.id, r.payment_id AS "paymentId", p.user_id AS "userId", p.provider,
                     p.provider_reference AS "chargeReference", r.amount, p.currency::text AS currency, r.reason, r.status,
                     r.provider_reference AS "providerReference", r.flag, r.transfer_id AS "transferId",
                     r.created_at AS "createdAt"
                FROM payments.refunds r JOIN payments.payments p ON p.id = r.payment_id WHERE r.id = ${id}`
      })

      const fail = Effect.fn("RefundStore.fail")(
        function*(id: RefundId, reason: string, returned: Option.Option<TransferId>) {
          const from = Option.isSome(returned) ? "succeeded" : "pending"
          const rows = yield* sql<{ readonly paymentId: string; readonly amount: bigint }>`
            UPDATE payments.refunds SET status = 'failed', failure_reason = ${reason.slice(0, 500)},
                   return_transfer_id = ${Option.getOrNull(returned)}, updated_at = now()
             WHERE id = ${id} AND status = ${from} RETURNING payment_id AS "paymentId", amount`
          for (const { amount, paymentId } of rows) {
            yield* sql`
              UPDATE payments.payments SET amount_refunded = amount_refunded - ${amount}, updated_at = now()
               WHERE id = ${paymentId}`
          }
        },
        sql.withTransaction
      )

      const stuck = SqlSchema.findAll({
        Request: Schema.Finite,
        Result: Schema.Struct({ id: RefundId }),
        execute: (seconds) =>
          sql`SELECT id FROM payments.refunds
               WHERE status = 'pending' AND flag IS NULL AND updated_at < now() - make_interval(secs => ${seconds}::float8)
               ORDER BY updated_at LIMIT 100`
      })

      return RefundStore.of({
        insert,
        fail,
        find: (id) => decoded(findRow(id)),
        named: (id, reference) =>
          Effect.asVoid(sql`
            UPDATE payments.refunds SET provider_reference = coalesce(provider_reference, ${reference}), updated_at = now()
             WHERE id = ${id}`),
        settle: (id, transferId) =>
          Effect.asVoid(sql`
            UPDATE payments.refunds SET status = 'succeeded', transfer_id = ${transferId}, updated_at = now()
             WHERE id = ${id} AND status = 'pending'`),
        flag: (id, flag) =>
          Effect.asVoid(sql`
            UPDATE payments.refunds SET flag = ${flag}, updated_at = now() WHERE id = ${id} AND flag IS NULL`),
        // Longer than two calls to a provider may take.
        claim: (id) =>
          Effect.map(
            sql`UPDATE payments.refunds SET worked_until = now() + interval '45 seconds'
                 WHERE id = ${id} AND (worked_until IS NULL OR worked_until < now()) RETURNING id`,
            (rows) => rows.length === 1
          ),
        free: (id) => Effect.asVoid(sql`UPDATE payments.refunds SET worked_until = NULL WHERE id = ${id}`),
        stuck: (seconds) => Effect.map(decoded(stuck(seconds)), (rows) => rows.map(({ id }) => id))
      })
    })
  )
}
