import { Schema } from "effect"
import { CampaignId, SubmissionId, UserId, VideoId } from "../domain/Ids.ts"
import { Money } from "../domain/Money.ts"
import { Check, VerificationRules } from "../domain/Verification.ts"
import { StoredStatus } from "../domain/Video.ts"

/** What the store keeps of a submission, with the request that it came from. */
export const SubmissionRow = Schema.Struct({
  id: SubmissionId,
  userId: UserId,
  campaignId: Schema.OptionFromNullOr(CampaignId),
  videoId: VideoId,
  status: StoredStatus,
  rules: VerificationRules,
  reward: Schema.OptionFromNullOr(Money),
  checks: Schema.Array(Check),
  reasons: Schema.Array(Schema.String),
  decidedBy: Schema.OptionFromNullOr(Schema.String),
  attempts: Schema.Int,
  hasPictures: Schema.Boolean,
  requestId: Schema.String,
  traceparent: Schema.OptionFromNullOr(Schema.String),
  createdAt: Schema.DateTimeUtcFromDate,
  updatedAt: Schema.DateTimeUtcFromDate
})
export type SubmissionRow = typeof SubmissionRow.Type

export const submissionColumns =
  `id, user_id AS "userId", campaign_id AS "campaignId", video_id AS "videoId", status, rules,
  CASE WHEN reward_amount IS NOT NULL THEN jsonb_build_object('amount', reward_amount, 'currency', reward_currency) END AS reward,
  checks, reasons, decided_by AS "decidedBy", attempts, has_pictures AS "hasPictures", request_id AS "requestId", traceparent,
  created_at AS "createdAt", updated_at AS "updatedAt"`
