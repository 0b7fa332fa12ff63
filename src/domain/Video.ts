import { type DateTime, Option, Schema } from "effect"
import { CampaignId, SubmissionId, UserId, VideoId } from "./Ids.ts"
import { Instant } from "./Instant.ts"
import { Money } from "./Money.ts"
import { pageOf } from "./Page.ts"
import { Problem } from "./Problem.ts"
import { Check, Judgement, VerificationRules } from "./Verification.ts"

/** 200 MiB. */
export const largestUpload = 209_715_200
/** Uploads that one member may have begun and not finished. */
export const mostUnfinished = 2
/** How long an upload URL can be used to begin an upload. */
export const uploadUrlMinutes = 15
/** Submissions that may wait at once; beyond that the API says so instead of promising what it cannot keep. */
export const mostWaiting = 20_000
/** Attempts at a verification before it is a dead letter. */
export const mostAttempts = 3

export const ContentType = Schema.Literals(["video/mp4", "video/quicktime", "video/webm", "video/x-matroska"])
export const Sha256 = Schema.String.check(
  Schema.isPattern(/^[0-9a-f]{64}$/, { expected: "a SHA-256 digest, 64 hexadecimal digits in lower case" })
)

export const CreateUpload = Schema.Struct({
  bytes: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: largestUpload })),
  contentType: ContentType,
  sha256: Schema.optionalKey(Sha256)
}).annotate({ identifier: "CreateUpload" })
export type CreateUpload = typeof CreateUpload.Type

/** Where and how to send the bytes: they go to the video process, never through the API. */
export const UploadTicket = Schema.Struct({
  videoId: VideoId,
  uploadUrl: Schema.String,
  method: Schema.Literal("PUT"),
  headers: Schema.Record(Schema.String, Schema.String),
  expiresAt: Schema.DateTimeUtcFromString
}).annotate({ identifier: "UploadTicket" })
export type UploadTicket = typeof UploadTicket.Type

/** The video process's answer to the bytes. */
export const UploadedVideo = Schema.Struct({
  videoId: VideoId,
  status: Schema.Literal("complete"),
  bytes: Schema.Int,
  sha256: Sha256
}).annotate({ identifier: "UploadedVideo" })
export type UploadedVideo = typeof UploadedVideo.Type

export const VerifyVideo = Schema.Struct({
  videoId: VideoId,
  campaignId: Schema.optionalKey(CampaignId)
}).annotate({ identifier: "VerifyVideo" })
export type VerifyVideo = typeof VerifyVideo.Type

/** What a submission can be seen as. `reserving`, before its slot is certain, is never shown. */
export const SubmissionStatus = Schema.Literals([
  "queued",
  "verifying",
  "approved",
  "rejected",
  "needs_review",
  "failed"
])
export type SubmissionStatus = typeof SubmissionStatus.Type
export const StoredStatus = Schema.Literals(["reserving", ...SubmissionStatus.literals])

export const Verdict = Schema.Struct({
  outcome: Judgement.fields.outcome,
  reasons: Judgement.fields.reasons,
  by: Schema.String.annotate({ description: "\"worker\", or the id of the reviewer" })
}).annotate({ identifier: "Verdict" })

export const Submission = Schema.Struct({
  id: SubmissionId,
  campaignId: Schema.NullOr(CampaignId),
  videoId: VideoId,
  status: SubmissionStatus,
  checks: Schema.Array(Check),
  verdict: Schema.optionalKey(Verdict),
  reward: Schema.optionalKey(Money),
  thumbnailUrl: Schema.optionalKey(Schema.String),
  contactSheetUrl: Schema.optionalKey(Schema.String),
  attempts: Schema.Int,
  createdAt: Schema.DateTimeUtcFromString,
  updatedAt: Schema.DateTimeUtcFromString
}).annotate({ identifier: "Submission" })
export type Submission = typeof Submission.Type

