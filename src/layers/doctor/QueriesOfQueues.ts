import type { PgConnection } from "@effect/sql-pg"
import { Duration, Effect, Option } from "effect"
import { SecureRandom } from "effect/crypto"
import { PersistedQueue } from "effect/persistence"
import type { Commanded, QueueName } from "../../services/Commands.ts"
import type { CommandStore } from "../../services/CommandStore.ts"
import { after, named, type NamedQuery, type Uses } from "./NamedQuery.ts"

const tables = {
  PaymentQueue: "payment_commands",
  SettlementQueue: "settlement_commands",
  VerificationQueue: "verification_commands",
  MailQueue: "mail_commands"
} as const

/** What operators ask of a queue, on a command that is dead. */
export const queueQueries = (
  name: keyof typeof tables,
  store: CommandStore,
  connection: PgConnection.PgConnection
) => {
  const id = SecureRandom.uuidV7Unsafe()
  const dead = connection.queryValues(
    `INSERT INTO queue.${tables[name]} (id, queue_name, element, state, attempts, visible_at, created_at, updated_at)
     VALUES ($1, $2, '{}', 'failed', 1, now(), now(), now())`,
    [id, tables[name]]
  )
  const uses: Uses<CommandStore> = {
    deadLetters: [
      store.deadLetters(Option.none(), 20),
      store.deadLetters(Option.some({ at: "2026-01-01T00:00:00.000000+00", sequence: 1n }), 20)
    ],
    requeue: after(dead, store.requeue(id, "doctor")),
    state: after(dead, store.state(id)),
    standing: store.standing
  }
  return named(name, uses)
}

/** What the queue's library sends to clear away what is long done. */
export const purged = (tableName: QueueName) =>
  PersistedQueue.makeStoreSql({ tableName }).pipe(
    Effect.flatMap((store) => store.cleanup({ timeToLive: Duration.days(7), failedTimeToLive: undefined })),
    Effect.scoped
  )

/** What the queue's library sends: offering, polling, completing, and repeating after a failure. */
export const worked = <A extends Commanded>(command: A) => (queue: PersistedQueue.PersistedQueue<A>) => {
  const offered = Effect.suspend(() => queue.offer(command, { id: SecureRandom.uuidV7Unsafe() }))
  return offered.pipe(
    Effect.andThen(queue.take(() => Effect.void)),
    Effect.andThen(offered),
    Effect.andThen(Effect.ignore(queue.take(() => Effect.fail("again" as const)))),
    Effect.timeout("10 seconds")
  )
}

/** A queue is opened for the length of its use, so that its poller ends with it. */
export const queueUse = (name: string, run: Effect.Effect<unknown, unknown>): NamedQuery => ({
  name,
  calls: [{ given: Effect.void, run }]
})
