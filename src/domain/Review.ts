import { DateTime, Option, Schema } from "effect"
import { CampaignId, SubmissionId, UserId } from "./Ids.ts"
import { Money } from "./Money.ts"
import { pageOf, pageQuery } from "./Page.ts"
import { Problem } from "./Problem.ts"
import { type StoredSubmission, Submission, SubmissionStatus, view } from "./Video.ts"

/** A decision that a person took, or the worker: written once per submission. */
export const DecidedOutcome = Schema.Literals(["approved", "rejected"])
export type DecidedOutcome = typeof DecidedOutcome.Type

export const DecideSubmission = Schema.Struct({
  decision: Schema.Literals(["approve", "reject"]),
  reason: Schema.String.check(Schema.isPattern(/\S/, { expected: "words" }), Schema.isMaxLength(1_000)).annotate({
    description:
      "For the member, and kept for good: no place for personal data. The audit log has its first 280 characters"
  })
}).annotate({ identifier: "DecideSubmission" })
export type DecideSubmission = typeof DecideSubmission.Type

export const outcomeOf = { approve: "approved", reject: "rejected" } as const

/** An earlier submission that shows the same, and the seconds of each between which they agree. */
export const EarlierVideo = Schema.Struct({
  submissionId: SubmissionId,
  kind: Schema.Literals(["file", "pictures"]),
  sure: Schema.Boolean,
  mirrored: Schema.Boolean,
  from: Schema.Finite,
  to: Schema.Finite,
  earlierFrom: Schema.Finite,
  earlierTo: Schema.Finite
}).annotate({ identifier: "EarlierVideo" })

/** A submission as a reviewer sees it: whose it is, what an approval pays, and when it was decided. */
export const ReviewSubmission = Schema.Struct({
  ...Submission.fields,
  userId: UserId,
  reward: Schema.NullOr(Money).annotate({ description: "What an approval pays; null without a campaign" }),
  decidedAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  seenBefore: Schema.NullOr(EarlierVideo).annotate({ description: "The earlier submission that it repeats, if any" })
}).annotate({ identifier: "ReviewSubmission" })
export type ReviewSubmission = typeof ReviewSubmission.Type

export const ReviewPage = pageOf(ReviewSubmission).annotate({ identifier: "ReviewPage" })

/** The oldest first. Without a status: those that wait for a person. */
export const reviewQuery = { ...pageQuery, status: Schema.optionalKey(SubmissionStatus) }

export interface ReviewableSubmission extends StoredSubmission {
  readonly decidedAt: Option.Option<DateTime.Utc>
  readonly seenBefore: Option.Option<typeof EarlierVideo.Type>
}

export const reviewView = (stored: ReviewableSubmission): Option.Option<ReviewSubmission> =>
  Option.map(view(stored), (shown) => ({
    ...shown,
    userId: stored.userId,
    reward: Option.getOrNull(stored.reward),
    decidedAt: Option.getOrNull(stored.decidedAt),
    seenBefore: Option.getOrNull(stored.seenBefore)
  }))

/** What the money side needs of a verdict: the outcome, for whom, and what justified it. */
export interface SettledVerdict {
  readonly outcome: DecidedOutcome
  readonly campaignId: CampaignId
  readonly userId: UserId
  readonly reference: Readonly<Record<string, string>>
}

export class AlreadyDecided extends Problem<AlreadyDecided>()("AlreadyDecided", {
  type: "/problems/already-decided",
  status: 409,
  title: "The submission has its verdict, which is written once"
}, {
  code: Schema.tag("AlreadyDecided"),
  submission_id: SubmissionId,
  outcome: DecidedOutcome,
  decided_by: Schema.String
}) {}

export class OwnSubmission extends Problem<OwnSubmission>()("OwnSubmission", {
  type: "/problems/own-submission",
  status: 403,
  title: "Somebody else decides your submission"
}, { code: Schema.tag("OwnSubmission"), submission_id: SubmissionId }) {}

/** A sponsor pays what is approved and gets back what is rejected, and so judges neither. */
export class OwnCampaign extends Problem<OwnCampaign>()("OwnCampaign", {
  type: "/problems/own-campaign",
  status: 403,
  title: "Somebody else decides what is submitted to your campaign"
}, { code: Schema.tag("OwnCampaign"), submission_id: SubmissionId, campaign_id: CampaignId }) {}