/** A place in a list that runs from the newest to the oldest; opaque to callers. */
export const SubmissionCursor = Schema.StringFromBase64Url.pipe(
  Schema.decodeTo(Schema.fromJsonString(Schema.Tuple([Instant, SubmissionId])))
)
export type SubmissionCursor = typeof SubmissionCursor.Type

export const SubmissionPage = Schema.Struct({
  items: Schema.Array(Submission),
  nextCursor: Schema.NullOr(SubmissionCursor)
}).annotate({ identifier: "SubmissionPage" })
export type SubmissionPage = typeof SubmissionPage.Type

/** What was submitted to a campaign, for its sponsor: as the members see it, without saying who they are. */
export const CampaignSubmissions = pageOf(Submission).annotate({ identifier: "CampaignSubmissions" })
export type CampaignSubmissions = typeof CampaignSubmissions.Type

/** What the store keeps of a submission. */
export interface StoredSubmission {
  readonly id: SubmissionId
  readonly userId: UserId
  readonly campaignId: Option.Option<CampaignId>
  readonly videoId: VideoId
  readonly status: typeof StoredStatus.Type
  readonly rules: VerificationRules
  readonly reward: Option.Option<Money>
  readonly checks: ReadonlyArray<Check>
  readonly reasons: ReadonlyArray<string>
  readonly decidedBy: Option.Option<string>
  readonly attempts: number
  readonly hasPictures: boolean
  readonly createdAt: DateTime.Utc
  readonly updatedAt: DateTime.Utc
}

const verdictOf = (stored: StoredSubmission): Option.Option<typeof Verdict.Type> => {
  const { decidedBy, reasons, status } = stored
  return (status === "approved" || status === "rejected" || status === "needs_review")
    ? Option.map(decidedBy, (by) => ({ outcome: status, reasons, by }))
    : Option.none()
}

/** A submission as its owner sees it: none while its slot is not certain, the reward once it is earned. */
export const view = (stored: StoredSubmission): Option.Option<Submission> => {
  const { status } = stored
  if (status === "reserving") return Option.none()
  return Option.some({
    id: stored.id,
    campaignId: Option.getOrNull(stored.campaignId),
    videoId: stored.videoId,
    status,
    checks: stored.checks,
    ...Option.match(verdictOf(stored), { onNone: () => ({}), onSome: (verdict) => ({ verdict }) }),
    ...(status === "approved" && Option.isSome(stored.reward) ? { reward: stored.reward.value } : {}),
    attempts: stored.attempts,
    createdAt: stored.createdAt,
    updatedAt: stored.updatedAt
  })
}

export class UploadUnfinished extends Problem<UploadUnfinished>()("UploadUnfinished", {
  type: "/problems/upload-unfinished",
  status: 409,
  title: "The video's bytes have not arrived yet"
}, { code: Schema.tag("UploadUnfinished"), video_id: VideoId }) {}

export class VideoAlreadySubmitted extends Problem<VideoAlreadySubmitted>()("VideoAlreadySubmitted", {
  type: "/problems/video-already-submitted",
  status: 409,
  title: "This video was already submitted there"
}, { code: Schema.tag("VideoAlreadySubmitted"), video_id: VideoId }) {}

/** What the API knows of the processes that verify: which were alive at the last look, and how often one was replaced. */
export interface ProcessWatch {
  readonly alive: ReadonlyArray<string>
  readonly lost: number
  readonly restarts: number
}

export const unwatched: ProcessWatch = { alive: [], lost: 0, restarts: 0 }

/**
 * The next look: a process that has gone is lost, and a new one counts as the restart of a lost one. One more beside those
 * that are alive is growth, and the first ever is a start.
 */
export const look = (before: ProcessWatch, fresh: ReadonlyArray<string>): ProcessWatch => {
  const lost = before.lost + before.alive.filter((id) => !fresh.includes(id)).length
  const restarted = Math.min(lost, fresh.filter((id) => !before.alive.includes(id)).length)
  return { alive: fresh, lost: lost - restarted, restarts: before.restarts + restarted }
}
