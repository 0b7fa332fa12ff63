import { Clock, Context, Deferred, Effect, Exit, Layer, Queue } from "effect"
import type { AnySpan } from "effect/Tracer"
import { Unavailable } from "../domain/Problem.ts"
import { withDatabase } from "./Database.ts"
import type { Outcome } from "./LedgerOutcome.ts"
import { type LedgerCommand, LedgerStore } from "./LedgerStore.ts"

interface Job {
  readonly command: LedgerCommand
  readonly outcome: Deferred.Deferred<Outcome, Unavailable>
  readonly span: AnySpan | undefined
  readonly since: number
  /** In a batch. Until then nothing of it is posted. */
  taken: boolean
}

/** Postings that may wait; what comes beyond is turned away at once. Read when the writer is built. */
export const LedgerQueue = Context.Reference<number>("midnight/services/wallet/LedgerQueue", {
  defaultValue: () => 10_000
})
const largestBatch = 512
/** Milliseconds. */
const longestWait = 8_000
/** Milliseconds after which a batch that PostgreSQL does not answer holds up the queue, and that a caller waits behind it. */
const stuckAfter = 700
const longestQueued = 500

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
      const scope = yield* Effect.scope
      const jobs = yield* Queue.dropping<Job>(yield* LedgerQueue)

      // In the order in which they came, which is that in which they run out of patience.
      const waiting = new Set<Job>()

      // A caller that goes away stops waiting; its command stays queued and is posted.
      const submit = (command: LedgerCommand) =>
        Effect.withFiber<Outcome, Unavailable>((fiber) => {
          const job: Job = {
            command,
            outcome: Deferred.makeUnsafe<Outcome, Unavailable>(),
            span: fiber.cache.span,
            since: fiber.getRef(Clock.Clock).currentTimeMillisUnsafe(),
            taken: false
          }
          if (!Queue.offerUnsafe(jobs, job)) return Effect.fail(full)
          waiting.add(job)
          return Deferred.await(job.outcome)
        })

      const answer = (job: Job, outcome: Exit.Exit<Outcome, Unavailable>) => {
        Deferred.doneUnsafe(job.outcome, outcome)
        waiting.delete(job)
      }

      let batchSince: number | undefined

      // Whoever waits longer than any batch can take learns only that the answer is unknown: the same key will tell. Behind
      // a batch that does not end, callers are turned away soon, and nothing of theirs is posted. One look at all of them
      // costs less than a timer for each.
      const impatience = Effect.clockWith((clock) =>
        Effect.sync(() => {
          const now = clock.currentTimeMillisUnsafe()
          const isStuck = batchSince !== undefined && batchSince <= now - stuckAfter
          for (const job of waiting) {
            if (job.since > now - longestQueued) return
            if (job.since <= now - longestWait) answer(job, Exit.fail(unknown))
            else if (isStuck && !job.taken) answer(job, Exit.fail(stuck))
          }
        })
      ).pipe(Effect.delay("250 millis"), Effect.forever)
      // Beside the writer and not in it: the writer may be what is gone.
      yield* Effect.forkScoped(impatience)

      // Callers are told by a fiber of its own: the next batch is on its way to PostgreSQL before they are.
      const tell = (batch: ReadonlyArray<Job>, outcomes: ReadonlyArray<Outcome>) =>
        Effect.sync(() =>
          batch.forEach((job, i) => {
            const outcome = outcomes[i]
            answer(job, outcome === undefined ? Exit.fail(unknown) : Exit.succeed(outcome))
          })
        ).pipe(Effect.forkIn(scope))

      const postAll = (batch: ReadonlyArray<Job>): Effect.Effect<void> =>
        withDatabase(store.post(batch.map((job) => job.command))).pipe(
          Effect.matchEffect({
            onSuccess: (outcomes) => tell(batch, outcomes),
            onFailure: (away) => Effect.sync(() => batch.forEach((job) => answer(job, Exit.fail(away))))
          }),
          // A statement that PostgreSQL refuses is a fault of one command. It must not fail its neighbours, so each is then
          // posted alone, and only the faulty one dies.
          Effect.catchDefect((defect) =>
            batch.length === 1
              ? Effect.sync(() => batch.forEach((job) => answer(job, Exit.die(defect))))
              : Effect.forEach(batch, (job) => postAll([job]), { discard: true })
          )
        )

      const run = Effect.forever(
        Effect.gen(function*() {
          const jobsTaken = yield* Queue.takeBetween(jobs, 1, largestBatch)
          // Whoever was turned away meanwhile was told that nothing is posted.
          const batch = jobsTaken.filter((job) => waiting.has(job))
          if (batch.length === 0) return
          for (const job of batch) job.taken = true
          batchSince = yield* Clock.currentTimeMillis
          yield* postAll(batch).pipe(
            Effect.withSpan("LedgerWriter.batch", {
              root: true,
              links: batch.slice(0, 64).flatMap(({ span }) => span === undefined ? [] : [{ span, attributes: {} }]),
              attributes: { "midnight.batch.size": batch.length }
            }),
            Effect.onError(() => Effect.sync(() => batch.forEach((job) => answer(job, Exit.fail(unknown))))),
            Effect.ensuring(Effect.sync(() => batchSince = undefined))
          )
        })
      )

      return LedgerWriter.of({ submit, run })
    })
  )
}

const full = new Unavailable({ detail: "The ledger's queue is full. Nothing was posted.", retry_after: 1 })

const stuck = new Unavailable({ detail: "The ledger does not get on. Nothing was posted.", retry_after: 1 })

const unknown = new Unavailable({
  detail: "The ledger's answer is unknown. Repeat the request with the same Idempotency-Key to learn it.",
  retry_after: 1
})
