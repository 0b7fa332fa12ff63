import { Context, Effect, Layer, Option, Schema } from "effect"
import { SqlClient } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import { type Dispute, DisputeFlag } from "../domain/Disputes.ts"
import { DisputeId, PaymentId, UserId } from "../domain/Ids.ts"
import { Amount, Currency } from "../domain/Money.ts"
import { Provider } from "../domain/Payments.ts"
import { decoded } from "./Database.ts"

const Row = Schema.Struct({
  id: DisputeId,
  provider: Provider,
  reference: Schema.String,
  paymentId: PaymentId,
  userId: UserId,
  amount: Schema.toType(Amount),
  currency: Currency,
  status: Schema.Literals(["open", "won", "lost"]),
  decidedAmount: Schema.OptionFromNullOr(Schema.toType(Amount)),
  flag: Schema.OptionFromNullOr(DisputeFlag),
  settled: Schema.Boolean
})
const decodeRows = Schema.decodeUnknownEffect(Schema.Array(Row))

/** The only SQL on disputes. */
export class DisputeStore extends Context.Service<DisputeStore, {
  /** Records it as open, unless it is known; answers what is known. */
  insert(dispute: Omit<Dispute, "status" | "decidedAmount" | "settled">): Effect.Effect<Dispute, SqlError>
  find(id: DisputeId): Effect.Effect<Option.Option<Dispute>, SqlError>
  findByReference(provider: Provider, reference: string): Effect.Effect<Option.Option<Dispute>, SqlError>
  /** Ends an open one, a lost one at this amount; the first end stays. */
  end(id: DisputeId, to: "won" | { readonly lost: Amount }): Effect.Effect<Dispute, SqlError>
  /** Leaves it to a person; the first reason stays. */
  flag(id: DisputeId, flag: DisputeFlag): Effect.Effect<Dispute, SqlError>
  /** Whether the payment is disputed still, or was lost. */
  isDisputed(paymentId: PaymentId): Effect.Effect<boolean, SqlError>
  settle(id: DisputeId): Effect.Effect<void, SqlError>
  /** Looked at now, whatever came of it. */
  touch(id: DisputeId): Effect.Effect<void, SqlError>
  /** Open ones that nobody has to decide, and lost ones that are owed still, that were not looked at for so many seconds. */
  unfinished(seconds: number, limit: number): Effect.Effect<ReadonlyArray<Dispute>, SqlError>
}>()("midnight/services/payments/DisputeStore") {
  static readonly layer = Layer.effect(
    DisputeStore,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const columns = sql.literal(
        `id, provider, reference, payment_id AS "paymentId", user_id AS "userId", amount, currency, status,
         decided_amount AS "decidedAmount", flag, settled`
      )
      const rows = (found: Effect.Effect<ReadonlyArray<unknown>, SqlError>) =>
        Effect.flatMap(found, (unknown) => decoded(decodeRows(unknown)))
      const find = (id: DisputeId) =>
        Effect.map(
          rows(sql`SELECT ${columns} FROM payments.disputes WHERE id = ${id}`),
          ([row]) => Option.fromUndefinedOr(row)
        )
      const findByReference = (provider: Provider, reference: string) =>
        Effect.map(
          rows(sql`SELECT ${columns} FROM payments.disputes WHERE provider = ${provider} AND reference = ${reference}`),
          ([row]) => Option.fromUndefinedOr(row)
        )
      const there = (id: DisputeId, found: Option.Option<Dispute>) =>
        Option.isSome(found) ? Effect.succeed(found.value) : Effect.die(new Error(`Dispute ${id} has vanished`))

      return DisputeStore.of({
        insert: Effect.fn("DisputeStore.insert")(function*(dispute) {
          const { amount, currency, flag, id, paymentId, provider, reference, userId } = dispute
          yield* sql`
            INSERT INTO payments.disputes (id, provider, reference, payment_id, user_id, amount, currency, status, flag)
            VALUES (${id}, ${provider}, ${reference}, ${paymentId}, ${userId}, ${amount}, ${currency}, 'open',
                    ${Option.getOrNull(flag)})
            ON CONFLICT (provider, reference) DO NOTHING`
          return yield* there(id, yield* findByReference(provider, reference))
        }),
        find,
        findByReference,
        end: Effect.fn("DisputeStore.end")(function*(id, to) {
          const [status, decided] = to === "won" ? [to, null] : ["lost", to.lost]
          yield* sql`UPDATE payments.disputes SET status = ${status}, decided_amount = ${decided}, updated_at = now()
            WHERE id = ${id} AND status = 'open'`
          return yield* there(id, yield* find(id))
        }),
        flag: Effect.fn("DisputeStore.flag")(function*(id, flag) {
          yield* sql`UPDATE payments.disputes SET flag = ${flag}, updated_at = now() WHERE id = ${id} AND flag IS NULL`
          return yield* there(id, yield* find(id))
        }),
        isDisputed: (paymentId) =>
          Effect.map(
            sql`SELECT id FROM payments.disputes WHERE payment_id = ${paymentId} AND status <> 'won' LIMIT 1`,
            (found) => found.length > 0
          ),
        settle: (id) =>
          Effect.asVoid(sql`UPDATE payments.disputes SET settled = true, updated_at = now()
            WHERE id = ${id} AND status <> 'open' AND NOT settled`),
        touch: (id) => Effect.asVoid(sql`UPDATE payments.disputes SET updated_at = now() WHERE id = ${id}`),
        unfinished: (seconds, limit) =>
          rows(sql`SELECT ${columns} FROM payments.disputes WHERE NOT settled AND (flag IS NULL OR status <> 'open')
            AND updated_at < now() - make_interval(secs => ${seconds}) ORDER BY updated_at LIMIT ${limit}`)
      })
    })
  )
}
