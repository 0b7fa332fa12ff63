import { Context, Effect, Layer, Option } from "effect"
import { OutgoingId, type PaymentId } from "../domain/Ids.ts"
import { Amount } from "../domain/Money.ts"
import { MoneyRequest } from "../domain/MoneyRequest.ts"
import type { AmountNotAccepted, Payment } from "../domain/Payments.ts"
import { NotFound, type Unavailable } from "../domain/Problem.ts"
import {
  PaymentDisputed,
  PaymentNotPaid,
  RefundExceeded,
  type RefundRequest,
  type RefundView,
  refundView
} from "../domain/Refunds.ts"
import { InsufficientFunds, walletOf } from "../domain/Wallet.ts"
import { createdCause, currentOrigin, offeredWith, PaymentCommands } from "./Commands.ts"
import { withDatabase } from "./Database.ts"
import { Gateways } from "./Gateway.ts"
import { Ledger } from "./Ledger.ts"
import { Outgoings } from "./Outgoings.ts"
import { OutgoingStore } from "./OutgoingStore.ts"
import { PaymentStore } from "./PaymentStore.ts"
import { withinBounds } from "./ProviderCalls.ts"

type Refusal = NotFound | PaymentNotPaid | PaymentDisputed | RefundExceeded | AmountNotAccepted | InsufficientFunds

/** Gives payments back, whole or in parts. */
export class Refunds extends Context.Service<Refunds, {
  /**
   * Records the refund, holds its money, then asks the provider. When that cannot answer, the refund stays pending and is
   * asked for again. Without an amount it is all that is left of the payment.
   */
  create(id: PaymentId, request: RefundRequest): Effect.Effect<RefundView, Refusal | Unavailable, MoneyRequest>
}>()("midnight/services/payments/Refunds") {
  static readonly layer = Layer.effect(
    Refunds,
    Effect.gen(function*() {
      const payments = yield* PaymentStore
      const store = yield* OutgoingStore
      const outgoings = yield* Outgoings
      const commands = yield* PaymentCommands
      const ledger = yield* Ledger
      const gateways = yield* Gateways

      const record = Effect.fnUntraced(function*(id: OutgoingId, payment: Payment, { amount, reason }: RefundRequest) {
        const left = payment.amount - payment.refundReserved
        const { currency, id: paymentId, provider, userId } = payment
        const exceeded = new RefundExceeded({
          detail: `${left} minor units are left to refund.`,
          available: left,
          currency
        })
        if (left === 0n) return yield* exceeded
        const intent = {
          id,
          userId,
          paymentId,
          provider,
          amount: amount ?? Amount.make(left),
          currency,
          reason: Option.fromUndefinedOr(reason)
        }
        const gateway = gateways.find(provider)
        if (Option.isSome(gateway)) yield* withinBounds(gateway.value, "refund", intent)
        const recorded = yield* withDatabase(store.transaction(Effect.gen(function*() {
          const row = yield* store.insertRefund(intent)
          const command = { ...(yield* currentOrigin), outgoingId: id }
          if (Option.isSome(row)) yield* offeredWith(commands.offer(command, createdCause(id)))
          return row
        })))
        if (Option.isSome(recorded)) return recorded.value
        // A dispute may have come in between: the provider is about to give the same money back.
        const now = yield* withDatabase(payments.find(paymentId))
        if (Option.exists(now, ({ disputed }) => disputed)) return yield* new PaymentDisputed({})
        return yield* exceeded
      })

      const create = Effect.fn("Refunds.create")(function*(paymentId: PaymentId, request: RefundRequest) {
        const { operationId, userId } = yield* MoneyRequest
        const id = OutgoingId.make(operationId)
        yield* Effect.annotateCurrentSpan({ "midnight.payment.id": paymentId, "midnight.outgoing.id": id })
        const payment = yield* withDatabase(payments.find(paymentId))
        if (Option.isNone(payment) || payment.value.userId !== userId) {
          return yield* new NotFound({ detail: "There is no such payment." })
        }
        const { currency, disputed, status } = payment.value
        // A repetition finds what it made, whatever has happened to the payment since.
        const known = yield* withDatabase(store.find(id))
        if (Option.isNone(known) && status !== "succeeded") return yield* new PaymentNotPaid({ payment_status: status })
        if (Option.isNone(known) && disputed) return yield* new PaymentDisputed({})
        const row = Option.isSome(known) ? known.value : yield* record(id, payment.value, request)
        const held = yield* outgoings.hold(row)
        if (held.status === "refused") {
          const { available } = yield* ledger.balance(walletOf(userId), currency)
          return yield* new InsufficientFunds({
            detail: `Available: ${available} minor units.`,
            available,
            currency
          })
        }
        const refund = yield* outgoings.advance(held).pipe(
          Effect.catchTag(
            "ProviderUnavailable",
            () => Effect.map(withDatabase(store.find(id)), Option.getOrElse(() => held))
          )
        )
        return refundView(refund, paymentId)
      })

      return Refunds.of({ create })
    })
  )
}
