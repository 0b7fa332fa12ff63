import { Context, Effect, Layer, Option } from "effect"
import { type PaymentId, RefundId } from "../domain/Ids.ts"
import { Amount } from "../domain/Money.ts"
import { decide } from "../domain/MoneyOut.ts"
import { MoneyRequest } from "../domain/MoneyRequest.ts"
import { ProviderUnavailable } from "../domain/Payments.ts"
import { NotFound, type Unavailable } from "../domain/Problem.ts"
import {
  outOf,
  PaymentNotRefundable,
  type Refund,
  RefundExceedsPayment,
  type RefundRequest,
  type RefundView,
  stageOf,
  viewOf
} from "../domain/Refunds.ts"
import type { InsufficientFunds } from "../domain/Wallet.ts"
import { withDatabase } from "./Database.ts"
import type { ProviderError, ProviderRefund } from "./Gateway.ts"
import { type Outbound, OutboundMoney } from "./OutboundMoney.ts"
import { PaymentOffers } from "./PaymentOffers.ts"
import { PaymentStore } from "./PaymentStore.ts"
import { RefundStore } from "./RefundStore.ts"

type NotNow = ProviderUnavailable | Unavailable

const outbound = (refund: Refund): Outbound => ({ ...refund, kind: "refund" })

/** Money back to who paid it: held in the wallet first, then asked of the provider, then captured. */
export class Refunds extends Context.Service<Refunds, {
  /** Records the intent, holds the money, then asks the provider. Repeating, also after a crash, finds all three. */
  create(paymentId: PaymentId, request: RefundRequest): Effect.Effect<
    RefundView,
    NotFound | PaymentNotRefundable | RefundExceedsPayment | InsufficientFunds | Unavailable,
    MoneyRequest
  >
  /** Brings a refund to the state that its provider holds. */
  advance(id: RefundId): Effect.Effect<void, NotNow>
}>()("midnight/services/payments/Refunds") {
  static readonly layer = Layer.effect(
    Refunds,
    Effect.gen(function*() {
      const store = yield* RefundStore
      const payments = yield* PaymentStore
      const money = yield* OutboundMoney
      const offers = yield* PaymentOffers

      const found = Effect.fnUntraced(function*(id: RefundId) {
        const refund = yield* withDatabase(store.find(id))
        return Option.isSome(refund) ? refund.value : yield* Effect.die(new Error(`Refund ${id} has vanished`))
      })

      // What the provider first answers, or now.
      const ask = Effect.fnUntraced(function*(refund: Refund): Effect.fn.Return<ProviderRefund, ProviderError> {
        const gateway = yield* money.gateway(refund.provider)
        if (Option.isSome(refund.providerReference)) {
          return yield* gateway.retrieveRefund(refund.providerReference.value)
        }
        const { amount, chargeReference, currency, id } = refund
        return yield* gateway.createRefund({ refundId: id, chargeReference, amount, currency })
      })

      const carryOut = Effect.fnUntraced(function*(refund: Refund, report: ProviderRefund) {
        const decision = decide(outOf(refund), { ...report, stage: stageOf[report.status] })
        yield* Effect.annotateCurrentSpan({ "midnight.refund.decision": decision._tag })
        const why = Option.getOrElse(report.failureReason, () => "the provider says that it failed")
        switch (decision._tag) {
          case "Keep":
            return
          case "Settle":
            return yield* withDatabase(store.settle(refund.id, yield* money.capture(outbound(refund))))
          case "Release":
            yield* money.release(outbound(refund))
            return yield* withDatabase(store.fail(refund.id, why, Option.none()))
          case "BookBack":
            return yield* withDatabase(
              store.fail(refund.id, why, Option.some(yield* money.bookBack(outbound(refund))))
            )
          case "Flag":
            yield* Effect.logError("A provider's refund is not what was asked; it was not booked", {
              refund_id: refund.id,
              flag: decision.flag
            })
            return yield* withDatabase(store.flag(refund.id, decision.flag))
        }
      })

      const asked = Effect.fnUntraced(function*(refund: Refund) {
        const report = yield* ask(refund).pipe(
          Effect.map(Option.some),
          Effect.catchTags({
            // Asked for the first time it will not be; a refund that it once knew decides nothing by being forgotten.
            ProviderRefused: (refusal) =>
              Option.isSome(refund.providerReference)
                ? Effect.fail(
                  new ProviderUnavailable({ provider: refund.provider, retry_after: 60, detail: refusal.detail })
                )
                : Effect.as(
                  Effect.andThen(
                    money.release(outbound(refund)),
                    withDatabase(store.fail(refund.id, refusal.detail, Option.none()))
                  ),
                  Option.none()
                ),
            ProviderNonsense: (error) =>
              Effect.fail(new ProviderUnavailable({ provider: refund.provider, retry_after: 60, detail: error.detail }))
          })
        )
        if (Option.isNone(report)) return
        yield* withDatabase(store.named(refund.id, report.value.reference))
        yield* carryOut(refund, report.value)
      })

      const proceed = ({ id }: Refund) =>
        money.alone(
          { take: store.claim(id), free: store.free(id) },
          // As it stands now that nobody else has it.
          Effect.flatMap(found(id), asked)
        )

      const advance = Effect.fn("Refunds.advance")(function*(id: RefundId) {
        yield* Effect.annotateCurrentSpan({ "midnight.refund.id": id })
        const known = yield* withDatabase(store.find(id))
        if (Option.isNone(known)) {
          return yield* Effect.logWarning("An event names a refund that is not ours", { refund_id: id })
        }
        const refund = known.value
        if (Option.isSome(refund.flag)) return
        if (refund.status === "pending") {
          const held = yield* Effect.option(
            Effect.catchTag(money.hold(outbound(refund)), "Unavailable", Effect.die)
          )
          if (Option.isNone(held)) {
            return yield* withDatabase(store.fail(id, "the wallet did not hold enough", Option.none()))
          }
        } else if (Option.isNone(refund.providerReference)) return
        yield* proceed(refund)
      })

      const create = Effect.fn("Refunds.create")(function*(paymentId: PaymentId, request: RefundRequest) {
        const { operationId, userId } = yield* MoneyRequest
        const payment = Option.getOrUndefined(yield* withDatabase(payments.find(paymentId)))
        if (payment === undefined || payment.userId !== userId) {
          return yield* new NotFound({ detail: "There is no such payment." })
        }
        if (payment.status !== "succeeded") {
          return yield* new PaymentNotRefundable({ detail: `The payment is ${payment.status}.` })
        }
        const id = RefundId.make(operationId)
        const rest = payment.amount - payment.amountRefunded
        const exceeded = new RefundExceedsPayment({
          refundable: rest,
          currency: payment.currency,
          detail: `${rest} minor units are left to refund.`
        })
        const known = yield* withDatabase(store.find(id))
        if (Option.isNone(known)) {
          if (request.amount === undefined && rest < 1n) return yield* exceeded
          const amount = request.amount ?? Amount.make(rest)
          const recorded = yield* withDatabase(payments.transaction(
            Effect.tap(
              store.insert({ id, paymentId, amount, reason: Option.fromUndefinedOr(request.reason) }),
              (outcome) => outcome === "new" ? offers.later({ refundId: id }, `${id}:created`) : Effect.void
            )
          ))
          if (recorded === "full") return yield* exceeded
        }
        const refund = yield* found(id)
        if (refund.status === "pending") {
          yield* money.hold(outbound(refund)).pipe(
            Effect.tapErrorTag(
              "InsufficientFunds",
              () => withDatabase(store.fail(id, "the wallet did not hold enough", Option.none()))
            )
          )
          // Whatever the provider cannot say now, the command will ask again.
          yield* Effect.ignore(proceed(refund))
        }
        return viewOf(yield* found(id))
      })

      return Refunds.of({ create, advance })
    })
  )
}
