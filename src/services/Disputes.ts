import { Context, Effect, Layer, Option, Result } from "effect"
import {
  type Dispute,
  disputedOf,
  type DisputeFlag,
  disputeKey,
  disputeMoves,
  partsOf,
  takenOf
} from "../domain/Disputes.ts"
import { DisputeId } from "../domain/Ids.ts"
import { type Amount, amountOf } from "../domain/Money.ts"
import { type Payment, type Provider, ProviderUnavailable } from "../domain/Payments.ts"
import type { Unavailable } from "../domain/Problem.ts"
import { type Account, between, clearingOf, walletOf } from "../domain/Wallet.ts"
import { withDatabase } from "./Database.ts"
import { DisputeStore } from "./DisputeStore.ts"
import { Gateways, type ProviderDispute } from "./Gateway.ts"
import { Ledger } from "./Ledger.ts"
import { newId } from "./NewId.ts"
import { PaymentStore } from "./PaymentStore.ts"
import { gatewayOf, lost, nonsense } from "./ProviderCalls.ts"
import { Settlement } from "./Settlement.ts"

type NotNow = ProviderUnavailable | Unavailable

/** What a member owes after a lost dispute. Like a clearing account it goes below zero, and is at zero when all is paid. */
export const receivableOf = (id: DisputeId): Account => ({ kind: "clearing", owner: `receivable:${id}` })

/**
 * Brings a dispute to the state that its provider holds. An open one holds what the wallet has of the money, a won one lets
 * go of it, and a lost one takes it back for the provider; what the wallet does not cover is owed, and taken when it comes.
 */
export class Disputes extends Context.Service<Disputes, {
  /** Asks the provider, and does what follows. */
  work(provider: Provider, reference: string): Effect.Effect<void, NotNow>
}>()("midnight/services/payments/Disputes") {
  static readonly layer = Layer.effect(Disputes, Effect.suspend(() => make))
}

