import { Context, DateTime, Effect, Layer, Option, Result } from "effect"
import { SubmissionId, type UserId, VideoId } from "../domain/Ids.ts"
import { MoneyRequest } from "../domain/MoneyRequest.ts"
import { NotFound, TooManyRequests, Unavailable } from "../domain/Problem.ts"
import type { CampaignFull, CampaignNotActive, MemberCapReached } from "../domain/Rewards.ts"
import { UploadQuotaReached } from "../domain/Uploads.ts"
import { defaultRules } from "../domain/Verification.ts"
import {
  type CreateUpload,
  type Submission,
  type SubmissionCursor,
  type SubmissionPage,
  type UploadTicket,
  UploadUnfinished,
  uploadUrlMinutes,
  type VerifyVideo,
  VideoAlreadySubmitted,
  view
} from "../domain/Video.ts"
import { currentOrigin } from "./Commands.ts"
import { withDatabase } from "./Database.ts"
import { newId } from "./NewId.ts"
import { PictureUrls } from "./PictureUrls.ts"
import { Rewards } from "./Rewards.ts"
import type { SubmissionRow } from "./SubmissionRow.ts"
import { UploadUrls } from "./UploadUrls.ts"
import { VideoSettings } from "./VideoSettings.ts"
import { VideoStore } from "./VideoStore.ts"

export type SlotRefused = NotFound | CampaignNotActive | CampaignFull | MemberCapReached

const notFound = new NotFound({ detail: "You have nothing by that id." })
const notKept = new NotFound({ detail: "The video's bytes are not kept any more. Upload it again." })
const lapsed = new Unavailable({ detail: "The slot could not be kept. Nothing was done; try again.", retry_after: 1 })

