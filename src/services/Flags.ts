import { Context, Effect, Layer, Option } from "effect"
import {
  decideCharge,
  decideFlagged,
  type Flagged,
  flaggedCharge,
  type FlaggedKind,
  type FlaggedNow,
  flaggedOutgoing,
  FlagNotDecidable,
  type FlagVerdict,
  goesByReport,
  type OutgoingVerdict,
  type ProviderSays
} from "../domain/Flags.ts"
import { OutgoingId, PaymentId, type UserId } from "../domain/Ids.ts"
import type { Outgoing } from "../domain/Outgoing.ts"
import { cursorOf, cut } from "../domain/Page.ts"
import type { Payment, ProviderUnavailable } from "../domain/Payments.ts"
import { type InvalidRequest, NotFound, type Unavailable } from "../domain/Problem.ts"
import { PaymentActs } from "./AuditStore.ts"
import { withDatabase } from "./Database.ts"
import { FlagStore } from "./FlagStore.ts"
import { Gateways, type ProviderCharge } from "./Gateway.ts"
import { asking, type Report } from "./OutgoingProvider.ts"
import { Outgoings, reportOf } from "./Outgoings.ts"
import { OutgoingStore } from "./OutgoingStore.ts"
import { PaymentSettings } from "./Payments.ts"
import { PaymentStore } from "./PaymentStore.ts"
import { gatewayOf, lost, nonsense } from "./ProviderCalls.ts"
import { Settlement } from "./Settlement.ts"

interface Page {
  readonly cursor: string | undefined
  readonly limit: number
}
type NotNow = ProviderUnavailable | Unavailable

const paymentPosition = cursorOf(PaymentId)
const outgoingPosition = cursorOf(OutgoingId)

/** What providers say differently from what was asked: shown to administrators with what they say now, and decided by one. */
export class Flags extends Context.Service<Flags, {
  /** What nobody has decided yet, newest first. */
  list(kind: FlaggedKind, page: Page): Effect.Effect<
    { readonly items: ReadonlyArray<Flagged>; readonly nextCursor: string | null },
    InvalidRequest | Unavailable
  >
  /** One of them, and what its provider says now. */
  look(kind: FlaggedKind, id: string): Effect.Effect<FlaggedNow, NotFound | NotNow>
  /** The same decision again answers what came of the first. */
  decide(kind: FlaggedKind, id: string, verdict: FlagVerdict, by: UserId): Effect.Effect<
    Flagged,
    NotFound | FlagNotDecidable | NotNow
  >
}>()("midnight/services/payments/Flags") {
  static readonly layer = Layer.effect(Flags, Effect.suspend(() => make))
}

const saysOf = (report: ProviderCharge | Report): ProviderSays => ({
  reference: report.reference,
  status: report.status,
  amount: report.amount,
  currency: report.currency,
  livemode: "livemode" in report ? report.livemode : null
})
const notDecidable = (detail: string) => new FlagNotDecidable({ detail })
const elsewhere = notDecidable("It was decided otherwise, or has moved on.")