const make = Effect.gen(function*() {
  const store = yield* DisputeStore
  const payments = yield* PaymentStore
  const settlement = yield* Settlement
  const gateways = yield* Gateways
  const ledger = yield* Ledger

  const letGo = Effect.fnUntraced(function*({ amount, id }: Dispute) {
    yield* Effect.forEach(
      partsOf(amount),
      // One that was never taken, or was captured, is as good as released. A ledger that is away has released nothing.
      (_, part) => Effect.catchTag(ledger.void(disputeKey(id, part)), "HoldClosed", () => Effect.void),
      { concurrency: 8, discard: true }
    )
  })

  const hold = Effect.fnUntraced(function*({ amount, currency, id, userId }: Dispute) {
    const account = walletOf(userId)
    yield* Effect.forEach(
      partsOf(amount).entries(),
      ([part, amount]) =>
        ledger.authorise({ key: disputeKey(id, part), account, amount, currency }).pipe(
          Effect.catchTags({
            InsufficientFunds: () => Effect.void,
            BalanceLimit: Effect.die,
            PostingConflict: Effect.die
          })
        ),
      { discard: true }
    )
  })

  /** What is held of a part goes to the provider; what is not is owed. A hold that comes too late for its part ends. */
  const take = Effect.fnUntraced(function*(dispute: Dispute, part: number, amount: Amount) {
    const { currency, id, paymentId, provider } = dispute
    const key = disputeKey(id, part)
    const to = clearingOf(provider)
    const posting = {
      key,
      kind: "refund",
      amount,
      currency,
      memo: Option.none(),
      reference: { dispute_id: id, payment_id: paymentId, provider }
    } as const
    yield* ledger.capture({ ...posting, hold: key, to }).pipe(
      Effect.catchTag("HoldClosed", () => ledger.post(between({ ...posting, from: receivableOf(id), to }))),
      Effect.catchTags({
        // It was taken the other way before.
        PostingConflict: () => Effect.void,
        HoldExceeded: Effect.die,
        BalanceLimit: Effect.die,
        InsufficientFunds: Effect.die
      })
    )
  })

  /** From the wallet what it has of what is owed. Keyed by the debt as it was: of two at once, one takes. */
  const collect = Effect.fnUntraced(function*({ currency, id, paymentId, userId }: Dispute) {
    const owed = -(yield* ledger.balance(receivableOf(id), currency)).balance
    if (owed <= 0n) return true
    const { available } = yield* ledger.balance(walletOf(userId), currency)
    const amount = amountOf(available < owed ? available : owed)
    if (Option.isNone(amount)) return false
    return yield* ledger.post(between({
      key: `dispute:${id}:owed:${owed}`,
      kind: "refund",
      from: walletOf(userId),
      to: receivableOf(id),
      amount: amount.value,
      currency,
      reference: { dispute_id: id, payment_id: paymentId }
    })).pipe(
      Effect.as(amount.value === owed),
      Effect.catchTags({
        InsufficientFunds: () => Effect.succeed(false),
        PostingConflict: () => Effect.succeed(false),
        BalanceLimit: Effect.die
      })
    )
  })

  const settle = Effect.fn("Disputes.settle")(function*(dispute: Dispute): Effect.fn.Return<void, Unavailable> {
    yield* Effect.annotateCurrentSpan({ "midnight.dispute.id": dispute.id, "midnight.dispute.status": dispute.status })
    if (dispute.settled) return
    if (dispute.status === "open") {
      if (Option.isSome(dispute.flag)) return
      yield* hold(dispute)
      // Whoever ended it in the meantime may have let go before this hold was there.
      const now = yield* withDatabase(store.find(dispute.id))
      if (Option.isSome(now) && now.value.status !== "open") return yield* settle({ ...now.value, settled: false })
      return yield* withDatabase(store.touch(dispute.id))
    }
    if (dispute.status === "lost") {
      for (const [part, amount] of takenOf(dispute).entries()) yield* take(dispute, part, amount)
    }
    yield* letGo(dispute)
    const isPaid = dispute.status === "won" || (yield* collect(dispute))
    yield* withDatabase(isPaid ? store.settle(dispute.id) : store.touch(dispute.id))
  })

  const known = Effect.fnUntraced(function*(payment: Payment, report: ProviderDispute) {
    const { currency, id: paymentId, provider, userId } = payment
    const id = yield* newId(DisputeId)
    const { reference } = report
    const disputed = disputedOf(payment, report)
    const intent = { id, provider, reference, paymentId, userId, currency, flag: Result.getFailure(disputed) }
    const amount = Result.getOrElse(disputed, () => payment.amount)
    return { dispute: yield* withDatabase(store.insert({ ...intent, amount })), disputed }
  })

  /** As the provider decided. What is lost with an amount that does not fit takes nothing. */
  const follow = Effect.fnUntraced(function*(
    dispute: Dispute,
    { status }: ProviderDispute,
    disputed: Result.Result<Amount, DisputeFlag>
  ) {
    if (status !== "open" && disputeMoves(dispute.status, status)) {
      if (status === "won") return yield* withDatabase(store.end(dispute.id, "won"))
      if (Result.isSuccess(disputed)) return yield* withDatabase(store.end(dispute.id, { lost: disputed.success }))
    }
    return Result.isSuccess(disputed) ? dispute : yield* withDatabase(store.flag(dispute.id, disputed.failure))
  })

  const paymentOf = Effect.fnUntraced(function*(provider: Provider, { paymentId, reference }: ProviderDispute) {
    const found = Option.isSome(paymentId)
      ? yield* withDatabase(payments.find(paymentId.value))
      : Option.none<Payment>()
    if (Option.isNone(found) || found.value.provider !== provider) {
      yield* Effect.logWarning("A dispute is about a payment that is not ours", { provider, reference })
      return Option.none<Payment>()
    }
    // It may be told before the payment's own success is.
    const payment = yield* settlement.reconcile(found.value)
    if (payment.status === "succeeded") return Option.some(payment)
    return yield* new ProviderUnavailable({
      provider,
      retry_after: 60,
      detail: "The disputed payment is not paid yet."
    })
  })

  const work = Effect.fn("Disputes.work")(function*(provider: Provider, reference: string) {
    const gateway = yield* gatewayOf(gateways, { provider })
    const about = { id: reference, provider }
    const report = yield* gateway.retrieveDispute(reference).pipe(
      Effect.catchTags({ ProviderRefused: lost(about), ProviderNonsense: nonsense(about) })
    )
    const payment = yield* paymentOf(provider, report)
    if (Option.isNone(payment)) return
    const { dispute, disputed } = yield* known(payment.value, report)
    const now = yield* follow(dispute, report, disputed)
    if (Result.isFailure(disputed) && now.status === "open") {
      yield* Effect.logError("A dispute is not about the amount and currency of its payment; a person has to decide", {
        payment_id: now.paymentId,
        dispute_id: now.id,
        flag: disputed.failure
      })
    }
    yield* withDatabase(Effect.flatMap(store.isDisputed(now.paymentId), (is) => payments.disputed(now.paymentId, is)))
    yield* settle(now)
  })

  return Disputes.of({ work })
})
