import { Context, Data, type DateTime, Effect, Layer, Option, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import { CampaignId, SubmissionId, UserId, VideoId } from "../domain/Ids.ts"
import { Money } from "../domain/Money.ts"
import { Unavailable } from "../domain/Problem.ts"
import { VerificationRules } from "../domain/Verification.ts"
import { ContentType, Sha256, type SubmissionCursor } from "../domain/Video.ts"
import { VerificationCommands } from "./Commands.ts"
import { decoded } from "./Database.ts"
import { submissionColumns, SubmissionRow } from "./SubmissionRow.ts"
import { VideoSettings } from "./VideoSettings.ts"

type Rows = ReadonlyArray<SubmissionRow>

const NewUpload = Schema.Struct({
  id: VideoId,
  userId: UserId,
  bytes: Schema.Int,
  contentType: ContentType,
  sha256: Schema.OptionFromNullOr(Sha256),
  expiresAt: Schema.DateTimeUtcFromString
})

/** `removed`: it was complete, and its bytes were given up since. */
const UploadStatus = Schema.Literals(["pending", "complete", "removed"])
type UploadAdded = Data.TaggedEnum<{ Added: {}; TooMany: { until: DateTime.Utc }; TooMuch: { stored: number } }>
const { Added, TooMany, TooMuch } = Data.taggedEnum<UploadAdded>()
const Unfinished = Schema.Struct({
  n: Schema.Int,
  until: Schema.OptionFromNullOr(Schema.DateTimeUtcFromDate),
  stored: Schema.Int
})

const NewSubmission = Schema.Struct({
  id: SubmissionId,
  userId: UserId,
  campaignId: Schema.OptionFromNullOr(CampaignId),
  videoId: VideoId,
  status: Schema.Literals(["reserving", "queued"]),
  rules: Schema.fromJsonString(VerificationRules),
  requestId: Schema.String,
  traceparent: Schema.OptionFromNullOr(Schema.String)
})

const Slot = Schema.Struct({ id: SubmissionId, reward: Money, rules: Schema.fromJsonString(VerificationRules) })

/** The API's side of video in the database. What is offered to the queue commits with the row it is about. */
export class VideoStore extends Context.Service<VideoStore, {
  /** Adds an upload, unless its owner has too many or too much; then none is added. */
  addUpload(upload: typeof NewUpload.Type): Effect.Effect<UploadAdded, SqlError>
  uploadStatus(id: VideoId, owner: UserId): Effect.Effect<Option.Option<typeof UploadStatus.Type>, SqlError>
  submission(id: SubmissionId): Effect.Effect<Option.Option<SubmissionRow>, SqlError>
  /** Adds a submission once per video and campaign, of bytes that are kept. One that is `queued` is also offered to the queue. */
  addSubmission(
    submission: typeof NewSubmission.Type
  ): Effect.Effect<"added" | "known" | "removed", SqlError | Unavailable>
  /** A reserving submission becomes a queued one; none when it is gone. Repeating it changes nothing. */
  enqueue(slot: typeof Slot.Type): Effect.Effect<Option.Option<SubmissionRow>, SqlError | Unavailable>
  /** Forgets a submission that got no slot; answers the one that is there all the same, since another request got it one. */
  abandon(id: SubmissionId): Effect.Effect<Option.Option<SubmissionRow>, SqlError>
  readonly queueIsFull: Effect.Effect<boolean, SqlError>
  /** Reservations that nobody finished for a minute. */
  readonly stuckReservations: Effect.Effect<Rows, SqlError>
  /** Newest first, those before the cursor. */
  page(owner: UserId, before: Option.Option<SubmissionCursor>, limit: number): Effect.Effect<Rows, SqlError>
  /** The video processes that gave a sign of life in the last 1.5 s, by the database's clock. */
  readonly aliveProcesses: Effect.Effect<ReadonlyArray<{ readonly id: string; readonly status: string }>, SqlError>
}>()("midnight/services/video/VideoStore") {
  static readonly layer = Layer.effect(
    VideoStore,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const commands = yield* VerificationCommands
      const { mostStored, mostUnfinished, mostWaiting } = yield* VideoSettings
      const all = sql.literal(submissionColumns)

      const unfinished = SqlSchema.findOne({
        Request: UserId,
        Result: Unfinished,
        execute: (userId) =>
          sql`
          SELECT count(*)::int AS n, min(coalesce(resumable_until, expires_at)) AS until,
            (SELECT coalesce(sum(bytes), 0)::float8 FROM video.uploads
             WHERE user_id = ${userId} AND removed_at IS NULL) AS stored FROM video.uploads
          WHERE user_id = ${userId} AND status = 'pending' AND coalesce(resumable_until, expires_at) > now()`
      })
      const insertUpload = SqlSchema.void({
        Request: NewUpload,
        execute: (u) =>
          sql`
          INSERT INTO video.uploads (id, user_id, bytes, content_type, expected_sha256, expires_at)
          VALUES (${u.id}, ${u.userId}, ${u.bytes}, ${u.contentType}, ${u.sha256}, ${u.expiresAt}::timestamptz)`
      })
      const addUpload = Effect.fn("VideoStore.addUpload")(function*(upload: typeof NewUpload.Type) {
        // One member's uploads follow one another, or three at once would each see two.
        yield* sql`SELECT pg_advisory_xact_lock(hashtextextended(${upload.userId}, 7))`
        const { n, stored, until } = yield* decoded(
          Effect.catchTag(unfinished(upload.userId), "NoSuchElementError", Effect.die)
        )
        if (n >= mostUnfinished && Option.isSome(until)) return TooMany({ until: until.value })
        if (stored + upload.bytes > mostStored) return TooMuch({ stored })
        yield* decoded(insertUpload(upload))
        return Added()
      }, sql.withTransaction)

      const uploadStatus = SqlSchema.findOneOption({
        Request: Schema.Struct({ id: VideoId, owner: UserId }),
        Result: Schema.Struct({ status: UploadStatus }),
        execute: ({ id, owner }) =>
          sql`SELECT CASE WHEN removed_at IS NULL THEN status ELSE 'removed' END AS status
              FROM video.uploads WHERE id = ${id} AND user_id = ${owner}`
      })

      const submission = SqlSchema.findOneOption({
        Request: SubmissionId,
        Result: SubmissionRow,
        execute: (id) => sql`SELECT ${all} FROM video.submissions WHERE id = ${id}`
      })

      const offer = (row: Pick<SubmissionRow, "id" | "videoId" | "requestId" | "traceparent">) =>
        commands.offer({
          submissionId: row.id,
          videoId: row.videoId,
          requestId: row.requestId,
          traceparent: row.traceparent
        }, { id: row.id }).pipe(
          Effect.catchTag("PersistedQueueError", () => Effect.fail(queueAway)),
          Effect.catchTag("SchemaError", Effect.die)
        )

      const insertSubmission = SqlSchema.findOneOption({
        Request: NewSubmission,
        Result: Schema.Struct({ id: SubmissionId }),
        execute: (s) =>
          sql`
          INSERT INTO video.submissions (id, user_id, campaign_id, video_id, status, rules, request_id, traceparent)
          VALUES (${s.id}, ${s.userId}, ${s.campaignId}, ${s.videoId}, ${s.status}, ${s.rules}::text::jsonb,
                  ${s.requestId}, ${s.traceparent}) ON CONFLICT DO NOTHING RETURNING id`
      })
      const addSubmission = Effect.fn("VideoStore.addSubmission")(function*(s: typeof NewSubmission.Type) {
        // Whoever gives up the bytes at this moment is waited for, or waits and then finds the submission.
        const [held] = yield* sql<{ readonly kept: boolean }>`SELECT video.hold_upload(${s.videoId}::uuid) AS kept`
        if (held?.kept !== true) return "removed" as const
        const added = yield* decoded(insertSubmission(s))
        if (Option.isNone(added)) return "known" as const
        if (s.status === "queued") yield* offer(s)
        return "added" as const
      }, sql.withTransaction)

      const markQueued = SqlSchema.findOneOption({
        Request: Slot,
        Result: SubmissionRow,
        execute: ({ id, reward, rules }) =>
          sql`
          UPDATE video.submissions SET status = 'queued', rules = ${rules}::text::jsonb, updated_at = now(),
                 reward_amount = ${reward.amount}, reward_currency = ${reward.currency}
          WHERE id = ${id} AND status = 'reserving' RETURNING ${all}`
      })
      const enqueue = Effect.fn("VideoStore.enqueue")(function*(slot: typeof Slot.Type) {
        const queued = yield* decoded(markQueued(slot))
        if (Option.isNone(queued)) return yield* decoded(submission(slot.id))
        yield* offer(queued.value)
        return queued
      }, sql.withTransaction)

      const stuckReservations = SqlSchema.findAll({
        Request: Schema.Void,
        Result: SubmissionRow,
        execute: () =>
          sql`
          SELECT ${all} FROM video.submissions
          WHERE status = 'reserving' AND created_at < now() - interval '60 seconds' ORDER BY created_at LIMIT 100`
      })

      const page = SqlSchema.findAll({
        Request: Schema.Struct({
          owner: UserId,
          at: Schema.OptionFromNullOr(Schema.DateTimeUtcFromString),
          id: Schema.OptionFromNullOr(SubmissionId),
          limit: Schema.Int
        }),
        Result: SubmissionRow,
        execute: ({ at, id, limit, owner }) =>
          sql`
          SELECT ${all} FROM video.submissions
          WHERE user_id = ${owner} AND status <> 'reserving'
            AND (created_at, id) < (coalesce(${at}::timestamptz, 'infinity'),
                                    coalesce(${id}::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
          ORDER BY created_at DESC, id DESC LIMIT ${limit}`
      })

      return VideoStore.of({
        addUpload,
        uploadStatus: (id, owner) =>
          Effect.map(decoded(uploadStatus({ id, owner })), Option.map(({ status }) => status)),
        submission: (id) => decoded(submission(id)),
        addSubmission,
        enqueue,
        abandon: (id) =>
          sql`DELETE FROM video.submissions WHERE id = ${id} AND status = 'reserving'`.pipe(
            Effect.andThen(decoded(submission(id)))
          ),
        queueIsFull: Effect.map(
          sql`SELECT 1 FROM video.submissions WHERE status IN ('reserving', 'queued')
              LIMIT 1 OFFSET ${mostWaiting - 1}`,
          (rows) => rows.length > 0
        ),
        stuckReservations: decoded(stuckReservations(undefined)),
        page: (owner, before, limit) =>
          decoded(page({
            owner,
            at: Option.map(before, ([at]) => at),
            id: Option.map(before, ([, id]) => id),
            limit
          })),
        aliveProcesses: sql<{ readonly id: string; readonly status: string }>`
          SELECT process_id AS id, status FROM video.heartbeats WHERE beat_at > now() - interval '1.5 seconds'
          ORDER BY started_at`
      })
    })
  )
}

const queueAway = new Unavailable({ detail: "The queue did not answer. Nothing was done; try again.", retry_after: 1 })
