import { Context, type Duration, Effect, Layer, type Schema } from "effect"
import type { PersistedQueue } from "effect/persistence"
import { SqlError } from "effect/sql"
import type { PaymentId, PayoutId, RefundId } from "../domain/Ids.ts"
import { currentOrigin, PaymentCommands } from "./Commands.ts"

/** What a command of the payments queue is about. */
export type About =
  | { readonly paymentId: PaymentId }
  | { readonly refundId: RefundId }
  | { readonly payoutId: PayoutId }

// Longer than a request can take, so that it is done by then unless its process died.
const createdDelay = "30 seconds"

/** Offers commands to the payments queue, within the transaction of the caller. The same id twice is once. */
export class PaymentOffers extends Context.Service<PaymentOffers, {
  now(about: About, id: string): Effect.Effect<void, SqlError.SqlError>
  /** When the request that offers it must have ended. */
  later(about: About, id: string): Effect.Effect<void, SqlError.SqlError>
}>()("midnight/services/payments/PaymentOffers") {
  static readonly layer = Layer.effect(
    PaymentOffers,
    Effect.gen(function*() {
      const commands = yield* PaymentCommands
      const offer = Effect.fnUntraced(function*(about: About, id: string, delay: Duration.Input) {
        yield* commands.offer({ ...(yield* currentOrigin), ...about }, { id, delay }).pipe(Effect.catch(unoffered))
      })
      return PaymentOffers.of({
        now: (about, id) => offer(about, id, "0 seconds"),
        later: (about, id) => offer(about, id, createdDelay)
      })
    })
  )
}

/** The queue wraps what the database said; the transaction that the offer is part of has to hear it. */
const unoffered = (
  error: PersistedQueue.PersistedQueueError | Schema.SchemaError
): Effect.Effect<never, SqlError.SqlError> =>
  error._tag === "PersistedQueueError" && SqlError.isSqlError(error.cause)
    ? Effect.fail(error.cause)
    : Effect.die(error)
