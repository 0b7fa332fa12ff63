import { DateTime, Effect, Option, Schema } from "effect"
import { OutgoingId } from "../domain/Ids.ts"
import type { Outgoing } from "../domain/Outgoing.ts"
import type { Provider, ProviderUnavailable } from "../domain/Payments.ts"
import type { Unavailable } from "../domain/Problem.ts"
import type { Difference } from "../domain/Reconciliation.ts"
import { withDatabase } from "./Database.ts"
import { Disputes } from "./Disputes.ts"
import { DisputeStore } from "./DisputeStore.ts"
import {
  type Gateway,
  type ProviderCharge,
  type ProviderDispute,
  type ProviderError,
  ProviderNonsense
} from "./Gateway.ts"
import { type Listing, mayBe, mostPages, type Strange } from "./GatewayLists.ts"
import { uuidV7 } from "./NewId.ts"
import type { Report } from "./OutgoingProvider.ts"
import { Outgoings } from "./Outgoings.ts"
import { OutgoingStore } from "./OutgoingStore.ts"
import { PaymentStore } from "./PaymentStore.ts"
import { ReconciliationStore } from "./ReconciliationStore.ts"
import { Settlement } from "./Settlement.ts"

const mostKnown = 20_000
/** Made here and listed there at the same moment; the two clocks may differ. */
const clockMinutes = 10

/** What a comparison comes to. */
export interface Found {
  compared: number
  repaired: number
  readonly differences: Array<Difference>
}
type Page = Parameters<Gateway["listCharges"]>[0]

/** One list while it is read. */
interface List {
  readonly kind: Difference["kind"]
  readonly provider: Provider
  readonly found: Found
  readonly seen: Set<string>
  readonly strange: Array<Strange>
  failures: number
}
interface Named {
  readonly reference: string
}
const mostFailures = 5

const listOf = (kind: Difference["kind"], provider: Provider, found: Found): List => ({
  kind,
  provider,
  found,
  seen: new Set(),
  strange: [],
  failures: 0
})
const tell = ({ found, kind, provider }: List, { reference }: Named, says: string) => {
  found.differences.push({ provider, kind, reference, id: null, says })
}
/** Told once, on however many pages it stands. */
const strangeIn = (list: List, row: Strange) => {
  const { ids, reference, says } = row
  if (reference !== null && list.strange.some((one) => one.reference === reference)) return
  list.strange.push(row)
  const { found, kind, provider } = list
  const [id = null] = ids.length === 1 ? ids : []
  const names = ids.length > 1 ? ` It names ${ids.join(", ")}.` : ""
  found.differences.push({ provider, kind, reference, id, says: `A row of its list cannot be read: ${says}${names}` })
}

const outgoingIdOf = Schema.decodeUnknownOption(OutgoingId)

/** Holds the lists of one provider against what is recorded here: repairs what lags behind, and finds what differs. */
export const comparing = Effect.gen(function*() {
  const store = yield* ReconciliationStore
  const payments = yield* PaymentStore
  const outgoing = yield* OutgoingStore
  const disputeStore = yield* DisputeStore
  const settlement = yield* Settlement
  const outgoings = yield* Outgoings
  const disputes = yield* Disputes

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
    if (Option.isSome(after.flag) && Option.isSome(after.flagDecision)) return
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
    if (Option.isSome(after.flag) && Option.isSome(after.flagDecision)) return
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

  /** One that cannot be asked about is told and passed by; where many cannot, the provider is away. */
  const apart = (list: List, item: Named, work: Effect.Effect<unknown, ProviderUnavailable | Unavailable>) =>
    work.pipe(
      Effect.catchTag("ProviderUnavailable", (error) => {
        if (++list.failures > mostFailures) return Effect.fail(error)
        return Effect.sync(() => tell(list, item, `It could not be asked about: ${error.detail}`))
      }),
      Effect.catchDefect((defect) =>
        Effect.andThen(
          Effect.logError("Comparing what a provider lists met a defect", { reference: item.reference, defect }),
          Effect.sync(() => tell(list, item, "Comparing it met a defect; the log has it."))
        )
      )
    )

  const pages = Effect.fnUntraced(function*<A extends Named>(
    list: List,
    since: DateTime.Utc,
    read: (page: Page) => Effect.Effect<Listing<A>, ProviderError>,
    each: (item: A) => Effect.Effect<unknown, ProviderUnavailable | Unavailable>
  ) {
    let cursor = Option.none<string>()
    for (let page = 0; page < mostPages; page++) {
      const { items, next, strange } = yield* read({ since, cursor })
      // What is made while the list is read moves others to the next page, where they come again.
      const fresh = items.filter(({ reference }) => !list.seen.has(reference))
      for (const { reference } of items) list.seen.add(reference)
      for (const row of strange) strangeIn(list, row)
      yield* Effect.forEach(fresh, (item) => apart(list, item, each(item)), { concurrency: 4, discard: true })
      if (Option.isNone(next)) return
      cursor = next
    }
    return yield* new ProviderNonsense({
      provider: list.provider,
      detail: `The list of ${list.kind}s is longer than what is read of it.`
    })
  })

  const compareCharges = Effect.fnUntraced(function*(gateway: Gateway, since: DateTime.Utc, found: Found) {
    const { provider } = gateway
    // Read before the list: what is made while the list is read cannot be missing from it.
    const from = uuidV7(DateTime.toEpochMillis(DateTime.add(since, { minutes: clockMinutes })))
    const known = yield* withDatabase(store.succeeded(provider, from, mostKnown))
    const list = listOf("charge", provider, found)
    yield* pages(list, since, gateway.listCharges, (item) => charge(provider, item, found))
    // What succeeded here must be there: no money without somebody who brought it. A row that cannot be read may be any of them.
    const missing = known.filter(({ id, reference }) =>
      !list.seen.has(reference) && !list.strange.some((row) => row.reference === reference || mayBe(row, id))
    )
    for (const { id, reference } of missing) {
      const says = "It was credited here, and the provider's list does not have it."
      found.differences.push({ provider, kind: "charge", reference, id, says })
    }
  })

  /** Each list by itself: one that cannot be read says nothing against the others. */
  const compare = (gateway: Gateway, since: DateTime.Utc, found: Found) => {
    const { provider } = gateway
    const lists = [
      compareCharges(gateway, since, found),
      pages(
        listOf("refund", provider, found),
        since,
        gateway.listRefunds,
        (item) => movement({ kind: "refund", provider }, item, found)
      ),
      pages(
        listOf("payout", provider, found),
        since,
        gateway.listPayouts,
        (item) => movement({ kind: "payout", provider }, item, found)
      ),
      pages(listOf("dispute", provider, found), since, gateway.listDisputes, (item) => dispute(provider, item, found))
    ]
    return Effect.forEach(lists, (list) =>
      list.pipe(
        Effect.as([]),
        Effect.catch((error) => Effect.succeed(["detail" in error ? String(error.detail) : error._tag]))
      )).pipe(Effect.map((says) => [...new Set(says.flat())]))
  }

  return compare
})
