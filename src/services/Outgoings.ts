import { Context, Effect, Layer, Option } from "effect"
import type { OutgoingId } from "../domain/Ids.ts"
import {
  bookedOf,
  decideOutgoing,
  givenBackKey,
  type LedgerStep,
  type Outgoing,
  outgoingKey,
  type OutgoingReport,
  stepsOf
} from "../domain/Outgoing.ts"
import { ProviderUnavailable } from "../domain/Payments.ts"
import type { Unavailable } from "../domain/Problem.ts"
import { between, clearingOf, type Posting, walletOf } from "../domain/Wallet.ts"
import { currentOrigin, offeredWith, PaymentCommands } from "./Commands.ts"
import { withDatabase } from "./Database.ts"
import { Gateways } from "./Gateway.ts"
import { Ledger } from "./Ledger.ts"
import { asking, type Report } from "./OutgoingProvider.ts"
import { OutgoingStore } from "./OutgoingStore.ts"
import { PaymentStore } from "./PaymentStore.ts"
import { gatewayOf } from "./ProviderCalls.ts"
import { Users } from "./Users.ts"

type NotNow = ProviderUnavailable | Unavailable

export const reportOf = (report: Report): OutgoingReport => ({
  amount: report.amount,
  currency: report.currency,
  failureReason: report.failureReason,
  status: report.status === "paid" || report.status === "succeeded"
    ? "done"
    : report.status === "failed"
    ? "failed"
    : "moving"
})

/**
 * Brings refunds and payouts to the state that their provider holds: hold, provider, ledger. Requests, events, commands and
 * reconciliation all end here. The row decides, the ledger follows it by permanent keys, and each step can be repeated.
 */
export class Outgoings extends Context.Service<Outgoings, {
  /** Takes the hold of one that is recorded; afterwards it is `refused`, or waits for a person or for the provider. */
  hold(row: Outgoing): Effect.Effect<Outgoing, Unavailable>
  /** Does everything that can be done for it now. */
  advance(row: Outgoing): Effect.Effect<Outgoing, NotNow>
  /** Makes the ledger follow the row. */
  settle(row: Outgoing): Effect.Effect<Outgoing, Unavailable>
  /** Takes what the provider's list says about it. */
  adopt(row: Outgoing, report: Report): Effect.Effect<Outgoing, Unavailable>
  work(id: OutgoingId): Effect.Effect<void, NotNow>
}>()("midnight/services/payments/Outgoings") {
  static readonly layer = Layer.effect(Outgoings, Effect.suspend(() => make))
}

