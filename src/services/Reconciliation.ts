import { Context, DateTime, Effect, Layer, Option, Schema, Semaphore } from "effect"
import { OutgoingId, type UserId } from "../domain/Ids.ts"
import type { Outgoing } from "../domain/Outgoing.ts"
import { cursorOf, cut } from "../domain/Page.ts"
import type { Provider } from "../domain/Payments.ts"
import type { InvalidRequest, Unavailable } from "../domain/Problem.ts"
import type { Difference, ReconciliationReport } from "../domain/Reconciliation.ts"
import { PaymentActs } from "./AuditStore.ts"
import { withDatabase } from "./Database.ts"
import { Disputes } from "./Disputes.ts"
import { DisputeStore } from "./DisputeStore.ts"
import {
  type Gateway,
  Gateways,
  type Listing,
  type ProviderCharge,
  type ProviderDispute,
  type ProviderError
} from "./Gateway.ts"
import { uuidV7 } from "./NewId.ts"
import type { Report } from "./OutgoingProvider.ts"
import { Outgoings } from "./Outgoings.ts"
import { OutgoingStore } from "./OutgoingStore.ts"
import { PaymentStore } from "./PaymentStore.ts"
import { ReconciliationStore } from "./ReconciliationStore.ts"
import { Settlement } from "./Settlement.ts"

// What has not moved for this long is asked about; a longer time than a provider call with all its attempts takes.
const stuckSeconds = 45
const mostAtOnce = 50
const mostPages = 200
const mostKnown = 20_000
/** Made here and listed there at the same moment; the two clocks may differ. */
const clockMinutes = 10

interface Found {
  compared: number
  repaired: number
  readonly differences: Array<Difference>
}
type Page = Parameters<Gateway["listCharges"]>[0]

// One that meets a defect, such as a destination that no secret opens any more, must not end the round for all others.
const apart = Effect.ignoreCause({ log: "Warn", message: "What has not moved could not be asked about" })

