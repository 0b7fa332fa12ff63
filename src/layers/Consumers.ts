import { Effect } from "effect"
import type { PersistedQueue } from "effect/persistence"
import { type Commanded, continuing, type QueueName } from "../services/Commands.ts"

/**
 * Works a queue with several consumers for good, each command in the trace it came from. The queue counts attempts and
 * repeats with backoff; whatever goes wrong with one command, a defect too, is that command's and must not end the consumer
 * that all others wait for. The pause is for a queue that cannot be read at all.
 */
export const consume = <A extends Commanded, E, R>(
  name: QueueName,
  queue: PersistedQueue.PersistedQueue<A>,
  consumers: number,
  work: (command: A, id: string, attempt: number) => Effect.Effect<unknown, E, R>
): Effect.Effect<void, never, R> => {
  const one = queue.take((command, { attempts, id }) =>
    work(command, id, attempts).pipe(
      Effect.catchDefect((defect) => Effect.fail(new Error(`command ${id} met a defect`, { cause: defect }))),
      Effect.tapError((error) => Effect.logWarning("a command failed and will be repeated", error)),
      continuing(command, name, id)
    )
  ).pipe(Effect.catch(() => Effect.sleep("200 millis")))
  return Effect.all(Array.from({ length: consumers }, () => Effect.forever(one)), {
    concurrency: "unbounded",
    discard: true
  })
}