const make = Effect.gen(function*() {
  const store = yield* OutgoingStore
  const payments = yield* PaymentStore
  const commands = yield* PaymentCommands
  const ledger = yield* Ledger
  const users = yield* Users
  const gateways = yield* Gateways
  const ask = yield* asking

  type Broken = (flag: "hold_lost" | "balance_limit") => Effect.Effect<boolean, Unavailable>
  /** What no hold covers any more, under the key that capturing it would have had. */
  const debit = (posting: Posting, broken: Broken) =>
    ledger.post(posting).pipe(
      Effect.as(true),
      Effect.catchTags({
        InsufficientFunds: () => broken("hold_lost"),
        BalanceLimit: () => broken("balance_limit"),
        PostingConflict: Effect.die
      })
    )

  /** Each answers whether the ledger could do it. */
  const step = (row: Outgoing): Record<LedgerStep, Effect.Effect<boolean, Unavailable>> => {
    const { currency, kind } = row
    const amount = bookedOf(row)
    const [key, wallet, provider] = [outgoingKey(row), walletOf(row.userId), clearingOf(row.provider)]
    const reference = { [`${kind}_id`]: row.id, provider: row.provider }
    const posting = { kind, amount, currency, reference, memo: Option.none() }
    const broken: Broken = (flag) =>
      Effect.andThen(
        Effect.logError("The ledger cannot follow a refund or payout", { id: row.id, flag }),
        Effect.as(withDatabase(store.flag(row.id, flag)), false)
      )
    const debited = debit(between({ ...posting, key, from: wallet, to: provider }), broken)
    return {
      capture: ledger.capture({ ...posting, key, hold: key, to: provider }).pipe(
        Effect.as(true),
        Effect.catchTags({
          // Released before it was paid all the same; or an owner of the ledger ended it. A person says whether the wallet is debited.
          HoldClosed: () => Option.contains(row.flagDecision, "settle") ? debited : broken("hold_lost"),
          // It was, under the same key: this finds that again, or meets the conflict itself.
          PostingConflict: () => debited,
          BalanceLimit: () => broken("balance_limit"),
          HoldExceeded: Effect.die,
          InsufficientFunds: Effect.die
        })
      ),
      give_back: ledger.post(between({ ...posting, key: givenBackKey(row), from: provider, to: wallet })).pipe(
        Effect.as(true),
        Effect.catchTags({
          BalanceLimit: () => broken("balance_limit"),
          InsufficientFunds: Effect.die,
          PostingConflict: Effect.die
        })
      ),
      release: ledger.void(key).pipe(
        Effect.as(true),
        Effect.catchTag(
          "HoldClosed",
          ({ hold_status }) => hold_status === "unknown" ? Effect.succeed(true) : broken("hold_lost")
        )
      )
    }
  }

  const settle = Effect.fn("Outgoings.settle")(function*(row: Outgoing) {
    const steps = stepsOf(row)
    if (row.settled || steps.length === 0) return row
    for (const name of steps) if (!(yield* step(row)[name])) return row
    return (yield* withDatabase(store.settle(row))).row
  })

  const hold = Effect.fn("Outgoings.hold")(function*(row: Outgoing) {
    if (row.status !== "reserving") return yield* settle(row)
    const { amount, currency } = row
    const isHeld = yield* ledger.authorise({ key: outgoingKey(row), account: walletOf(row.userId), amount, currency })
      .pipe(
        Effect.as(true),
        Effect.catchTags({
          InsufficientFunds: () => Effect.succeed(false),
          BalanceLimit: Effect.die,
          PostingConflict: Effect.die
        })
      )
    const admitted = Effect.gen(function*() {
      const { changed, row: now } = yield* store.admit(row.id)
      // A refund is sent by the request that asked for it; should that die, by the command that was left with the intent.
      if (changed && now.status === "processing" && now.kind === "payout") {
        const command = { ...(yield* currentOrigin), outgoingId: row.id }
        yield* offeredWith(commands.offer(command, { id: `${row.id}:admitted` }))
      }
      return now
    })
    const now = yield* withDatabase(
      isHeld ? store.transaction(admitted) : Effect.map(store.refuse(row), (written) => written.row)
    )
    // Of two at once one may have refused what the other has just held.
    return yield* now.status === "refused" ? settle({ ...now, settled: false }) : Effect.succeed(now)
  })

  const carryOut = Effect.fnUntraced(function*(row: Outgoing, report: Report) {
    const decision = decideOutgoing(row, reportOf(report))
    yield* Effect.annotateCurrentSpan({ "midnight.outgoing.decision": decision._tag })
    switch (decision._tag) {
      case "Keep":
        return row.status === "processing"
          ? (yield* withDatabase(store.asked(row.id, report.status === "requires_action"))).row
          : row
      case "Complete":
        return (yield* withDatabase(store.complete(row))).row
      case "Fail": {
        const reason = Option.getOrElse(report.failureReason, () => "failed_at_provider")
        return (yield* withDatabase(store.fail(row, reason.slice(0, 500)))).row
      }
      case "Flag":
        yield* Effect.logError("A provider's refund or payout is not what was asked", {
          id: row.id,
          flag: decision.flag
        })
        return (yield* withDatabase(store.flag(row.id, decision.flag))).row
    }
  })

  const adopt = Effect.fn("Outgoings.adopt")(function*(row: Outgoing, report: Report) {
    // Whoever sends it goes on with it, or will when it has not moved for a while; it has no reference to ask for yet.
    if (report.status === "begun") return row
    const known = Option.isSome(row.providerReference) || row.status !== "processing"
      ? row
      : (yield* withDatabase(store.answer(row.id, report.reference))).row
    // A second object under our id decides nothing here: the first is what was asked for.
    if (Option.exists(known.providerReference, (reference) => reference !== report.reference)) return known
    return yield* settle(yield* carryOut(known, report))
  })

  const isDisputed = Effect.fnUntraced(function*({ paymentId }: Outgoing) {
    if (Option.isNone(paymentId)) return false
    return Option.exists(yield* withDatabase(payments.find(paymentId.value)), ({ disputed }) => disputed)
  })

  /** Why it is not sent any more. */
  const objection = Effect.fnUntraced(function*(row: Outgoing) {
    if (row.kind === "payout") return (yield* users.exists(row.userId)) ? undefined : "account_disabled"
    // Disputed before it was sent: whoever pays gets the money back by the dispute, or not at all.
    return (yield* isDisputed(row)) ? "payment_disputed" : undefined
  })

  const send = Effect.fn("Outgoings.send")(function*(read: Outgoing) {
    const gateway = yield* gatewayOf(gateways, read)
    const reason = Option.isNone(read.begunAt) ? yield* objection(read) : undefined
    const { changed, row } = reason === undefined
      ? { changed: false, row: read }
      : yield* withDatabase(store.turnAway(read.id, reason))
    // Somebody else may have begun it since it was read: then the provider may have paid it, and it is gone on with.
    if (changed || row.status !== "processing") return row
    const begun = yield* withDatabase(store.begin(row.id))
    if (!begun.changed) {
      if (begun.row.status !== "processing" || Option.isSome(begun.row.providerReference)) return begun.row
      return yield* new ProviderUnavailable({
        provider: row.provider,
        retry_after: 5,
        detail: "Somebody is asking the provider at this moment."
      })
    }
    const asked = yield* ask.create(gateway, begun.row, row.begunAt).pipe(
      // A refund without a key may have been made, and be missing from the list for a moment: nobody asks before the minute is over.
      Effect.tapError(() =>
        row.kind === "payout" || gateway.keyedRefunds ? withDatabase(store.giveBack(row.id)) : Effect.void
      )
    )
    if (asked._tag === "Refused") return (yield* withDatabase(store.fail(begun.row, asked.code))).row
    const known = yield* withDatabase(store.answer(row.id, asked.report.reference))
    return yield* carryOut(known.row, asked.report)
  })

  const advance = Effect.fn("Outgoings.advance")(function*(row: Outgoing) {
    yield* Effect.annotateCurrentSpan({ "midnight.outgoing.id": row.id })
    const held = yield* hold(row)
    if (Option.isSome(held.flag)) return held
    if (held.status === "processing" && Option.isNone(held.providerReference)) return yield* settle(yield* send(held))
    if ((held.status !== "processing" && held.status !== "done") || Option.isNone(held.providerReference)) return held
    const gateway = yield* gatewayOf(gateways, held)
    const report = yield* ask.retrieve(gateway, held, held.providerReference.value)
    return yield* settle(yield* carryOut(held, report))
  })

  const work = Effect.fn("Outgoings.work")(function*(id: OutgoingId) {
    const row = yield* withDatabase(store.find(id))
    if (Option.isSome(row)) yield* advance(row.value)
    else yield* Effect.logWarning("An event names a refund or payout that is not ours", { id })
  })

  return Outgoings.of({ hold, advance, settle, adopt, work })
})
