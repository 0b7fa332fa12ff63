import { Context, DateTime, Effect, Layer, Option, Schema, Semaphore } from "effect"
import type { UserId } from "../domain/Ids.ts"
import { cursorOf, cut } from "../domain/Page.ts"
import type { InvalidRequest, Unavailable } from "../domain/Problem.ts"
import type { ReconciliationReport } from "../domain/Reconciliation.ts"
import { PaymentActs } from "./AuditStore.ts"
import { withDatabase } from "./Database.ts"
import { Disputes } from "./Disputes.ts"
import { DisputeStore } from "./DisputeStore.ts"
import { Gateways } from "./Gateway.ts"
import { uuidV7 } from "./NewId.ts"
import { Outgoings } from "./Outgoings.ts"
import { OutgoingStore } from "./OutgoingStore.ts"
import { PaymentStore } from "./PaymentStore.ts"
import { comparing, type Found } from "./ReconciliationLists.ts"
import { ReconciliationStore } from "./ReconciliationStore.ts"
import { Settlement } from "./Settlement.ts"

// What has not moved for this long is asked about; a longer time than a provider call with all its attempts takes.
const stuckSeconds = 45
const mostAtOnce = 50

// One that meets a defect, such as a destination that no secret opens any more, must not end the round for all others.
const apart = Effect.ignoreCause({ log: "Warn", message: "What has not moved could not be asked about" })

const position = cursorOf(Schema.String.check(Schema.isPattern(/^[0-9a-f-]{36}$/)))

/** Holds what is recorded here against what the providers hold; repairs what lags behind, and reports what differs. */
export class Reconciliation extends Context.Service<Reconciliation, {
  /** Asks about payments, refunds, payouts and disputes that have not moved for a while. */
  readonly askAboutStuck: Effect.Effect<void, Unavailable>
  /** Reads the providers' lists so many hours back. One that somebody asked for is in the audit log before it begins. */
  run(hours: number, by?: UserId): Effect.Effect<ReconciliationReport, Unavailable>
  reports(page: { readonly cursor: string | undefined; readonly limit: number }): Effect.Effect<
    { readonly items: ReadonlyArray<ReconciliationReport>; readonly nextCursor: string | null },
    InvalidRequest | Unavailable
  >
}>()("midnight/services/payments/Reconciliation") {
  static readonly layer = Layer.effect(Reconciliation, Effect.suspend(() => make))
}

const make = Effect.gen(function*() {
  const store = yield* ReconciliationStore
  const acts = yield* PaymentActs
  const gateways = yield* Gateways
  const payments = yield* PaymentStore
  const outgoing = yield* OutgoingStore
  const disputeStore = yield* DisputeStore
  const settlement = yield* Settlement
  const outgoings = yield* Outgoings
  const disputes = yield* Disputes
  const compare = yield* comparing
  const one = yield* Semaphore.make(1)

  const askAboutStuck = Effect.gen(function*() {
    const open = yield* withDatabase(payments.stuck(stuckSeconds, mostAtOnce))
    // Noted before it is asked: what cannot be answered now must not stand before all others for good.
    yield* Effect.forEach(
      open,
      (payment) => Effect.andThen(withDatabase(payments.asked(payment.id)), settlement.reconcile(payment)).pipe(apart),
      { concurrency: 4, discard: true }
    )
    const leaving = yield* withDatabase(outgoing.stuck(stuckSeconds, mostAtOnce))
    yield* Effect.forEach(
      leaving,
      (row) =>
        Effect.andThen(withDatabase(outgoing.asked(row.id, row.needsAction)), outgoings.advance(row)).pipe(apart),
      { concurrency: 4, discard: true }
    )
    const disputed = yield* withDatabase(disputeStore.unfinished(stuckSeconds, mostAtOnce))
    yield* Effect.forEach(
      disputed,
      ({ id, provider, reference }) =>
        Effect.andThen(withDatabase(disputeStore.touch(id)), disputes.work(provider, reference)).pipe(apart),
      { discard: true }
    )
  }).pipe(Effect.withSpan("Reconciliation.askAboutStuck"))

  const run = Effect.fn("Reconciliation.run")(function*(hours: number, by?: UserId) {
    const createdAt = yield* DateTime.now
    const id = uuidV7(DateTime.toEpochMillis(createdAt))
    if (by !== undefined) yield* withDatabase(acts.record({ kind: "reconciliation_run", by, subject: id }))
    const since = DateTime.subtract(createdAt, { hours })
    const found: Found = { compared: 0, repaired: 0, differences: [] }
    const unavailable: Array<ReconciliationReport["unavailable"][number]> = []
    for (const provider of gateways.configured) {
      const gateway = gateways.find(provider)
      if (Option.isNone(gateway)) continue
      for (const says of yield* compare(gateway.value, since, found)) unavailable.push({ provider, says })
    }
    const report = {
      id,
      since,
      createdAt,
      compared: found.compared,
      repaired: found.repaired,
      unavailable,
      differences: found.differences.slice(0, 1_000)
    }
    yield* withDatabase(store.keep(report))
    if (report.differences.length > 0) {
      const some = report.differences.slice(0, 20)
      yield* Effect.logError("Reconciliation found differences that a person has to decide", some)
    }
    return report
  }, one.withPermits(1))

  return Reconciliation.of({
    askAboutStuck,
    run,
    reports: Effect.fn("Reconciliation.reports")(function*({ cursor, limit }) {
      const before = yield* position.decode(cursor)
      const rows = yield* withDatabase(store.reports(before, limit + 1))
      return yield* cut(rows, limit, (last) => position.encode(last.id))
    })
  })
})
