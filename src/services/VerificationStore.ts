import { Context, Effect, Layer, Option, Schema } from "effect"
import { SecureRandom } from "effect/crypto"
import { SqlClient, SqlSchema } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import type { Status } from "../domain/Health.ts"
import { CampaignId, SubmissionId, UserId, VideoId } from "../domain/Ids.ts"
import { Unavailable } from "../domain/Problem.ts"
import { Check, Outcome, VerificationRules } from "../domain/Verification.ts"
import { Sha256 } from "../domain/Video.ts"
import { type SettleCommand, SettlementCommands } from "./Commands.ts"
import { decoded } from "./Database.ts"

/** What a verification works on. */
const JobRow = Schema.Struct({
  submissionId: SubmissionId,
  userId: UserId,
  campaignId: Schema.OptionFromNullOr(CampaignId),
  videoId: VideoId,
  sha256: Sha256,
  rules: VerificationRules
})
export type JobRow = typeof JobRow.Type

const Decision = Schema.Struct({
  submissionId: SubmissionId,
  outcome: Outcome,
  checks: Schema.fromJsonString(Schema.Array(Check)),
  reasons: Schema.fromJsonString(Schema.Array(Schema.String)),
  hasPictures: Schema.Boolean
})

/** The worker's side of video in the database. */
export class VerificationStore extends Context.Service<VerificationStore, {
  /** Marks a submission as being verified; none when it needs no verification any more. */
  begin(id: SubmissionId, attempt: number): Effect.Effect<Option.Option<JobRow>, SqlError>
  /**
   * Writes the outcome unless there is a verdict, and with it, in the same transaction, the settlement. False when somebody
   * else had decided.
   */
  decide(
    decision: typeof Decision.Type,
    settlement: Option.Option<typeof SettleCommand.Type>
  ): Effect.Effect<boolean, SqlError | Unavailable>
  /** A dead letter: no further attempt is made until somebody asks for it. */
  fail(id: SubmissionId): Effect.Effect<void, SqlError>
  /** Does the same for commands that the queue gave up by itself, as when each attempt killed its process. */
  readonly failDeadLetters: Effect.Effect<number, SqlError>
  /**
   * Gives back to the queue what was claimed by processes whose heartbeat stopped, sooner than the claims end by themselves.
   * A process that only seems dead finds its verdict written already, or is the first to write it.
   */
  readonly takeOver: Effect.Effect<number, SqlError>
  /** A sign of life of this process. */
  beat(status: Status): Effect.Effect<void, SqlError>
  /** Ends this process's heartbeat, and forgets those of processes that ended a day ago. */
  readonly leave: Effect.Effect<void, SqlError>
}>()("midnight/services/video/VerificationStore") {
  static readonly layer = Layer.effect(
    VerificationStore,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const settlements = yield* SettlementCommands
      const processId = SecureRandom.uuidV7Unsafe()

      const begin = SqlSchema.findOneOption({
        Request: Schema.Struct({ id: SubmissionId, attempt: Schema.Int }),
        Result: JobRow,
        execute: ({ attempt, id }) =>
          sql`
          UPDATE video.submissions s SET status = 'verifying', attempts = ${attempt},
                 worker_id = ${processId}, updated_at = now()
          FROM video.uploads u
          WHERE s.id = ${id} AND u.id = s.video_id AND u.status = 'complete' AND s.status IN ('queued', 'verifying')
          RETURNING s.id AS "submissionId", s.user_id AS "userId", s.campaign_id AS "campaignId",
                    s.video_id AS "videoId", u.sha256, s.rules`
      })

      const writeOutcome = SqlSchema.findOneOption({
        Request: Decision,
        Result: Schema.Struct({ id: SubmissionId }),
        execute: (d) =>
          sql`
          UPDATE video.submissions SET status = ${d.outcome}, updated_at = now(), decided_by = 'worker',
                 verdict = CASE WHEN ${d.outcome}::text = 'needs_review' THEN NULL ELSE ${d.outcome}::text END,
                 decided_at = CASE WHEN ${d.outcome}::text = 'needs_review' THEN NULL::timestamptz ELSE now() END,
                 checks = ${d.checks}::text::jsonb, reasons = ${d.reasons}::text::jsonb, has_pictures = ${d.hasPictures}
          WHERE id = ${d.submissionId} AND verdict IS NULL AND status IN ('verifying', 'failed') RETURNING id`
      })
      const decide = Effect.fn("VerificationStore.decide")(
        function*(decision: typeof Decision.Type, settlement: Option.Option<typeof SettleCommand.Type>) {
          const written = yield* decoded(writeOutcome(decision))
          if (Option.isNone(written)) return false
          if (Option.isSome(settlement)) {
            yield* settlements.offer(settlement.value, { id: decision.submissionId }).pipe(
              Effect.catchTag("PersistedQueueError", () => Effect.fail(queueAway)),
              Effect.catchTag("SchemaError", Effect.die)
            )
          }
          return true
        },
        sql.withTransaction
      )

      return VerificationStore.of({
        begin: (id, attempt) => decoded(begin({ id, attempt })),
        decide,
        fail: (id) =>
          Effect.asVoid(sql`
            UPDATE video.submissions SET status = 'failed', updated_at = now()
            WHERE id = ${id} AND status = 'verifying'`),
        failDeadLetters: Effect.map(
          sql`UPDATE video.submissions s SET status = 'failed', updated_at = now()
              FROM queue.verification_commands q
              WHERE s.status IN ('queued', 'verifying') AND q.id = s.id::text
                AND q.queue_name = 'verification_commands' AND q.state = 'failed' RETURNING s.id`,
          (rows) => rows.length
        ),
        // The lock's own columns are the library's; without a holder a command is due at once.
        takeOver: Effect.map(
          sql`UPDATE queue.verification_commands q SET acquired_at = NULL, acquired_by = NULL
              FROM video.submissions s LEFT JOIN video.heartbeats h ON h.process_id = s.worker_id
              WHERE s.status = 'verifying' AND s.worker_id <> ${processId}
                AND coalesce(h.beat_at, '-infinity') < now() - interval '4 seconds'
                AND q.id = s.id::text AND q.queue_name = 'verification_commands'
                AND q.state = 'pending' AND q.acquired_by IS NOT NULL
                AND q.acquired_at < now() - interval '4 seconds' RETURNING s.id`,
          (rows) => rows.length
        ),
        beat: (status) =>
          Effect.asVoid(sql`
            INSERT INTO video.heartbeats (process_id, status) VALUES (${processId}, ${status})
            ON CONFLICT (process_id) DO UPDATE SET beat_at = now(), status = excluded.status`),
        leave: Effect.asVoid(sql`
          DELETE FROM video.heartbeats WHERE process_id = ${processId} OR beat_at < now() - interval '1 day'`)
      })
    })
  )
}

const queueAway = new Unavailable({ detail: "The queue did not answer.", retry_after: 1 })
