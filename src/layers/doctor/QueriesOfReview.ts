import { DateTime, Effect, Option } from "effect"
import { SecureRandom } from "effect/crypto"
import { CampaignId, SubmissionId, UserId, VideoId } from "../../domain/Ids.ts"
import { Amount } from "../../domain/Money.ts"
import { defaultRules } from "../../domain/Verification.ts"
import type { ReviewStore } from "../../services/ReviewStore.ts"
import type { VideoStore } from "../../services/VideoStore.ts"
import { after, named, type Uses } from "./NamedQuery.ts"
import type { Samples } from "./Samples.ts"

type Reviews = ReviewStore["Service"]

const fresh = <A>(schema: { readonly make: (value: string) => A }) => schema.make(SecureRandom.uuidV7Unsafe())

export const reviewQueries = (store: Reviews, videos: VideoStore["Service"], real: Samples, now: DateTime.Utc) => {
  const upload = {
    id: fresh(VideoId),
    userId: fresh(UserId),
    bytes: 1,
    contentType: "video/mp4",
    sha256: Option.none(),
    expiresAt: DateTime.add(now, { minutes: 15 })
  } as const
  const submission = {
    id: fresh(SubmissionId),
    userId: upload.userId,
    campaignId: Option.some(fresh(CampaignId)),
    videoId: upload.id,
    status: "reserving",
    rules: defaultRules,
    requestId: "doctor",
    traceparent: Option.none()
  } as const
  const queued = videos.addUpload(upload).pipe(
    Effect.andThen(videos.addSubmission(submission)),
    Effect.andThen(
      videos.enqueue({ id: submission.id, reward: { amount: Amount.make(1n), currency: "USD" }, rules: defaultRules })
    )
  )
  const uses: Uses<Reviews> = {
    find: store.find(real.submissionId),
    queue: [
      store.queue("needs_review", Option.none(), 20),
      store.queue("needs_review", Option.some({ at: DateTime.formatIso(now), id: submission.id }), 20)
    ],
    ofCampaign: [
      store.ofCampaign(real.campaignId, Option.none(), 20),
      store.ofCampaign(real.campaignId, Option.some({ at: DateTime.formatIso(now), id: submission.id }), 20)
    ],
    decide: after(
      queued,
      store.decide(
        { submissionId: submission.id, reviewerId: fresh(UserId), outcome: "approved", reasons: ["doctor"] },
        { requestId: "doctor", traceparent: Option.none(), submissionId: submission.id }
      )
    ),
    verdict: store.verdict(real.submissionId)
  }
  return named("ReviewStore", uses)
}
