import { DateTime, Effect, Option } from "effect"
import { SecureRandom } from "effect/crypto"
import { SubmissionId, UserId, VideoId } from "../../domain/Ids.ts"
import { defaultRules } from "../../domain/Verification.ts"
import type { FingerprintStore } from "../../services/FingerprintStore.ts"
import type { UploadStore } from "../../services/UploadStore.ts"
import type { VideoStore } from "../../services/VideoStore.ts"
import { after, named, type Uses } from "./NamedQuery.ts"

type Fingerprints = FingerprintStore["Service"]

/** As many keys as a video of a minute is looked up by. */
const keys = Array.from({ length: 1_200 }, (_, at) => at * 1_741)
const frames = new Uint8Array(16)

export const fingerprintQueries = (
  prints: Fingerprints,
  videos: VideoStore["Service"],
  uploads: UploadStore["Service"],
  now: DateTime.Utc
) => {
  const userId = UserId.make(SecureRandom.uuidV7Unsafe())
  const submitted = (id: SubmissionId) => {
    const videoId = VideoId.make(id)
    const upload = {
      id: videoId,
      userId,
      bytes: 1,
      contentType: "video/mp4",
      sha256: Option.none(),
      expiresAt: DateTime.add(now, { minutes: 15 })
    } as const
    const submission = {
      id,
      userId,
      campaignId: Option.none(),
      videoId,
      status: "queued",
      rules: defaultRules,
      requestId: "doctor",
      traceparent: Option.none()
    } as const
    return videos.addUpload(upload).pipe(
      Effect.andThen(uploads.complete(videoId, "0".repeat(64))),
      Effect.andThen(videos.addSubmission(submission))
    )
  }
  const [id, other] = [SubmissionId.make(SecureRandom.uuidV7Unsafe()), SubmissionId.make(SecureRandom.uuidV7Unsafe())]
  const remembered = (one: SubmissionId) =>
    Effect.andThen(submitted(one), prints.remember({ submissionId: one, frames, keys: [1, 2, 3] }))
  const again = prints.remember({ submissionId: id, frames, keys: [1, 2, 3] })
  const ofFingerprints: Uses<Fingerprints> = {
    remember: after(submitted(id), Effect.andThen(again, again)),
    sameFile: prints.sameFile("9223372036854775807"),
    candidates: prints.candidates("9223372036854775807", keys),
    keep: Effect.flatMap(
      Effect.all([remembered(id), remembered(other)]),
      ([earlier, position]) => prints.keep(position, earlier, { sure: true, match: Option.none() })
    )
  }
  return named("FingerprintStore", ofFingerprints)
}
