import { Context, Deferred, Effect, Layer, Option, Queue } from "effect"
import type { AnySpan } from "effect/Tracer"
import { Unavailable } from "../domain/Problem.ts"
import { withDatabase } from "./Database.ts"
import { type LedgerCommand, LedgerStore, type Outcome } from "./LedgerStore.ts"

interface Job {
  readonly command: LedgerCommand
  readonly outcome: Deferred.Deferred<Outcome, Unavailable>
  readonly span: Option.Option<AnySpan>
}

/** docs/security.md: what waits beyond this is turned away at once. */
const capacity = 10_000
const largestBatch = 512

/**
 * Group commit: commands queue here, one writer takes whatever has gathered, posts it as one statement and gives every
 * caller its own outcome. There is no timer: what queues during a commit is the next batch.
 */
export class LedgerWriter extends Context.Service<LedgerWriter, {
  submit(command: LedgerCommand): Effect.Effect<Outcome, Unavailable>
  /** The writer's loop; runs for good, supervised. Ends only by a defect, and then no caller of its batch is left waiting. */
  readonly run: Effect.Effect<never>
}>()("midnight/services/wallet/LedgerWriter") {
  static readonly layer = Layer.effect(
    LedgerWriter,
    Effect.gen(function*() {
      const store = yield* LedgerStore
      const jobs = yield* Queue.dropping<Job>(capacity)

      const submit = Effect.fnUntraced(function*(command: LedgerCommand) {
        const outcome = yield* Deferred.make<Outcome, Unavailable>()
        const span = yield* Effect.option(Effect.currentParentSpan)
        const accepted = yield* Queue.offer(jobs, { command, outcome, span })
        if (!accepted) {
          return yield* new Unavailable({ detail: "The ledger's queue is full. Nothing was posted.", retry_after: 1 })
        }
        // A caller that goes away stops waiting; its command stays queued and is posted. One that waits longer than any
        // batch can take learns only that the answer is unknown: the same key will tell.
        return yield* Deferred.await(outcome).pipe(
          Effect.timeoutOption("8 seconds"),
          Effect.flatMap(Option.match({ onNone: () => Effect.fail(unknown), onSome: Effect.succeed }))
        )
      })

      const postAll = (batch: ReadonlyArray<Job>): Effect.Effect<void> =>
        withDatabase(store.post(batch.map((job) => job.command))).pipe(
          Effect.matchEffect({
            onSuccess: (outcomes) =>
              Effect.sync(() => {
                batch.forEach((job, i) => {
                  const outcome = outcomes[i]
                  Deferred.doneUnsafe(
                    job.outcome,
                    outcome === undefined ? Effect.fail(unknown) : Effect.succeed(outcome)
                  )
                })
              }),
            onFailure: (away) =>
              Effect.sync(() => batch.forEach((j) => Deferred.doneUnsafe(j.outcome, Effect.fail(away))))
          }),
          // A statement that PostgreSQL refuses is a fault of one command. It must not fail its neighbours, so each is then
          // posted alone, and only the faulty one dies.
          Effect.catchDefect((defect) =>
            batch.length === 1
              ? Effect.sync(() => batch.forEach((job) => Deferred.doneUnsafe(job.outcome, Effect.die(defect))))
              : Effect.forEach(batch, (job) => postAll([job]), { discard: true })
          )
        )

      const run = Effect.forever(
        Effect.gen(function*() {
          const batch = yield* Queue.takeBetween(jobs, 1, largestBatch)
          yield* postAll(batch).pipe(
            Effect.withSpan("LedgerWriter.batch", {
              root: true,
              links: batch.slice(0, 64).flatMap((job) =>
                Option.isSome(job.span) ? [{ span: job.span.value, attributes: {} }] : []
              ),
              attributes: { "midnight.batch.size": batch.length }
            }),
            Effect.onExit(() =>
              Effect.sync(() => batch.forEach((j) => Deferred.doneUnsafe(j.outcome, Effect.fail(unknown))))
            )
          )
        })
      )

      return LedgerWriter.of({ submit, run })
    })
  )
}

const unknown = new Unavailable({
  detail: "The ledger's answer is unknown. Repeat the request with the same Idempotency-Key to learn it.",
  retry_after: 1
})
