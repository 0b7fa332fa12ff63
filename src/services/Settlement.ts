import { Context, Effect, Layer, Option } from "effect"
import { type ChargeReport, creditKey, decide, type Payment, ProviderUnavailable } from "../domain/Payments.ts"
import type { Unavailable } from "../domain/Problem.ts"
import { between, clearingOf, walletOf } from "../domain/Wallet.ts"
import type { PaymentCommand } from "./Commands.ts"
import { withDatabase } from "./Database.ts"
import { type Gateway, Gateways, type ProviderNonsense, type ProviderRefused } from "./Gateway.ts"
import { Ledger } from "./Ledger.ts"
import { PaymentStore } from "./PaymentStore.ts"
import { Users } from "./Users.ts"

type NotNow = ProviderUnavailable | Unavailable

/** The command `<paymentId>:created` sees to it that an intent reaches the provider, should its request not live to. */
export const createdCause = "created"

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

/**
 * Brings a payment to the state that its provider holds. Webhook, confirm and command all end here; each step can be
 * repeated, by several at once, and the ledger's permanent key makes the credit happen once.
 */
export class Settlement extends Context.Service<Settlement, {
  /** The provider's side of an intent. Its key is the payment's id: a charge that exists there is found, not made. */
  open(payment: Payment): Effect.Effect<Payment, NotNow>
  /** Asks the provider, and credits, moves or flags the payment accordingly. */
  reconcile(payment: Payment): Effect.Effect<Payment, NotNow>
  /** Works one command of the queue. */
  work(command: typeof PaymentCommand.Type, commandId: string): Effect.Effect<void, NotNow>
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

      const carryOut = Effect.fnUntraced(function*(payment: Payment, report: ChargeReport) {
        const decision = decide(payment, report)
        yield* Effect.annotateCurrentSpan({ "midnight.payment.decision": decision._tag })
        switch (decision._tag) {
          case "Keep":
            return payment
          case "Move":
            return yield* withDatabase(store.move(payment.id, decision.to))
          case "Credit":
            return yield* credit(payment)
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

      const work = Effect.fn("Settlement.work")(
        function*(command: typeof PaymentCommand.Type, commandId: string) {
          const payment = yield* withDatabase(store.find(command.paymentId))
          if (Option.isNone(payment)) {
            yield* Effect.logWarning("An event names a payment that is not ours", { command_id: commandId })
          } else if (commandId.endsWith(`:${createdCause}`)) yield* open(payment.value)
          else yield* reconcile(payment.value)
        }
      )

      return Settlement.of({ open, reconcile, work })
    })
  )
}

const gatewayOf = (
  gateways: Gateways["Service"],
  { provider }: Payment
): Effect.Effect<Gateway, ProviderUnavailable> =>
  Option.match(gateways.find(provider), {
    onNone: () =>
      Effect.fail(
        new ProviderUnavailable({
          provider,
          retry_after: 60,
          detail: `The provider ${provider} is not configured now.`
        })
      ),
    onSome: Effect.succeed
  })

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

/** The provider does not know its own reference. That decides nothing about the money, so it is asked again later. */
const lost = ({ id, provider }: Payment) => (refusal: ProviderRefused) =>
  Effect.andThen(
    Effect.logError("The provider does not know a charge that it made", { payment_id: id, code: refusal.code }),
    Effect.fail(new ProviderUnavailable({ provider, retry_after: 60, detail: "The provider cannot find the charge." }))
  )

/** An answer that makes no sense decides nothing either; a person may have to look at it. */
const nonsense = ({ id, provider }: Payment) => (error: ProviderNonsense) =>
  Effect.andThen(
    Effect.logError("The provider's answer makes no sense", { payment_id: id, reason: error.detail }),
    Effect.fail(new ProviderUnavailable({ provider, retry_after: 60, detail: "The provider's answer makes no sense." }))
  )