const make = Effect.gen(function*() {
  const flags = yield* FlagStore
  const payments = yield* PaymentStore
  const outgoing = yield* OutgoingStore
  const acts = yield* PaymentActs
  const gateways = yield* Gateways
  const settlement = yield* Settlement
  const outgoings = yield* Outgoings
  const { currencies } = yield* PaymentSettings
  const ask = yield* asking

  const missing = new NotFound({ detail: "There is nothing of that kind and id that is or was flagged." })
  const paymentOf = Effect.fnUntraced(function*(id: string) {
    const found = yield* withDatabase(payments.find(PaymentId.make(id)))
    return Option.isSome(found) && (Option.isSome(found.value.flag) || Option.isSome(found.value.flagDecision))
      ? found.value
      : yield* missing
  })
  const rowOf = Effect.fnUntraced(function*(kind: Outgoing["kind"], id: string) {
    const found = yield* withDatabase(outgoing.find(OutgoingId.make(id)))
    return Option.isSome(found) && found.value.kind === kind
        && (Option.isSome(found.value.flag) || Option.isSome(found.value.flagDecision))
      ? found.value
      : yield* missing
  })

  const chargeAt = Effect.fnUntraced(function*(payment: Payment) {
    if (Option.isNone(payment.providerReference)) return Option.none<ProviderCharge>()
    const gateway = yield* gatewayOf(gateways, payment)
    return Option.some(
      yield* gateway.retrieveCharge(payment.providerReference.value).pipe(
        Effect.catchTags({ ProviderRefused: lost(payment), ProviderNonsense: nonsense(payment) })
      )
    )
  })
  const reportAt = (row: Outgoing) => Effect.flatMap(gatewayOf(gateways, row), (gateway) => ask.again(gateway, row))

  /** The change and its record, or neither. */
  const recorded = (
    subject: { readonly kind: FlaggedKind; readonly id: string; readonly userId: UserId },
    { decision, reason }: FlagVerdict,
    by: UserId,
    change: ReturnType<typeof flags.endCharge>
  ) =>
    withDatabase(payments.transaction(Effect.gen(function*() {
      if (!(yield* change)) return yield* elsewhere
      yield* acts.record({
        kind: decision === "settle" ? "flag_settled" : "flag_released",
        userId: subject.userId,
        by,
        reason,
        subject: `${subject.kind}/${subject.id}`
      })
    })))

  const decideOnCharge = Effect.fnUntraced(function*(payment: Payment, verdict: FlagVerdict, by: UserId) {
    if (Option.isSome(payment.flagDecision)) {
      return Option.contains(payment.flagDecision, verdict.decision)
        ? flaggedCharge(yield* settlement.reconcile(payment))
        : yield* elsewhere
    }
    const report = verdict.decision === "settle" ? yield* chargeAt(payment) : Option.none()
    const outcome = decideCharge(payment, verdict.decision, Option.getOrUndefined(report), currencies)
    if (outcome._tag === "Impossible") return yield* notDecidable(outcome.says)
    const { id } = payment
    const change = outcome._tag === "Accept"
      ? flags.acceptCharge(id, outcome.accepted)
      : flags.endCharge(id, verdict.decision)
    yield* recorded({ kind: "charge", id, userId: payment.userId }, verdict, by, change)
    return flaggedCharge(yield* settlement.reconcile(yield* paymentOf(id)))
  })

  const changeOf = (
    row: Outgoing,
    verdict: Exclude<OutgoingVerdict, { readonly _tag: "Impossible" }>,
    decision: FlagVerdict["decision"],
    reference: string
  ) => {
    switch (verdict._tag) {
      case "Accept":
        return flags.accept(row, verdict.accepted)
      case "Revive":
        return flags.revive(row, verdict.accepted, reference)
      case "Clear":
        return flags.clear(row, decision)
      case "Leave":
        return flags.leave(row)
      case "Fail":
        return Effect.flatMap(flags.clear(row, decision), (isMine) =>
          isMine
            ? Effect.map(outgoing.fail(row, "not_paid_by_provider"), ({ changed }) => changed)
            : Effect.succeed(false))
    }
  }

  const decideOnOutgoing = Effect.fnUntraced(function*(row: Outgoing, verdict: FlagVerdict, by: UserId) {
    const { id, kind, userId } = row
    if (Option.isSome(row.flagDecision)) {
      return Option.contains(row.flagDecision, verdict.decision)
        ? flaggedOutgoing(yield* outgoings.settle(row))
        : yield* elsewhere
    }
    const report = goesByReport(row, verdict.decision) ? yield* reportAt(row) : Option.none()
    const outcome = decideFlagged(row, verdict.decision, Option.getOrUndefined(Option.map(report, reportOf)))
    if (outcome._tag === "Impossible") return yield* notDecidable(outcome.says)
    const reference = Option.match(report, { onNone: () => "", onSome: (one) => one.reference })
    yield* recorded({ kind, id, userId }, verdict, by, changeOf(row, outcome, verdict.decision, reference))
    const now = yield* rowOf(kind, id)
    const moved = Option.isSome(report) && outcome._tag === "Accept"
      ? outgoings.adopt(now, report.value)
      : outgoings.settle(now)
    yield* moved
    return flaggedOutgoing(yield* rowOf(kind, id))
  })

  const list = Effect.fn("Flags.list")(function*(kind: FlaggedKind, { cursor, limit }: Page) {
    if (kind === "charge") {
      const before = yield* paymentPosition.decode(cursor)
      const rows = yield* withDatabase(flags.charges({ before, limit: limit + 1 }))
      const page = yield* cut(rows, limit, (last) => paymentPosition.encode(last.id))
      return { ...page, items: page.items.map(flaggedCharge) }
    }
    const before = yield* outgoingPosition.decode(cursor)
    const rows = yield* withDatabase(flags.outgoings(kind, { before, limit: limit + 1 }))
    const page = yield* cut(rows, limit, (last) => outgoingPosition.encode(last.id))
    return { ...page, items: page.items.map(flaggedOutgoing) }
  })

  const look = Effect.fn("Flags.look")(function*(kind: FlaggedKind, id: string) {
    if (kind === "charge") {
      const payment = yield* paymentOf(id)
      const report = yield* chargeAt(payment)
      return { ...flaggedCharge(payment), says: Option.getOrNull(Option.map(report, saysOf)) }
    }
    const row = yield* rowOf(kind, id)
    return { ...flaggedOutgoing(row), says: Option.getOrNull(Option.map(yield* reportAt(row), saysOf)) }
  })

  const decide = Effect.fn("Flags.decide")(
    function*(kind: FlaggedKind, id: string, verdict: FlagVerdict, by: UserId) {
      yield* Effect.annotateCurrentSpan({ "midnight.flag.kind": kind, "midnight.flag.id": id })
      return kind === "charge"
        ? yield* decideOnCharge(yield* paymentOf(id), verdict, by)
        : yield* decideOnOutgoing(yield* rowOf(kind, id), verdict, by)
    }
  )

  return Flags.of({ list, look, decide })
})
