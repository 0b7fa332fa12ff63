import { Context, Effect, Metric } from "effect"
import { bulkheadOf, type QueueName } from "../domain/DeadLetters.ts"
import type { CommandStore } from "../services/CommandStore.ts"
import { withDatabase } from "../services/Database.ts"
import { every, supervised } from "./Supervision.ts"

const gauge = (name: string, description: string, unit: string) =>
  Metric.gauge(name, { description, attributes: { unit } })

const waiting = gauge("midnight.queue.waiting", "Commands that wait or are being worked", "{command}")
const oldest = gauge("midnight.queue.oldest.age", "Age of the oldest of them", "s")
const dead = gauge("midnight.queue.dead", "Commands that were given up and wait for somebody", "{command}")

/** Looks every five seconds how a queue stands. While the database is away the figures stay as they were. */
export const queueMetrics = <I>(queue: QueueName, store: Context.Key<I, CommandStore>) =>
  supervised(
    bulkheadOf[queue],
    "queue-metrics",
    Effect.flatMap(Effect.service(store), ({ standing }) =>
      every(
        "5 seconds",
        withDatabase(standing).pipe(
          Effect.flatMap((now) =>
            Effect.all([
              Metric.update(Metric.withAttributes(waiting, { queue }), now.waiting),
              Metric.update(Metric.withAttributes(oldest, { queue }), now.oldestSeconds),
              Metric.update(Metric.withAttributes(dead, { queue }), now.dead)
            ])
          ),
          Effect.catchTag("Unavailable", (error) =>
            Effect.logWarning(`How ${queue} stands is not known: ${error.message}`))
        )
      ))
  )
