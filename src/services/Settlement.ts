import { Context, Effect, Layer, Option } from "effect"
import type { PaymentId } from "../domain/Ids.ts"
import { type Amount, amountOf } from "../domain/Money.ts"
import { creditKey, decide, type Payment, type ProviderUnavailable } from "../domain/Payments.ts"
import type { Unavailable } from "../domain/Problem.ts"
import { between, clearingOf, walletOf } from "../domain/Wallet.ts"
import { isCreatedCause } from "./Commands.ts"
import { withDatabase } from "./Database.ts"
import { type Gateway, Gateways, type ProviderCharge } from "./Gateway.ts"
import { Ledger } from "./Ledger.ts"
import { PaymentStore } from "./PaymentStore.ts"
import { gatewayOf, lost, nonsense } from "./ProviderCalls.ts"
import { Users } from "./Users.ts"

type NotNow = ProviderUnavailable | Unavailable

const posting = (payment: Payment) =>
  between({
    key: creditKey(payment.id),
    kind: "charge",
    from: clearingOf(payment.provider),
    to: walletOf(payment.userId),
    amount: payment.amount,
    currency: payment.currency,
    reference: { payment_id: payment.id, provider: payment.provider }
  })

const feePosting = (payment: Payment, amount: Amount) =>
  between({
    key: `fee:${payment.id}`,
    kind: "fee",
    from: { kind: "fees", owner: payment.provider },
    to: clearingOf(payment.provider),
    amount,
    currency: payment.currency,
    reference: { payment_id: payment.id, provider: payment.provider }
  })

/**
 * Brings a payment to the state that its provider holds. Webhook, confirm and command all end here; each step can be
 * repeated, by several at once, and the ledger's permanent key makes the credit happen once.
 */
export class Settlement extends Context.Service<Settlement, {
  /** The provider's side of an intent. Its key is the payment's id: a charge that exists there is found, not made. */
  open(payment: Payment): Effect.Effect<Payment, NotNow>
  /** Asks the provider, and credits, moves or flags the payment accordingly. */
  reconcile(payment: Payment): Effect.Effect<Payment, NotNow>
  /** Books what the provider kept for itself, once it has said so and the payment succeeded. */
  bookFee(payment: Payment, fee: Option.Option<bigint>): Effect.Effect<Payment, Unavailable>
  /** Works one command of the queue. */
  work(id: PaymentId, commandId: string): Effect.Effect<void, NotNow>
}>()("midnight/services/payments/Settlement") {
  static readonly layer = Layer.effect(
    Settlement,
    Effect.gen(function*() {
      const store = yield* PaymentStore
      const gateways = yield* Gateways
      const ledger = yield* Ledger
      const users = yield* Users

      const open = Effect.fn("Settlement.open")(function*(payment: Payment) {
        if (Option.isSome(payment.providerReference) || payment.status !== "processing") return payment
        const gateway = yield* gatewayOf(gateways, payment)
        const email = gateway.needsEmail ? yield* users.emailOf(payment.userId) : Option.none()
        const answer = yield* createCharge(gateway, payment, email)
        return yield* withDatabase(store.answer({ id: payment.id, ...answer }))
      })

      const bookFee = Effect.fn("Settlement.bookFee")(function*(payment: Payment, fee: Option.Option<bigint>) {
        if (payment.status !== "succeeded" || Option.isSome(payment.fee) || Option.isNone(fee)) return payment
        const amount = amountOf(fee.value)
        if (Option.isSome(amount)) {
          yield* ledger.post(feePosting(payment, amount.value)).pipe(Effect.catchTags({
            BalanceLimit: Effect.die,
            InsufficientFunds: Effect.die,
            // The provider changed its mind about the fee; the first stays booked.
            PostingConflict: () => Effect.logWarning("A fee was booked with another amount", { payment_id: payment.id })
          }))
        }
        return yield* withDatabase(store.fee(payment.id, fee.value))
      })

      const credit = Effect.fnUntraced(function*(payment: Payment) {
        const posted = yield* ledger.post(posting(payment)).pipe(
          Effect.map((transfer) => Option.some(transfer.id)),
          Effect.catchTags({
            // The money stays at the provider until a person decides where it goes.
            BalanceLimit: () => Effect.succeedNone,
            // A clearing account has no floor, and the posting is a function of columns that cannot change.
            InsufficientFunds: Effect.die,
            PostingConflict: Effect.die
          })
        )
        return yield* withDatabase(
          Option.isSome(posted) ? store.succeed(payment.id, posted.value) : store.flag(payment.id, "balance_limit")
        )
      })

      const carryOut = Effect.fnUntraced(function*(payment: Payment, report: ProviderCharge) {
        const decision = decide(payment, report)
        yield* Effect.annotateCurrentSpan({ "midnight.payment.decision": decision._tag })
        switch (decision._tag) {
          case "Keep":
            return payment
          case "Move":
            return yield* withDatabase(store.move(payment.id, decision.to))
          case "Credit":
            return yield* bookFee(yield* credit(payment), report.fee)
          case "Flag":
            yield* Effect.logError("A provider's charge is not what was asked; it was not credited", {
              payment_id: payment.id,
              flag: decision.flag
            })
            return yield* withDatabase(store.flag(payment.id, decision.flag))
        }
      })

      const reconcile = Effect.fn("Settlement.reconcile")(function*(payment: Payment) {
        yield* Effect.annotateCurrentSpan({ "midnight.payment.id": payment.id })
        if (payment.status === "succeeded" || Option.isSome(payment.flag)) return payment
        const current = yield* open(payment)
        if (Option.isNone(current.providerReference)) return current
        const gateway = yield* gatewayOf(gateways, current)
        const report = yield* gateway.retrieveCharge(current.providerReference.value).pipe(
          Effect.catchTags({ ProviderRefused: lost(current), ProviderNonsense: nonsense(current) })
        )
        return yield* carryOut(current, report)
      })

      const work = Effect.fn("Settlement.work")(function*(id: PaymentId, commandId: string) {
        const payment = yield* withDatabase(store.find(id))
        if (Option.isNone(payment)) {
          yield* Effect.logWarning("An event names a payment that is not ours", { command_id: commandId })
        } else if (isCreatedCause(commandId)) yield* open(payment.value)
        else yield* reconcile(payment.value)
      })

      return Settlement.of({ open, reconcile, bookFee, work })
    })
  )
}

const createCharge = (gateway: Gateway, payment: Payment, email: Option.Option<string>) =>
  gateway.createCharge({
    paymentId: payment.id,
    amount: payment.amount,
    currency: payment.currency,
    returnUrl: payment.returnUrl,
    email
  }).pipe(
    Effect.map(({ nextAction, reference, status }) => ({
      providerReference: Option.some(reference),
      nextAction,
      // What is paid already is credited by asking for the charge, in one place only.
      status: status === "succeeded" ? "processing" as const : status
    })),
    Effect.catchTag("ProviderNonsense", nonsense(payment)),
    Effect.catchTag("ProviderRefused", (refusal) =>
      Effect.as(
        Effect.logWarning("The provider refused a charge", { payment_id: payment.id, code: refusal.code }),
        { providerReference: Option.none<string>(), nextAction: Option.none(), status: "failed" as const }
      ))
  )
