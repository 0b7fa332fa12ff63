import { DateTime, Duration, Effect, Option } from "effect"
import { SecureRandom } from "effect/crypto"
import { CampaignId, SubmissionId, UserId, VideoId } from "../../domain/Ids.ts"
import { Amount } from "../../domain/Money.ts"
import { defaultRules } from "../../domain/Verification.ts"
import type { UploadStore } from "../../services/UploadStore.ts"
import type { VerificationStore } from "../../services/VerificationStore.ts"
import type { VideoStore } from "../../services/VideoStore.ts"
import { after, named, type Uses } from "./NamedQuery.ts"
import type { Samples } from "./Samples.ts"

type Videos = VideoStore["Service"]
type Verifications = VerificationStore["Service"]
type Uploads = UploadStore["Service"]

const fresh = <A>(schema: { readonly make: (value: string) => A }) => schema.make(SecureRandom.uuidV7Unsafe())
const digest = "0".repeat(64)
const requestId = "doctor"

export const videoQueries = (
  videos: Videos,
  work: Verifications,
  uploads: Uploads,
  real: Samples,
  now: DateTime.Utc
) => {
  const upload = {
    id: fresh(VideoId),
    userId: fresh(UserId),
    bytes: 1,
    contentType: "video/mp4",
    sha256: Option.none(),
    expiresAt: DateTime.add(now, { minutes: 15 })
  } as const
  const campaignId = fresh(CampaignId)
  const submission = {
    id: fresh(SubmissionId),
    userId: upload.userId,
    campaignId: Option.some(campaignId),
    videoId: upload.id,
    status: "reserving",
    rules: defaultRules,
    requestId,
    traceparent: Option.none()
  } as const
  const queued = { ...submission, campaignId: Option.none(), status: "queued" } as const
  const addUpload = videos.addUpload(upload)
  const uploaded = Effect.andThen(addUpload, uploads.complete(upload.id, digest))
  const reserving = Effect.andThen(addUpload, videos.addSubmission(submission))
  const enqueue = videos.enqueue({
    id: submission.id,
    reward: { amount: Amount.make(1n), currency: "USD" },
    rules: defaultRules
  })
  const verifying = uploaded.pipe(
    Effect.andThen(videos.addSubmission(queued)),
    Effect.andThen(work.begin(queued.id, 1))
  )
  const settlement = Option.some({ requestId, traceparent: Option.none(), submissionId: submission.id })

  const ofVideos: Uses<Videos> = {
    addUpload,
    uploadStatus: videos.uploadStatus(real.videoId, real.submitter),
    submission: videos.submission(real.submissionId),
    addSubmission: after(addUpload, videos.addSubmission(queued)),
    enqueue: after(reserving, enqueue),
    abandon: after(reserving, videos.abandon(submission.id)),
    queueIsFull: videos.queueIsFull,
    stuckReservations: videos.stuckReservations,
    page: [
      videos.page(real.submitter, Option.none(), 20),
      videos.page(real.submitter, Option.some([now, real.submissionId] as const), 20)
    ],
    aliveProcesses: videos.aliveProcesses
  }
  const ofUploads: Uses<Uploads> = {
    find: uploads.find(real.videoId),
    among: uploads.among([real.videoId, upload.id]),
    begin: after(addUpload, uploads.begin(upload.id)),
    complete: after(addUpload, uploads.complete(upload.id, digest)),
    cancel: after(addUpload, uploads.cancel(upload.id)),
    forget: uploads.forget,
    retire: uploads.retire(Duration.days(30))
  }
  const ofVerifications: Uses<Verifications> = {
    begin: after(Effect.andThen(uploaded, videos.addSubmission(queued)), work.begin(queued.id, 1)),
    decide: after(
      verifying,
      work.decide(
        { submissionId: queued.id, outcome: "approved", checks: [], reasons: [], hasPictures: false },
        settlement
      )
    ),
    fail: after(verifying, work.fail(queued.id)),
    failDeadLetters: after(verifying, work.failDeadLetters),
    takeOver: after(verifying, work.takeOver),
    beat: work.beat("ok"),
    leave: after(work.beat("ok"), work.leave)
  }
  return [
    ...named("VideoStore", ofVideos),
    ...named("UploadStore", ofUploads),
    ...named("VerificationStore", ofVerifications)
  ]
}
