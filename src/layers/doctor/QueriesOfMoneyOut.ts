import { DateTime, Effect, Option } from "effect"
import { SecureRandom } from "effect/crypto"
import { DisputeId, OutgoingId, PaymentId, TransferId, UserId } from "../../domain/Ids.ts"
import { Amount } from "../../domain/Money.ts"
import type { Outgoing } from "../../domain/Outgoing.ts"
import { payoutsAtOnce } from "../../domain/Payouts.ts"
import type { DisputeStore } from "../../services/DisputeStore.ts"
import type { FlagStore } from "../../services/FlagStore.ts"
import type { OutgoingStore } from "../../services/OutgoingStore.ts"
import type { PaymentStore } from "../../services/PaymentStore.ts"
import type { ReconciliationStore } from "../../services/ReconciliationStore.ts"
import { after, named, type Uses } from "./NamedQuery.ts"
import type { Samples } from "./Samples.ts"

const fresh = <A>(schema: { readonly make: (value: string) => A }) => schema.make(SecureRandom.uuidV7Unsafe())
const currency = "USD"
const amount = Amount.make(1n)

interface Stores {
  readonly payments: PaymentStore["Service"]
  readonly outgoing: OutgoingStore["Service"]
  readonly disputes: DisputeStore["Service"]
  readonly flags: FlagStore["Service"]
  readonly reconciliation: ReconciliationStore["Service"]
}

/** A payment that succeeded, a refund of it, and a payout. */
const given = (stores: Stores, real: Samples) => {
  const paymentId = fresh(PaymentId)
  const asked = { userId: real.payer, provider: "sandbox", amount, currency } as const
  const paid = stores.payments.insert({ ...asked, id: paymentId, livemode: false, returnUrl: Option.none() }).pipe(
    Effect.andThen(stores.payments.succeed(paymentId, fresh(TransferId)))
  )
  const refund = { ...asked, id: fresh(OutgoingId), paymentId, reason: Option.none() }
  const payout = {
    ...asked,
    id: fresh(OutgoingId),
    needsApproval: true,
    destinationType: "bank",
    last4: "1234",
    destination: new Uint8Array(8),
    most: { daily: 1_000_000n, atOnce: payoutsAtOnce }
  } as const
  return {
    paymentId,
    paid,
    refund,
    payout,
    refunded: Effect.andThen(paid, stores.outgoing.insertRefund(refund)),
    recorded: stores.outgoing.insertPayout(payout)
  }
}

const rowOf = (refund: ReturnType<typeof given>["refund"]): Outgoing => ({
  id: refund.id,
  kind: "refund",
  userId: refund.userId,
  paymentId: Option.some(refund.paymentId),
  provider: "sandbox",
  amount,
  currency,
  status: "processing",
  needsApproval: false,
  reason: Option.none(),
  destinationType: Option.none(),
  last4: Option.none(),
  destination: Option.none(),
  recipient: Option.none(),
  providerReference: Option.none(),
  needsAction: false,
  failureReason: Option.none(),
  flag: Option.none(),
  flagDecision: Option.none(),
  acceptedAmount: Option.none(),
  acceptedCurrency: Option.none(),
  begunAt: Option.none(),
  doneAt: Option.none(),
  settled: false,
  createdAt: DateTime.makeUnsafe(0)
})

const outgoingQueries = (stores: Stores, real: Samples) => {
  const store = stores.outgoing
  const { paid, payout, recorded, refund, refunded } = given(stores, real)
  const { id } = payout
  const row = rowOf(refund)
  const by = fresh(UserId)
  const admitted = Effect.andThen(recorded, store.admit(id))
  const begun = refunded.pipe(Effect.andThen(store.admit(refund.id)), Effect.andThen(store.begin(refund.id)))
  const page = { before: Option.none(), limit: 20 }
  const later = { before: Option.some(id), limit: 20 }
  const uses: Uses<OutgoingStore["Service"]> = {
    insertRefund: [after(paid, store.insertRefund(refund)), after(refunded, store.insertRefund(refund))],
    insertPayout: [recorded, after(recorded, recorded)],
    find: store.find(id),
    refundsOf: store.refundsOf(real.paymentId),
    admit: [after(recorded, store.admit(id)), after(admitted, store.admit(id))],
    refuse: after(refunded, store.refuse({ ...row, status: "reserving" })),
    approve: after(admitted, store.approve(id, by, "doctor")),
    reject: after(admitted, store.reject(id, by, "doctor")),
    cancel: after(admitted, store.cancel(id)),
    turnAway: [
      after(Effect.andThen(refunded, store.admit(refund.id)), store.turnAway(refund.id, "doctor")),
      after(recorded, store.turnAway(id, "doctor"))
    ],
    begin: after(Effect.andThen(refunded, store.admit(refund.id)), store.begin(refund.id)),
    giveBack: store.giveBack(id),
    recipient: after(recorded, store.recipient(id, "doctor")),
    answer: after(begun, store.answer(refund.id, refund.id)),
    asked: after(begun, store.asked(refund.id, false)),
    complete: after(begun, store.complete(row)),
    fail: after(begun, store.fail(row, "doctor")),
    flag: after(recorded, store.flag(id, "hold_lost")),
    settle: after(Effect.andThen(begun, store.fail(row, "doctor")), store.settle({ ...row, status: "failed" })),
    payouts: [store.payouts({ userId: real.payer, ...page }), store.payouts({ userId: real.payer, ...later })],
    inStatus: [store.inStatus({ status: "done", ...page }), store.inStatus({ status: "done", ...later })],
    stuck: store.stuck(60, 20)
  }
  return named("OutgoingStore", uses)
}