const position = cursorOf(Schema.String.check(Schema.isPattern(/^[0-9a-f-]{36}$/)))
const outgoingIdOf = Schema.decodeUnknownOption(OutgoingId)

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

  const charge = Effect.fnUntraced(function*(provider: Provider, item: ProviderCharge, found: Found) {
    if (Option.isNone(item.paymentId)) return
    const { paymentId: { value: id }, reference } = item
    found.compared++
    const differs = (says: string) => found.differences.push({ provider, kind: "charge", reference, id, says })
    const before = yield* withDatabase(payments.find(id))
    if (Option.isNone(before)) return differs("The charge names a payment that is not here.")
    if (before.value.provider !== provider) return differs(`The payment is one of ${before.value.provider}.`)
    // Asked about only where the list says something new: most of what is open is a checkout that nobody came back to.
    const isNews = item.status !== before.value.status
    const moved = isNews ? yield* settlement.reconcile(before.value) : before.value
    const after = yield* settlement.bookFee(moved, item.fee)
    if (after.status !== before.value.status) found.repaired++
    if (Option.isSome(after.flag)) return differs(`It was not credited: ${after.flag.value}.`)
    if (Option.isSome(after.providerReference) && after.providerReference.value !== reference) {
      return differs(`The payment has another charge, ${after.providerReference.value}.`)
    }
    if ((item.status === "succeeded") !== (after.status === "succeeded")) {
      differs(`It is ${item.status} there and ${after.status} here.`)
    }
  })

  const movement = Effect.fnUntraced(function*(
    { kind, provider }: { readonly kind: Outgoing["kind"]; readonly provider: Provider },
    item: Report,
    found: Found
  ) {
    const id = Option.flatMap(item.operationId, outgoingIdOf)
    const { reference } = item
    const differs = (says: string) =>
      found.differences.push({ provider, kind, reference, id: Option.getOrNull(id), says })
    if (Option.isNone(id)) {
      // Somebody made it in the provider's dashboard, or with the same key from elsewhere.
      return differs(`A ${kind} of ${item.amount} ${item.currency} that was not asked for here.`)
    }
    found.compared++
    const before = yield* withDatabase(outgoing.find(id.value))
    if (Option.isNone(before) || before.value.kind !== kind) return differs(`There is no such ${kind} here.`)
    const after = yield* outgoings.adopt(before.value, item)
    if (after.status !== before.value.status) found.repaired++
    if (Option.isSome(after.flag)) return differs(`It needs a decision: ${after.flag.value}.`)
    if (Option.isSome(after.providerReference) && after.providerReference.value !== reference) {
      differs(`It was made twice; the other is ${after.providerReference.value}.`)
    }
  })

  /** One whose event was lost, or that ended unheard. What is known as it is there needs nothing. */
  const dispute = Effect.fnUntraced(function*(provider: Provider, item: ProviderDispute, found: Found) {
    if (Option.isNone(item.paymentId)) return
    found.compared++
    const { reference } = item
    const now = withDatabase(disputeStore.findByReference(provider, reference))
    const before = yield* now
    const isKnown = Option.exists(before, ({ status }) => status === item.status || status !== "open")
    // Its payment may not be known as paid yet: then it is asked about again at the next comparison.
    const isDone = !isKnown && (yield* Effect.isSuccess(disputes.work(provider, reference)))
    const after = isDone ? yield* now : before
    if (Option.getOrUndefined(after)?.status !== Option.getOrUndefined(before)?.status) found.repaired++
    if (Option.isSome(after) && Option.isSome(after.value.flag) && after.value.status !== "won") {
      const says = `It needs a decision: ${after.value.flag.value}.`
      found.differences.push({ provider, kind: "dispute", reference, id: after.value.paymentId, says })
    }
  })

  const pages = Effect.fnUntraced(function*<A, E>(
    since: DateTime.Utc,
    list: (page: Page) => Effect.Effect<Listing<A>, ProviderError>,
    each: (item: A) => Effect.Effect<unknown, E>
  ) {
    let cursor = Option.none<string>()
    for (let page = 0; page < mostPages; page++) {
      const { items, next } = yield* list({ since, cursor })
      yield* Effect.forEach(items, each, { concurrency: 4, discard: true })
      if (Option.isNone(next)) return true
      cursor = next
    }
    yield* Effect.logWarning("A provider's list is longer than what is read of it at once")
    return false
  })

  const compareCharges = Effect.fnUntraced(function*(gateway: Gateway, since: DateTime.Utc, found: Found) {
    const { provider } = gateway
    // Read before the list: what is made while the list is read cannot be missing from it.
    const from = uuidV7(DateTime.toEpochMillis(DateTime.add(since, { minutes: clockMinutes })))
    const known = yield* withDatabase(store.succeeded(provider, from, mostKnown))
    const seen = new Set<string>()
    const isWhole = yield* pages(since, gateway.listCharges, (item) => {
      seen.add(item.reference)
      return charge(provider, item, found)
    })
    // What succeeded here must be there: no money without somebody who brought it.
    for (const { id, reference } of isWhole ? known.filter((row) => !seen.has(row.reference)) : []) {
      const says = "It was credited here, and the provider's list does not have it."
      found.differences.push({ provider, kind: "charge", reference, id, says })
    }
  })

  /** Each list by itself: one that cannot be read says nothing against the others. */
  const compare = (gateway: Gateway, since: DateTime.Utc, found: Found) => {
    const { provider } = gateway
    const lists = [
      compareCharges(gateway, since, found),
      pages(since, gateway.listRefunds, (item) => movement({ kind: "refund", provider }, item, found)),
      pages(since, gateway.listPayouts, (item) => movement({ kind: "payout", provider }, item, found)),
      pages(since, gateway.listDisputes, (item) => dispute(provider, item, found))
    ]
    return Effect.forEach(lists, (list) =>
      list.pipe(
        Effect.as([]),
        Effect.catch((error) => Effect.succeed(["detail" in error ? String(error.detail) : error._tag]))
      )).pipe(Effect.map((says) => [...new Set(says.flat())]))
  }

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
