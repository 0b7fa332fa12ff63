import { Context, Effect, Layer, Option, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import { CampaignId, SubmissionId, UserId } from "../domain/Ids.ts"
import { PositionInstant } from "../domain/Page.ts"
import { Unavailable } from "../domain/Problem.ts"
import { DecidedOutcome, EarlierVideo } from "../domain/Review.ts"
import { Sha256, type SubmissionStatus } from "../domain/Video.ts"
import { type Happened, recorder } from "./AuditStore.ts"
import { type SettleCommand, SettlementCommands } from "./Commands.ts"
import { decoded } from "./Database.ts"
import { submissionColumns, SubmissionRow } from "./SubmissionRow.ts"

const ReviewRow = Schema.Struct({
  ...SubmissionRow.fields,
  decidedAt: Schema.OptionFromNullOr(Schema.DateTimeUtcFromDate),
  seenBefore: Schema.OptionFromNullOr(EarlierVideo),
  position: PositionInstant
})
export type ReviewRow = typeof ReviewRow.Type

const Decision = Schema.Struct({
  submissionId: SubmissionId,
  reviewerId: UserId,
  outcome: DecidedOutcome,
  reasons: Schema.fromJsonString(Schema.Array(Schema.String))
})

const VerdictRow = Schema.Struct({
  outcome: DecidedOutcome,
  decidedBy: Schema.String,
  campaignId: Schema.OptionFromNullOr(CampaignId),
  userId: UserId,
  sha256: Sha256,
  rulesVersion: Schema.String
})
export type VerdictRow = typeof VerdictRow.Type

/** Which earlier submission this one repeats, and where: for the reviewer, never for the member. */
const seenBefore = `(SELECT jsonb_build_object('submissionId', e.submission_id, 'kind', m.kind, 'sure', m.sure,
    'mirrored', m.mirrored, 'from', m.from_seconds, 'to', m.to_seconds,
    'earlierFrom', m.earlier_from_seconds, 'earlierTo', m.earlier_to_seconds)
  FROM video.fingerprints p JOIN video.matches m ON m.position = p.position
  JOIN video.fingerprints e ON e.position = m.earlier WHERE p.submission_id = submissions.id)`

const longestReason = 280
const shortened = (reason: string) => {
  const letters = [...reason]
  return letters.length > longestReason ? `${letters.slice(0, longestReason - 1).join("")}…` : reason
}

/** What the audit log has of a decision. */
const decided = ({ outcome, reasons, reviewerId, submissionId }: typeof Decision.Type, member: UserId): Happened => ({
  kind: `submission_${outcome}`,
  userId: member,
  by: reviewerId,
  reason: shortened(reasons.join(" ")),
  subject: submissionId
})

/** A person's side of verification in the database. */
export class ReviewStore extends Context.Service<ReviewStore, {
  find(id: SubmissionId): Effect.Effect<Option.Option<ReviewRow>, SqlError>
  /** The oldest first, those after the position. */
  queue(
    status: SubmissionStatus,
    after: Option.Option<{ readonly at: string; readonly id: SubmissionId }>,
    limit: number
  ): Effect.Effect<ReadonlyArray<ReviewRow>, SqlError>
  /** What was submitted to a campaign, the newest first, those before the position. */
  ofCampaign(
    campaignId: CampaignId,
    before: Option.Option<{ readonly at: string; readonly id: SubmissionId }>,
    limit: number
  ): Effect.Effect<ReadonlyArray<ReviewRow>, SqlError>
  /**
   * Writes the verdict unless there is one, and with it, in the same transaction, its line of the audit log and the settlement
   * of a campaign's submission. False when somebody else had decided, or when it is the reviewer's own.
   */
  decide(
    decision: typeof Decision.Type,
    settlement: typeof SettleCommand.Type
  ): Effect.Effect<boolean, SqlError | Unavailable>
  verdict(id: SubmissionId): Effect.Effect<Option.Option<VerdictRow>, SqlError>
}>()("midnight/services/video/ReviewStore") {
  static readonly layer = Layer.effect(
    ReviewStore,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const settlements = yield* SettlementCommands
      const record = recorder(sql)
      const columns = sql.literal(`${submissionColumns}, decided_at AS "decidedAt", ${seenBefore} AS "seenBefore",
        to_char(created_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"+00"') AS position`)

      const find = SqlSchema.findOneOption({
        Request: SubmissionId,
        Result: ReviewRow,
        execute: (id) => sql`SELECT ${columns} FROM video.submissions WHERE id = ${id} AND status <> 'reserving'`
      })

      const queue = SqlSchema.findAll({
        Request: Schema.Struct({
          status: Schema.String,
          at: Schema.OptionFromNullOr(Schema.String),
          id: Schema.OptionFromNullOr(SubmissionId),
          limit: Schema.Int
        }),
        Result: ReviewRow,
        execute: ({ at, id, limit, status }) =>
          sql`
          SELECT ${columns} FROM video.submissions
          WHERE status = ${status} AND status <> 'reserving'
            AND (created_at, id) > (coalesce(${at}::timestamptz, '-infinity'),
                                    coalesce(${id}::uuid, '00000000-0000-0000-0000-000000000000'))
          ORDER BY created_at, id LIMIT ${limit}`
      })

      const ofCampaign = SqlSchema.findAll({
        Request: Schema.Struct({
          campaignId: CampaignId,
          at: Schema.OptionFromNullOr(Schema.String),
          id: Schema.OptionFromNullOr(SubmissionId),
          limit: Schema.Int
        }),
        Result: ReviewRow,
        execute: ({ at, campaignId, id, limit }) =>
          sql`
          SELECT ${columns} FROM video.submissions
          WHERE campaign_id = ${campaignId} AND status <> 'reserving'
            AND (created_at, id) < (coalesce(${at}::timestamptz, 'infinity'),
                                    coalesce(${id}::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
          ORDER BY created_at DESC, id DESC LIMIT ${limit}`
      })

      const writeVerdict = SqlSchema.findOneOption({
        Request: Decision,
        Result: Schema.Struct({ campaignId: Schema.OptionFromNullOr(CampaignId), userId: UserId }),
        execute: (d) =>
          sql`
          UPDATE video.submissions SET status = ${d.outcome}, verdict = ${d.outcome}, reasons = ${d.reasons}::text::jsonb,
                 decided_by = ${d.reviewerId}, decided_at = now(), updated_at = now()
          WHERE id = ${d.submissionId} AND verdict IS NULL AND status <> 'reserving' AND user_id <> ${d.reviewerId}
          RETURNING campaign_id AS "campaignId", user_id AS "userId"`
      })
      const decide = Effect.fn("ReviewStore.decide")(
        function*(decision: typeof Decision.Type, settlement: typeof SettleCommand.Type) {
          const written = yield* decoded(writeVerdict(decision))
          if (Option.isNone(written)) return false
          yield* record(decided(decision, written.value.userId))
          if (Option.isSome(written.value.campaignId)) {
            yield* settlements.offer(settlement, { id: decision.submissionId }).pipe(
              Effect.catchTag("PersistedQueueError", () => Effect.fail(queueAway)),
              Effect.catchTag("SchemaError", Effect.die)
            )
          }
          return true
        },
        sql.withTransaction
      )

      const verdict = SqlSchema.findOneOption({
        Request: SubmissionId,
        Result: VerdictRow,
        execute: (id) =>
          sql`
          SELECT s.verdict AS outcome, s.decided_by AS "decidedBy", s.campaign_id AS "campaignId",
                 s.user_id AS "userId", u.sha256, s.rules ->> 'version' AS "rulesVersion"
          FROM video.submissions s JOIN video.uploads u ON u.id = s.video_id
          WHERE s.id = ${id} AND s.verdict IS NOT NULL`
      })

      return ReviewStore.of({
        find: (id) => decoded(find(id)),
        queue: (status, after, limit) =>
          decoded(queue({
            status,
            at: Option.map(after, ({ at }) => at),
            id: Option.map(after, ({ id }) => id),
            limit
          })),
        ofCampaign: (campaignId, before, limit) =>
          decoded(ofCampaign({
            campaignId,
            at: Option.map(before, ({ at }) => at),
            id: Option.map(before, ({ id }) => id),
            limit
          })),
        decide,
        verdict: (id) => decoded(verdict(id))
      })
    })
  )
}

const queueAway = new Unavailable({ detail: "The queue did not answer. Nothing was done; try again.", retry_after: 1 })