const flagQueries = (stores: Stores, real: Samples) => {
  const store = stores.flags
  const { paid, paymentId, recorded, payout, refund, refunded } = given(stores, real)
  const row = rowOf(refund)
  const page = { before: Option.none(), limit: 20 }
  const accepted = { amount, currency } as const
  const begun = refunded.pipe(
    Effect.andThen(stores.outgoing.admit(refund.id)),
    Effect.andThen(stores.outgoing.begin(refund.id))
  )
  const flagged = Effect.andThen(begun, stores.outgoing.flag(refund.id, "amount_mismatch"))
  const ended = Effect.andThen(
    Effect.andThen(begun, stores.outgoing.fail(row, "doctor")),
    stores.outgoing.flag(refund.id, "done_after_end")
  )
  const open = Effect.andThen(
    stores.payments.insert({
      id: paymentId,
      userId: real.payer,
      provider: "sandbox",
      amount,
      currency,
      livemode: false,
      returnUrl: Option.none()
    }),
    stores.payments.flag(paymentId, "amount_mismatch")
  )
  const uses: Uses<FlagStore["Service"]> = {
    charges: [store.charges(page), store.charges({ ...page, before: Option.some(paymentId) })],
    outgoings: [
      after(recorded, store.outgoings("payout", page)),
      after(paid, store.outgoings("refund", { ...page, before: Option.some(payout.id) }))
    ],
    acceptCharge: after(open, store.acceptCharge(paymentId, accepted)),
    endCharge: after(open, store.endCharge(paymentId, "release")),
    accept: after(flagged, store.accept(row, accepted)),
    revive: after(ended, store.revive({ ...row, status: "failed" }, accepted, refund.id)),
    clear: after(flagged, store.clear(row, "settle")),
    leave: after(ended, store.leave({ ...row, status: "failed" }))
  }
  return named("FlagStore", uses)
}

const disputeQueries = (stores: Stores, real: Samples) => {
  const store = stores.disputes
  const { paid, paymentId } = given(stores, real)
  const id = fresh(DisputeId)
  const insert = store.insert({
    id,
    provider: "sandbox",
    reference: id,
    paymentId,
    userId: real.payer,
    amount,
    currency,
    flag: Option.none()
  })
  const inserted = Effect.andThen(paid, insert)
  const uses: Uses<DisputeStore["Service"]> = {
    insert: after(paid, insert),
    find: store.find(id),
    findByReference: store.findByReference("sandbox", id),
    end: after(inserted, store.end(id, "won")),
    flag: after(inserted, store.flag(id, "amount_mismatch")),
    isDisputed: store.isDisputed(real.paymentId),
    settle: after(Effect.andThen(inserted, store.end(id, { lost: amount })), store.settle(id)),
    touch: store.touch(id),
    unfinished: store.unfinished(60, 20)
  }
  return named("DisputeStore", uses)
}

const reconciliationQueries = (store: ReconciliationStore["Service"], now: DateTime.Utc) => {
  const id = SecureRandom.uuidV7Unsafe()
  const report = { id, since: now, createdAt: now, compared: 0, repaired: 0, unavailable: [], differences: [] }
  const before = { at: "2100-01-01T00:00:00.000000+00", provider: "sandbox", eventId: "doctor" } as const
  const uses: Uses<ReconciliationStore["Service"]> = {
    events: [store.events(Option.none(), 20), store.events(Option.some(before), 20)],
    event: store.event("sandbox", "doctor"),
    succeeded: store.succeeded("sandbox", id, 20),
    keep: store.keep(report),
    reports: [store.reports(Option.none(), 20), store.reports(Option.some(id), 20)]
  }
  return named("ReconciliationStore", uses)
}

export const moneyOutQueries = (stores: Stores, real: Samples, now: DateTime.Utc) => [
  ...outgoingQueries(stores, real),
  ...disputeQueries(stores, real),
  ...flagQueries(stores, real),
  ...reconciliationQueries(stores.reconciliation, now)
]
