import { Context, DateTime, Effect, Layer, Option, Schema } from "effect"
import { bulkheadOf, type DeadLetter, NotDead, QueueName, type Requeued } from "../domain/DeadLetters.ts"
import { cursorOf, PositionInstant, PositionNumber } from "../domain/Page.ts"
import { type InvalidRequest, NotFound, type Unavailable } from "../domain/Problem.ts"
import {
  type CommandStore,
  type LetterRow,
  MailQueue,
  PaymentQueue,
  SettlementQueue,
  VerificationQueue
} from "./CommandStore.ts"
import { withDatabase } from "./Database.ts"
import { WebhookQueue } from "./WebhookLogStore.ts"

const position = cursorOf(Schema.Struct({ queue: QueueName, at: PositionInstant, sequence: PositionNumber }))

/** Commands of all queues that were given up: to be seen, and to be tried again once their cause is gone. */
export class DeadLetters extends Context.Service<DeadLetters, {
  list(query: {
    readonly queue: QueueName | undefined
    readonly cursor: string | undefined
    readonly limit: number
  }): Effect.Effect<
    { readonly items: ReadonlyArray<DeadLetter>; readonly nextCursor: string | null },
    InvalidRequest | Unavailable
  >
  /** Tries it again from the first attempt. `by` is kept: a user's id, or `command`. */
  requeue(queue: QueueName, id: string, by: string): Effect.Effect<Requeued, NotFound | NotDead | Unavailable>
}>()("midnight/services/DeadLetters") {
  static readonly layer = Layer.effect(
    DeadLetters,
    Effect.gen(function*() {
      const stores: Record<QueueName, CommandStore> = {
        payment_commands: yield* PaymentQueue,
        settlement_commands: yield* SettlementQueue,
        verification_commands: yield* VerificationQueue,
        webhook_deliveries: yield* WebhookQueue,
        mail_commands: yield* MailQueue
      }

      const list: DeadLetters["Service"]["list"] = Effect.fn("DeadLetters.list")(function*({ cursor, limit, queue }) {
        const after = yield* position.decode(cursor)
        const from = Option.match(after, { onNone: () => 0, onSome: ({ queue }) => QueueName.literals.indexOf(queue) })
        const found: Array<readonly [QueueName, LetterRow]> = []
        for (const name of QueueName.literals.slice(from)) {
          if (found.length > limit || (queue !== undefined && queue !== name)) continue
          const here = Option.filter(after, (at) => at.queue === name)
          const rows = yield* withDatabase(stores[name].deadLetters(here, limit + 1 - found.length))
          found.push(...rows.map((row) => [name, row] as const))
        }
        const last = found.slice(0, limit).at(-1)
        const nextCursor = found.length <= limit || last === undefined
          ? null
          : yield* position.encode({ queue: last[0], at: last[1].position, sequence: last[1].sequence })
        return { items: found.slice(0, limit).map(([name, row]) => viewOf(name, row)), nextCursor }
      })

      const requeue: DeadLetters["Service"]["requeue"] = Effect.fn("DeadLetters.requeue")(function*(queue, id, by) {
        yield* Effect.annotateCurrentSpan({ "messaging.destination.name": queue, "messaging.message.id": id })
        if (!(yield* withDatabase(stores[queue].requeue(id, by)))) {
          const state = yield* withDatabase(stores[queue].state(id))
          // Between the two looks it may have died again.
          return yield* Option.isNone(state) || state.value === "failed"
            ? new NotFound({ detail: "That queue has no dead letter by that id." })
            : new NotDead({ detail: "There is nothing to try again.", state: state.value })
        }
        yield* Effect.logInfo("A dead letter is tried again", { queue, command_id: id, by })
        return { queue, id, requeuedAt: yield* DateTime.now }
      })

      return DeadLetters.of({ list, requeue })
    })
  )
}

const viewOf = (
  queue: QueueName,
  { lastFailure, position: _, requestId, sequence: __, ...row }: LetterRow
): DeadLetter => ({
  ...row,
  queue,
  bulkhead: bulkheadOf[queue],
  lastFailure: Option.getOrNull(lastFailure),
  requestId: Option.getOrNull(requestId)
})
