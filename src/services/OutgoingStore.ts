import { Context, Effect, Layer, Option, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import { OutgoingId, type PaymentId, type UserId } from "../domain/Ids.ts"
import { bookedOf, type Outgoing, type OutgoingFlag, type OutgoingStatus } from "../domain/Outgoing.ts"
import { decoded } from "./Database.ts"
import { columns, type PayoutInserted, type PayoutIntent, type RefundIntent, Row, type Written } from "./OutgoingRow.ts"

const decodeRow = Schema.decodeUnknownEffect(Row)
const decodeRows = Schema.decodeUnknownEffect(Schema.Array(Row))

/**
 * The only SQL on refunds and payouts. Each write goes one step forward or does nothing, so that of several at once one
 * decides, and each answers the row as it stands then.
 */
export class OutgoingStore extends Context.Service<OutgoingStore, {
  /** One transaction of this bulkhead's database; queue offers inside it commit with it. */
  transaction<A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R>
  /** Counts the amount on the payment and records the refund. None: the payment has less left than that, or is disputed. */
  insertRefund(intent: RefundIntent): Effect.Effect<Option.Option<Outgoing>, SqlError>
  /** Records a payout, unless its owner's are as many as may be: a repetition is not another, and all processes count together. */
  insertPayout(intent: PayoutIntent): Effect.Effect<PayoutInserted, SqlError>
  find(id: OutgoingId): Effect.Effect<Option.Option<Outgoing>, SqlError>
  refundsOf(paymentId: PaymentId): Effect.Effect<ReadonlyArray<Outgoing>, SqlError>
  admit(id: OutgoingId): Effect.Effect<Written, SqlError>
  refuse(row: Outgoing): Effect.Effect<Written, SqlError>
  approve(id: OutgoingId, by: UserId, reason: string): Effect.Effect<Written, SqlError>
  reject(id: OutgoingId, by: UserId, reason: string): Effect.Effect<Written, SqlError>
  cancel(id: OutgoingId): Effect.Effect<Written, SqlError>
  /** Ends what was let through and what the provider was never asked for. */
  turnAway(id: OutgoingId, reason: string): Effect.Effect<Written, SqlError>
  /** The right to ask the provider to pay, for a minute, or until `giveBack`: nobody else asks meanwhile. */
  begin(id: OutgoingId): Effect.Effect<Written, SqlError>
  giveBack(id: OutgoingId): Effect.Effect<void, SqlError>
  recipient(id: OutgoingId, recipient: string): Effect.Effect<Written, SqlError>
  answer(id: OutgoingId, reference: string): Effect.Effect<Written, SqlError>
  asked(id: OutgoingId, needsAction: boolean): Effect.Effect<Written, SqlError>
  complete(row: Outgoing): Effect.Effect<Written, SqlError>
  fail(row: Outgoing, reason: string): Effect.Effect<Written, SqlError>
  flag(id: OutgoingId, flag: OutgoingFlag): Effect.Effect<Written, SqlError>
  /** The ledger has done what this status asks for. */
  settle(row: Outgoing): Effect.Effect<Written, SqlError>
  payouts(page: {
    readonly userId: UserId
    readonly before: Option.Option<OutgoingId>
    readonly limit: number
  }): Effect.Effect<ReadonlyArray<Outgoing>, SqlError>
  inStatus(page: {
    readonly status: OutgoingStatus
    readonly before: Option.Option<OutgoingId>
    readonly limit: number
  }): Effect.Effect<ReadonlyArray<Outgoing>, SqlError>
  /** What has not moved for so many seconds and should have; the longest first. */
  stuck(seconds: number, limit: number): Effect.Effect<ReadonlyArray<Outgoing>, SqlError>
}>()("midnight/services/payments/OutgoingStore") {
  static readonly layer = Layer.effect(OutgoingStore, Effect.suspend(() => make))
}

const make = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const all = sql.literal(columns)
  const table = sql.literal("payments.outgoing")

  const findRow = SqlSchema.findOneOption({
    Request: OutgoingId,
    Result: Row,
    execute: (id) => sql`SELECT ${all} FROM ${table} WHERE id = ${id}`
  })
  const find = (id: OutgoingId) => decoded(findRow(id))
  const written = Effect.fnUntraced(function*(id: OutgoingId, rows: ReadonlyArray<unknown>) {
    const [first] = rows
    if (first !== undefined) return { row: yield* decoded(decodeRow(first)), changed: true }
    const found = yield* find(id)
    if (Option.isSome(found)) return { row: found.value, changed: false }
    return yield* Effect.die(new Error(`Refund or payout ${id} has vanished`))
  })
  const change = (id: OutgoingId, rows: Effect.Effect<ReadonlyArray<unknown>, SqlError>) =>
    Effect.flatMap(rows, (found) => written(id, found))
  const listRows = Effect.flatMap((found: ReadonlyArray<unknown>) => decoded(decodeRows(found)))
  const older = (before: Option.Option<OutgoingId>) =>
    Option.isNone(before) ? sql.literal("") : sql`AND id < ${before.value}`

  const count = ({ paymentId }: Outgoing, reserved: bigint, refunded: bigint) =>
    Option.isNone(paymentId)
      ? Effect.void
      : sql`UPDATE payments.payments
               SET refund_reserved = refund_reserved + ${reserved}, amount_refunded = amount_refunded + ${refunded},
                   updated_at = now()
             WHERE id = ${paymentId.value}`
  const counting = (
    work: Effect.Effect<Written, SqlError>,
    counts: (row: Outgoing) => Effect.Effect<unknown, SqlError>
  ) => sql.withTransaction(Effect.tap(work, ({ changed, row }) => changed ? counts(row) : Effect.void))

  /** What ends before it was paid is not about to be refunded any more. */
  const freeing = (id: OutgoingId, rows: Effect.Effect<ReadonlyArray<unknown>, SqlError>) =>
    counting(change(id, rows), (row) => count(row, -row.amount, 0n))

  const insertRefund = Effect.fn("OutgoingStore.insertRefund")(function*(intent: RefundIntent) {
    const { amount, currency, id, paymentId, provider, reason, userId } = intent
    // Repetitions of one request follow one another.
    yield* sql`SELECT id FROM payments.payments WHERE id = ${paymentId} FOR UPDATE`
    const known = yield* find(id)
    if (Option.isSome(known)) return known
    const left = yield* sql`
      UPDATE payments.payments SET refund_reserved = refund_reserved + ${amount}, updated_at = now()
       WHERE id = ${paymentId} AND status = 'succeeded' AND NOT disputed AND refund_reserved + ${amount} <= coalesce(accepted_amount, amount) RETURNING id`
    if (left.length === 0) return Option.none()
    const rows = yield* sql`
      INSERT INTO ${table} (id, kind, user_id, payment_id, provider, amount, currency, status, needs_approval, reason)
      VALUES (${id}, 'refund', ${userId}, ${paymentId}, ${provider}, ${amount}, ${currency}, 'reserving', false,
              ${Option.getOrNull(reason)}) RETURNING ${all}`
    return Option.some((yield* written(id, rows)).row)
  }, sql.withTransaction)

  const insertPayout = Effect.fn("OutgoingStore.insertPayout")(function*(intent: PayoutIntent) {
    const { amount, currency, destination, destinationType, id, last4, most, needsApproval, provider, userId } = intent
    yield* sql`INSERT INTO payments.payout_members VALUES (${userId}) ON CONFLICT (user_id) DO UPDATE SET user_id = ${userId}`
    const known = yield* find(id)
    if (Option.isSome(known)) return known.value
    const [lately] = yield* sql<{ readonly sum: string; readonly wait: number | null }>`
      SELECT ceil(extract(epoch FROM (array_agg(created_at ORDER BY created_at DESC))[${most.atOnce.limit}::int]
               + make_interval(secs => ${most.atOnce.windowSeconds}) - now()))::int AS wait,
             coalesce(sum(amount) FILTER (WHERE currency = ${currency}
               AND status NOT IN ('refused', 'canceled', 'failed')), 0)::text AS sum
        FROM ${table} WHERE user_id = ${userId} AND kind = 'payout' AND created_at > now() - interval '24 hours'`
    const wait = lately?.wait ?? 0
    if (wait > 0) return { retryAfter: wait }
    const left = most.daily - BigInt(lately?.sum ?? 0)
    if (amount > left) return { left: left < 0n ? 0n : left }
    const rows = yield* sql`
      INSERT INTO ${table} (id, kind, user_id, provider, amount, currency, status, needs_approval, destination_type, last4,
                            destination)
      VALUES (${id}, 'payout', ${userId}, ${provider}, ${amount}, ${currency}, 'reserving', ${needsApproval},
              ${destinationType}, ${last4}, ${destination}) RETURNING ${all}`
    return (yield* written(id, rows)).row
  }, sql.withTransaction)

  return OutgoingStore.of({
    transaction: sql.withTransaction,
    insertRefund,
    insertPayout,
    find,
    refundsOf: (paymentId) =>
      listRows(sql`SELECT ${all} FROM ${table} WHERE payment_id = ${paymentId} AND kind = 'refund' LIMIT 100`),
    admit: (id) =>
      change(
        id,
        sql`UPDATE ${table} SET status = CASE WHEN needs_approval THEN 'pending_approval' ELSE 'processing' END,
        updated_at = now() WHERE id = ${id} AND status = 'reserving' RETURNING ${all}`
      ),
    refuse: ({ id }) =>
      freeing(
        id,
        sql`UPDATE ${table} SET status = 'refused', updated_at = now()
        WHERE id = ${id} AND status = 'reserving' RETURNING ${all}`
      ),
    approve: (id, by, reason) =>
      change(
        id,
        sql`UPDATE ${table} SET status = 'processing', decided_by = ${by}, decision_reason = ${reason},
        updated_at = now() WHERE id = ${id} AND status = 'pending_approval' RETURNING ${all}`
      ),
    reject: (id, by, reason) =>
      change(
        id,
        sql`UPDATE ${table} SET status = 'failed', failure_reason = ${reason}, decided_by = ${by},
        decision_reason = ${reason}, updated_at = now()
        WHERE id = ${id} AND status = 'pending_approval' RETURNING ${all}`
      ),
    cancel: (id) =>
      change(
        id,
        sql`UPDATE ${table} SET status = 'canceled', updated_at = now() WHERE id = ${id}
        AND status IN ('pending_approval', 'processing') AND begun_at IS NULL RETURNING ${all}`
      ),
    turnAway: (id, reason) =>
      freeing(
        id,
        sql`UPDATE ${table} SET status = 'failed', failure_reason = ${reason}, updated_at = now()
        WHERE id = ${id} AND status = 'processing' AND begun_at IS NULL RETURNING ${all}`
      ),
    begin: (id) =>
      change(
        id,
        sql`UPDATE ${table} SET begun_at = coalesce(begun_at, now()), updated_at = now(),
        sending_until = now() + interval '1 minute' WHERE id = ${id} AND status = 'processing'
        AND provider_reference IS NULL AND (sending_until IS NULL OR sending_until < now()) RETURNING ${all}`
      ),
    giveBack: (id) => Effect.asVoid(sql`UPDATE ${table} SET sending_until = NULL WHERE id = ${id}`),
    recipient: (id, recipient) =>
      change(
        id,
        sql`UPDATE ${table} SET recipient = ${recipient}
        WHERE id = ${id} AND recipient IS NULL RETURNING ${all}`
      ),
    answer: (id, reference) =>
      change(
        id,
        sql`UPDATE ${table} SET provider_reference = ${reference}, begun_at = coalesce(begun_at, now()),
        sending_until = NULL, updated_at = now() WHERE id = ${id} AND provider_reference IS NULL RETURNING ${all}`
      ),
    asked: (id, needsAction) =>
      change(
        id,
        sql`UPDATE ${table} SET needs_action = ${needsAction}, updated_at = now()
        WHERE id = ${id} AND status = 'processing' RETURNING ${all}`
      ),
    complete: ({ id }) =>
      counting(
        change(
          id,
          sql`UPDATE ${table} SET status = 'done', done_at = now(), needs_action = false, updated_at = now()
          WHERE id = ${id} AND status = 'processing' RETURNING ${all}`
        ),
        (row) => count(row, bookedOf(row) - row.amount, bookedOf(row))
      ),
    fail: ({ id }, reason) =>
      counting(
        change(
          id,
          sql`UPDATE ${table} SET status = 'failed', failure_reason = ${reason}, settled = false,
          needs_action = false, updated_at = now()
          WHERE id = ${id} AND status IN ('processing', 'done') RETURNING ${all}`
        ),
        (row) => Option.isSome(row.doneAt) ? count(row, -bookedOf(row), -bookedOf(row)) : count(row, -row.amount, 0n)
      ),
    flag: (id, flag) =>
      change(
        id,
        sql`UPDATE ${table} SET flag = ${flag}, flag_decision = NULL, updated_at = now()
        WHERE id = ${id} AND flag IS NULL RETURNING ${all}`
      ),
    settle: ({ id, status }) =>
      change(
        id,
        sql`UPDATE ${table} SET settled = true, updated_at = now()
        WHERE id = ${id} AND status = ${status} AND NOT settled RETURNING ${all}`
      ),
    payouts: ({ before, limit, userId }) =>
      listRows(sql`SELECT ${all} FROM ${table} WHERE user_id = ${userId} AND kind = 'payout'
        AND status NOT IN ('reserving', 'refused') ${older(before)} ORDER BY id DESC LIMIT ${limit}`),
    inStatus: ({ before, limit, status }) =>
      listRows(sql`SELECT ${all} FROM ${table} WHERE status = ${status} AND kind = 'payout' ${older(before)}
        ORDER BY id DESC LIMIT ${limit}`),
    stuck: (seconds, limit) =>
      listRows(sql`SELECT ${all} FROM ${table} WHERE NOT settled AND status <> 'pending_approval' AND flag IS NULL
        AND updated_at < now() - make_interval(secs => ${seconds}) ORDER BY updated_at LIMIT ${limit}`)
  })
})
