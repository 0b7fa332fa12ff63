import { Context, Effect, Layer } from "effect"
import type { ProviderUnavailable } from "../domain/Payments.ts"
import type { Unavailable } from "../domain/Problem.ts"
import type { PaymentCommand } from "./Commands.ts"
import { withDatabase } from "./Database.ts"
import { Disputes } from "./Disputes.ts"
import { Outgoings } from "./Outgoings.ts"
import { OutgoingStore } from "./OutgoingStore.ts"
import { Settlement } from "./Settlement.ts"

/** Works one command of the payments' queue, whatever it is about. */
export class PaymentWork extends Context.Service<PaymentWork, {
  run(
    command: typeof PaymentCommand.Type,
    commandId: string
  ): Effect.Effect<void, ProviderUnavailable | Unavailable>
}>()("midnight/services/payments/PaymentWork") {
  static readonly layer = Layer.effect(
    PaymentWork,
    Effect.gen(function*() {
      const settlement = yield* Settlement
      const outgoings = yield* Outgoings
      const store = yield* OutgoingStore
      const disputes = yield* Disputes

      return PaymentWork.of({
        run: Effect.fnUntraced(function*(command, commandId) {
          if ("outgoingId" in command) return yield* outgoings.work(command.outgoingId)
          if ("dispute" in command) return yield* disputes.work(command.provider, command.dispute)
          yield* settlement.work(command.paymentId, commandId)
          // An event about a refund may name its payment only.
          const refunds = yield* withDatabase(store.refundsOf(command.paymentId))
          yield* Effect.forEach(refunds, outgoings.advance, { discard: true })
        })
      })
    })
  )
}