/** What members do with videos, on the API's side: announce uploads, ask for verification, read what came of it. */
export class Videos extends Context.Service<Videos, {
  createUpload(
    owner: UserId,
    upload: CreateUpload
  ): Effect.Effect<UploadTicket, TooManyRequests | UploadQuotaReached | Unavailable>
  /** The submission is named by the operation, so asking again with the same key finds it, whatever had happened. */
  verify(request: VerifyVideo): Effect.Effect<
    Submission,
    SlotRefused | UploadUnfinished | VideoAlreadySubmitted | Unavailable,
    MoneyRequest
  >
  submission(owner: UserId, id: SubmissionId): Effect.Effect<Submission, NotFound | Unavailable>
  submissions(
    owner: UserId,
    before: Option.Option<SubmissionCursor>,
    limit: number
  ): Effect.Effect<SubmissionPage, Unavailable>
  /** Finishes or undoes what a request left between its two transactions; answers how many there were. */
  readonly settleReservations: Effect.Effect<number, Unavailable>
}>()("midnight/services/video/Videos") {
  static readonly layer = Layer.effect(
    Videos,
    Effect.gen(function*() {
      const store = yield* VideoStore
      const { mostStored, mostUnfinished, mostWaiting } = yield* VideoSettings
      const rewards = yield* Rewards
      const urls = yield* UploadUrls
      const pictures = yield* PictureUrls

      const createUpload = Effect.fn("Videos.createUpload")(function*(userId: UserId, upload: CreateUpload) {
        const videoId = yield* newId(VideoId)
        const now = yield* DateTime.now
        const expiresAt = DateTime.startOf(DateTime.add(now, { minutes: uploadUrlMinutes }), "second")
        const sha256 = Option.fromUndefinedOr(upload.sha256)
        const { bytes, contentType } = upload
        const added = yield* withDatabase(
          store.addUpload({ id: videoId, userId, bytes, contentType, sha256, expiresAt })
        )
        if (added._tag === "TooMuch") {
          return yield* new UploadQuotaReached({
            detail: "Bytes become free when a video has been decided for a while, or an unfinished upload ends.",
            limit_bytes: mostStored,
            stored_bytes: added.stored
          })
        }
        if (added._tag === "TooMany") {
          const seconds = (DateTime.toEpochMillis(added.until) - DateTime.toEpochMillis(now)) / 1_000
          return yield* new TooManyRequests({
            detail: `${mostUnfinished} uploads are unfinished. Finish one or take it back, or wait until it ends.`,
            policy: "unfinished-uploads",
            retry_after: Math.max(1, Math.ceil(seconds))
          })
        }
        const uploadUrl = yield* urls.make({ videoId, bytes, expiresAt })
        return { videoId, uploadUrl, method: "PUT" as const, headers: { "content-type": contentType }, expiresAt }
      })

      /** From `reserving` to `queued`, or to nothing. Both steps may have been done before. */
      const reserveSlot = Effect.fnUntraced(function*(row: SubmissionRow) {
        if (Option.isNone(row.campaignId)) return row
        const { campaignId: { value: campaignId }, id, userId } = row
        const reserved = yield* Effect.result(rewards.reserve({ campaignId, submissionId: id, userId }))
        if (Result.isFailure(reserved)) {
          // A refusal is an answer, and leaves no slot; after Unavailable nobody knows, and the sweeper asks again.
          if (reserved.failure._tag === "Unavailable") return yield* Effect.fail(reserved.failure)
          // Refused to this request, while another of the same key may have got the slot: that one's hold stays.
          const other = yield* withDatabase(store.abandon(id))
          if (Option.isSome(other) && other.value.status !== "reserving") return other.value
          return yield* Effect.fail(reserved.failure)
        }
        const slot = reserved.success
        const queued = yield* withDatabase(store.enqueue({ id, reward: slot.reward, rules: slot.rules }))
        if (Option.isSome(queued)) return queued.value
        yield* rewards.release(id)
        return yield* lapsed
      })

      const admit = Effect.fnUntraced(
        function*(id: SubmissionId, userId: UserId, { campaignId, videoId }: VerifyVideo) {
          const known = yield* withDatabase(store.submission(id))
          if (Option.isSome(known)) return known.value
          const upload = yield* withDatabase(store.uploadStatus(videoId, userId))
          if (Option.isNone(upload)) return yield* notFound
          if (upload.value === "removed") return yield* notKept
          if (upload.value === "pending") {
            return yield* new UploadUnfinished({ detail: "Send the bytes to the upload URL first.", video_id: videoId })
          }
          if (yield* withDatabase(store.queueIsFull)) {
            return yield* new Unavailable({
              detail: `${mostWaiting} submissions are waiting, which is as many as Midnight takes.`,
              retry_after: 30
            })
          }
          const added = yield* withDatabase(store.addSubmission({
            id,
            userId,
            videoId,
            campaignId: Option.fromUndefinedOr(campaignId),
            status: campaignId === undefined ? "queued" : "reserving",
            rules: defaultRules,
            ...(yield* currentOrigin)
          }))
          if (added === "removed") return yield* notKept
          const row = added === "added" ? yield* withDatabase(store.submission(id)) : Option.none()
          if (Option.isSome(row)) return row.value
          return yield* new VideoAlreadySubmitted({
            detail: "A video is verified once per campaign, and once without one.",
            video_id: videoId
          })
        }
      )

      const shown = Effect.fnUntraced(function*(row: SubmissionRow) {
        const submission = yield* Effect.mapError(Effect.fromOption(view(row)), () => notFound)
        return { ...submission, ...(yield* pictures.of(row)) }
      })

      const verify = Effect.fn("Videos.verify")(function*(request: VerifyVideo) {
        const { operationId, userId } = yield* MoneyRequest
        const id = SubmissionId.make(operationId)
        yield* Effect.annotateCurrentSpan({ "midnight.submission.id": id, "midnight.video.id": request.videoId })
        const row = yield* admit(id, userId, request)
        return yield* shown(row.status === "reserving" ? yield* reserveSlot(row) : row)
      })

      const submission = Effect.fn("Videos.submission")(function*(owner: UserId, id: SubmissionId) {
        const row = yield* withDatabase(store.submission(id))
        if (Option.isNone(row) || row.value.userId !== owner) return yield* notFound
        return yield* shown(row.value)
      })

      const submissions = Effect.fn("Videos.submissions")(
        function*(owner: UserId, before: Option.Option<SubmissionCursor>, limit: number) {
          const rows = yield* withDatabase(store.page(owner, before, limit + 1))
          const items = rows.slice(0, limit)
          const last = items.at(-1)
          return {
            // The page leaves out reservations, so each row is shown.
            items: yield* Effect.orDie(Effect.forEach(items, shown)),
            nextCursor: rows.length > limit && last !== undefined ? [last.createdAt, last.id] as const : null
          }
        }
      )

      const settleReservations = Effect.gen(function*() {
        const stuck = yield* withDatabase(store.stuckReservations)
        for (const row of stuck) {
          yield* reserveSlot(row).pipe(
            Effect.catch((error) => Effect.logInfo(`The reservation ${row.id} was not finished: ${error._tag}`))
          )
        }
        return stuck.length
      }).pipe(Effect.withSpan("Videos.settleReservations"))

      return Videos.of({ createUpload, verify, submission, submissions, settleReservations })
    })
  )
}
