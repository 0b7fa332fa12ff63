import { Context, Effect, Layer, Option, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import { PayoutId, TransferId, UserId } from "../domain/Ids.ts"
import { Amount, Currency } from "../domain/Money.ts"
import { OutFlag } from "../domain/MoneyOut.ts"
import { Provider } from "../domain/Payments.ts"
import { type Payout, PayoutStatus } from "../domain/Payouts.ts"
import { decoded } from "./Database.ts"

const Row = Schema.Struct({
  id: PayoutId,
  userId: UserId,
  provider: Provider,
  amount: Schema.toType(Amount),
  currency: Currency,
  status: PayoutStatus,
  held: Schema.Boolean,
  destinationType: Schema.Literals(["bank", "mobile_money"]),
  last4: Schema.String,
  recipient: Schema.OptionFromNullOr(Schema.String),
  providerReference: Schema.OptionFromNullOr(Schema.String),
  failureReason: Schema.OptionFromNullOr(Schema.String),
  flag: Schema.OptionFromNullOr(OutFlag),
  transferId: Schema.OptionFromNullOr(TransferId),
  createdAt: Schema.DateTimeUtcFromDate
})

/** A payout as it is first recorded, before the ledger holds its money. */
export interface PayoutIntent
  extends Pick<Payout, "id" | "userId" | "provider" | "amount" | "currency" | "destinationType" | "last4">
{
  readonly status: "pending_approval" | "processing"
  /** Sealed. */
  readonly destination: Uint8Array
}

export interface PayoutDecisionBy {
  readonly by: UserId
  readonly reason: string
}

interface Page {
  readonly before: Option.Option<PayoutId>
  readonly limit: number
}

/** The only SQL on payouts. Every write is idempotent, and none leaves a final state but from paid to failed. */
export class PayoutStore extends Context.Service<PayoutStore, {
  /** One transaction of this bulkhead's database; queue offers inside it commit with it. */
  transaction<A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R>
  /** Follows other payouts of the member until the transaction ends, and answers what they ask for within a day. */
  askedToday(userId: UserId, currency: Currency): Effect.Effect<bigint, SqlError>
  /** False when it exists already. */
  insert(intent: PayoutIntent): Effect.Effect<boolean, SqlError>
  find(id: PayoutId): Effect.Effect<Option.Option<Payout>, SqlError>
  /** The sealed destination. */
  destination(id: PayoutId): Effect.Effect<Uint8Array, SqlError>
  /** Newest first. */
  list(page: Page & { readonly userId: UserId }): Effect.Effect<ReadonlyArray<Payout>, SqlError>
  /** Those that wait for approval, the oldest first, after the one at `before`. */
  waiting(page: Page): Effect.Effect<ReadonlyArray<Payout>, SqlError>
  hold(id: PayoutId): Effect.Effect<void, SqlError>
  /** From pending_approval; false when it stands otherwise. */
  decide(
    id: PayoutId,
    to: "processing" | "canceled",
    decision: Option.Option<PayoutDecisionBy>
  ): Effect.Effect<boolean, SqlError>
  recipient(id: PayoutId, recipient: string): Effect.Effect<void, SqlError>
  named(id: PayoutId, providerReference: string): Effect.Effect<void, SqlError>
  settle(id: PayoutId, transferId: TransferId): Effect.Effect<void, SqlError>
  fail(id: PayoutId, reason: string, returned: Option.Option<TransferId>): Effect.Effect<void, SqlError>
  flag(id: PayoutId, flag: OutFlag): Effect.Effect<void, SqlError>
  /** Takes it for whoever is to ask the provider, until it is freed, for 45 s at most; false while somebody has it. */
  claim(id: PayoutId): Effect.Effect<boolean, SqlError>
  free(id: PayoutId): Effect.Effect<void, SqlError>
  /** Those that nothing has happened to for so many seconds, the oldest first. */
  stuck(seconds: number): Effect.Effect<ReadonlyArray<PayoutId>, SqlError>
}>()("midnight/services/payments/PayoutStore") {
  static readonly layer = Layer.effect(
    PayoutStore,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const columns = sql.literal(
        `id, user_id AS "userId", provider, amount, currency::text AS currency, status, held,
         destination_type AS "destinationType", last4, recipient, provider_reference AS "providerReference",
         failure_reason AS "failureReason", flag, transfer_id AS "transferId", created_at AS "createdAt"`
      )

      const askedToday: PayoutStore["Service"]["askedToday"] = Effect.fn("PayoutStore.askedToday")(
        function*(userId, currency) {
          yield* sql`SELECT pg_advisory_xact_lock(hashtextextended(${userId}, 0))`
          const rows = yield* sql<{ readonly asked: string }>`
            SELECT coalesce(sum(amount), 0)::text AS asked FROM payments.payouts
             WHERE user_id = ${userId} AND currency = ${currency} AND status NOT IN ('failed', 'canceled')
               AND created_at > now() - interval '1 day'`
          return BigInt(rows[0]?.asked ?? 0)
        }
      )

      const insert = Effect.fn("PayoutStore.insert")(function*(p: PayoutIntent) {
        const rows = yield* sql`
          INSERT INTO payments.payouts (id, user_id, provider, amount, currency, destination, destination_type, last4, status)
          VALUES (${p.id}, ${p.userId}, ${p.provider}, ${p.amount}, ${p.currency}, ${p.destination}, ${p.destinationType},
                  ${p.last4}, ${p.status})
          ON CONFLICT (id) DO NOTHING RETURNING id`
        return rows.length === 1
      })

      const find = SqlSchema.findOneOption({
        Request: PayoutId,
        Result: Row,
        execute: (id) => sql`SELECT ${columns} FROM payments.payouts WHERE id = ${id}`
      })
      const PageOf = Schema.Struct({ before: Schema.OptionFromNullOr(PayoutId), limit: Schema.Int })
      const list = SqlSchema.findAll({
        Request: Schema.Struct({ ...PageOf.fields, userId: UserId }),
        Result: Row,
        execute: ({ before, limit, userId }) =>
          sql`SELECT ${columns} FROM payments.payouts WHERE user_id = ${userId} AND held
               ${before === null ? sql.literal("") : sql`AND id < ${before}`} ORDER BY id DESC LIMIT ${limit}`
      })
      const waiting = SqlSchema.findAll({
        Request: PageOf,
        Result: Row,
        execute: ({ before, limit }) =>
          sql`SELECT ${columns} FROM payments.payouts WHERE status = 'pending_approval' AND held
               ${before === null ? sql.literal("") : sql`AND id > ${before}`} ORDER BY id LIMIT ${limit}`
      })

      const destination = Effect.fn("PayoutStore.destination")(function*(id: PayoutId) {
        const [row] = yield* sql<{ readonly destination: Uint8Array }>`
          SELECT destination FROM payments.payouts WHERE id = ${id}`
        return row?.destination ?? (yield* Effect.die(new Error(`Payout ${id} has vanished`)))
      })

      const decide: PayoutStore["Service"]["decide"] = Effect.fn("PayoutStore.decide")(function*(id, to, decision) {
        const rows = yield* sql`
          UPDATE payments.payouts SET status = ${to}, decided_by = ${
          Option.getOrNull(Option.map(decision, (d) => d.by))
        },
                 decision_reason = ${Option.getOrNull(Option.map(decision, (d) => d.reason))},
                 failure_reason = ${to === "canceled" ? Option.getOrNull(Option.map(decision, (d) => d.reason)) : null},
                 updated_at = now()
           WHERE id = ${id} AND status = 'pending_approval' AND held RETURNING id`
        return rows.length === 1
      })

      const fail: PayoutStore["Service"]["fail"] = (id, reason, returned) =>
        Effect.asVoid(sql`
          UPDATE payments.payouts SET status = 'failed', failure_reason = ${reason.slice(0, 500)},
                 return_transfer_id = ${Option.getOrNull(returned)}, updated_at = now()
           WHERE id = ${id} AND status IN ${
          sql.in(Option.isSome(returned) ? ["paid"] : ["pending_approval", "processing"])
        }`)

      const stuck = SqlSchema.findAll({
        Request: Schema.Finite,
        Result: Schema.Struct({ id: PayoutId }),
        execute: (seconds) =>
          sql`SELECT id FROM payments.payouts
               WHERE (status = 'processing' OR (status = 'pending_approval' AND NOT held)) AND flag IS NULL
                 AND updated_at < now() - make_interval(secs => ${seconds}::float8) ORDER BY updated_at LIMIT 100`
      })

      return PayoutStore.of({
        transaction: sql.withTransaction,
        askedToday,
        insert,
        destination,
        decide,
        fail,
        find: (id) => decoded(find(id)),
        list: (page) => decoded(list(page)),
        waiting: (page) => decoded(waiting(page)),
        hold: (id) =>
          Effect.asVoid(sql`UPDATE payments.payouts SET held = true, updated_at = now() WHERE id = ${id} AND NOT held`),
        recipient: (id, recipient) =>
          Effect.asVoid(
            sql`UPDATE payments.payouts SET recipient = coalesce(recipient, ${recipient}) WHERE id = ${id}`
          ),
        named: (id, reference) =>
          Effect.asVoid(sql`
            UPDATE payments.payouts SET provider_reference = coalesce(provider_reference, ${reference}), updated_at = now()
             WHERE id = ${id}`),
        settle: (id, transferId) =>
          Effect.asVoid(sql`
            UPDATE payments.payouts SET status = 'paid', transfer_id = ${transferId}, updated_at = now()
             WHERE id = ${id} AND status = 'processing'`),
        flag: (id, flag) =>
          Effect.asVoid(sql`
            UPDATE payments.payouts SET flag = ${flag}, updated_at = now() WHERE id = ${id} AND flag IS NULL`),
        // Longer than two calls to a provider may take.
        claim: (id) =>
          Effect.map(
            sql`UPDATE payments.payouts SET worked_until = now() + interval '45 seconds'
                 WHERE id = ${id} AND (worked_until IS NULL OR worked_until < now()) RETURNING id`,
            (rows) => rows.length === 1
          ),
        free: (id) => Effect.asVoid(sql`UPDATE payments.payouts SET worked_until = NULL WHERE id = ${id}`),
        stuck: (seconds) => Effect.map(decoded(stuck(seconds)), (rows) => rows.map(({ id }) => id))
      })
    })
  )
}
