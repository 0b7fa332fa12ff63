import { Context, Effect, Layer, Option, Schema } from "effect"
import { SubmissionId } from "../domain/Ids.ts"
import type { Findings } from "../domain/MediaFacts.ts"
import type { Unavailable } from "../domain/Problem.ts"
import { judge, type Judgement } from "../domain/Verification.ts"
import { mostAttempts } from "../domain/Video.ts"
import { continuing, currentOrigin, VerificationCommands, type VerifyCommand } from "./Commands.ts"
import { withDatabase } from "./Database.ts"
import { MediaEngine } from "./MediaEngine.ts"
import { SeenBefore } from "./SeenBefore.ts"
import { Spool } from "./Spool.ts"
import { type JobRow, VerificationStore } from "./VerificationStore.ts"

/** A defect, on its way to the queue, which keeps count of the attempts. */
class Broken extends Schema.TaggedError<Broken>()("Broken", {
  submissionId: SubmissionId,
  cause: Schema.Defect()
}) {}

/** Verifies what was submitted, in the video process: one command of the queue at a time. */
export class Verifier extends Context.Service<Verifier, {
  /**
   * Takes the next command, waiting for one, and works it. What may pass by itself (the engine failed, the database is away)
   * is left to the queue's next attempt and is no error here; the end of this process gives the command back at once.
   */
  readonly next: Effect.Effect<void>
  /** Gives back to the queue what processes left that have died. */
  readonly takeOver: Effect.Effect<void, Unavailable>
  /** Tells submissions whose command the queue has given up. */
  readonly sweep: Effect.Effect<void, Unavailable>
}>()("midnight/services/video/Verifier") {
  static readonly layer = Layer.effect(
    Verifier,
    Effect.gen(function*() {
      const commands = yield* VerificationCommands
      const store = yield* VerificationStore
      const spool = yield* Spool
      const engine = yield* MediaEngine
      const seenBefore = yield* SeenBefore

      /** For the money side, when there is a reward to pay or a slot to give back. A person's review comes first. */
      const settlementOf = Effect.fnUntraced(function*(job: JobRow, { outcome }: Judgement) {
        const origin = yield* currentOrigin
        return outcome === "needs_review" || Option.isNone(job.campaignId)
          ? Option.none()
          : Option.some({ ...origin, submissionId: job.submissionId })
      })

      /** A disk that is full must not keep a verdict back: then there are no pictures. */
      const keepPictures = Effect.fnUntraced(function*({ sha256, videoId }: JobRow, findings: Findings) {
        if (findings._tag !== "MediaFacts") return false
        const { contactSheet, thumbnail } = findings.pictures
        if (Option.isNone(thumbnail) || Option.isNone(contactSheet)) return false
        return yield* spool.keepPicture(videoId, sha256, "thumbnail", thumbnail.value).pipe(
          Effect.andThen(spool.keepPicture(videoId, sha256, "contact-sheet", contactSheet.value)),
          Effect.as(true),
          Effect.catchTag("StorageFull", (error) => Effect.as(Effect.logWarning(error.message), false))
        )
      })

      const verify = Effect.fn("Verifier.verify")(function*(command: typeof VerifyCommand.Type, attempt: number) {
        yield* Effect.annotateCurrentSpan({
          "midnight.submission.id": command.submissionId,
          "midnight.video.id": command.videoId,
          "midnight.attempt": attempt
        })
        const begun = yield* withDatabase(store.begin(command.submissionId, attempt))
        if (Option.isNone(begun)) return
        const job = begun.value
        const { findings } = yield* engine.analyse({
          path: spool.path(job.videoId, job.sha256),
          jobId: job.submissionId,
          rules: job.rules,
          traceparent: Option.none()
        }).pipe(
          Effect.tapError(() => attempt < mostAttempts ? Effect.void : withDatabase(store.fail(job.submissionId)))
        )
        // A file that is no good may still be the same file.
        const frames = findings._tag === "MediaFacts" ? findings.fingerprint : new Uint8Array(0)
        const sighting = yield* seenBefore.lookUp(job.submissionId, frames)
        const judgement = judge(findings, job.rules, sighting)
        const { checks, outcome, reasons } = judgement
        const hasPictures = yield* keepPictures(job, findings)
        const settlement = yield* settlementOf(job, judgement)
        const written = yield* withDatabase(
          store.decide({ submissionId: job.submissionId, outcome, checks, reasons, hasPictures }, settlement)
        )
        yield* Effect.annotateCurrentSpan({ "midnight.outcome": outcome, "midnight.verdict.written": written })
        yield* Effect.logInfo(`Submission ${job.submissionId} is ${outcome} at attempt ${attempt}`)
      })

      const pause = (error: { readonly message: string }) =>
        Effect.andThen(Effect.logWarning(`Verification waits: ${error.message}`), Effect.sleep("1 second"))

      const next = commands.take((command, { attempts, id }) =>
        verify(command, attempts).pipe(
          // A fault in the way of one submission is that submission's: it must not end the worker of all others.
          Effect.catchDefect((cause) => Effect.fail(new Broken({ submissionId: command.submissionId, cause }))),
          continuing(command, "verification_commands", id)
        )
      ).pipe(
        Effect.catchTags({
          Broken: (error) => Effect.logError(`The verification of ${error.submissionId} met a defect`, error.cause),
          MediaEngineFailed: (error) => Effect.logWarning(`The media engine failed (${error.reason}): ${error.detail}`),
          Unavailable: pause,
          PersistedQueueError: pause
        })
      )

      const takeOver = Effect.gen(function*() {
        const left = yield* withDatabase(store.takeOver)
        if (left > 0) yield* Effect.logWarning(`${left} verifications were left by a process that died`)
      })

      const sweep = Effect.gen(function*() {
        const dead = yield* withDatabase(store.failDeadLetters)
        if (dead > 0) yield* Effect.logWarning(`${dead} submissions became dead letters`)
      }).pipe(Effect.withSpan("Verifier.sweep"))

      return Verifier.of({ next, takeOver, sweep })
    })
  )
}
