import { Context, DateTime, Effect, Layer, Option, Semaphore, type Stream } from "effect"
import type { VideoId } from "../domain/Ids.ts"
import { NotFound, PayloadTooLarge, Unavailable } from "../domain/Problem.ts"
import {
  type StorageFull,
  UploadDigestMismatch,
  type UploadedVideo,
  UploadSizeMismatch,
  UploadUrlExpired,
  UploadUrlInvalid
} from "../domain/Video.ts"
import { withDatabase } from "./Database.ts"
import { Spool } from "./Spool.ts"
import { type UploadGrant, UploadUrls } from "./UploadUrls.ts"
import { VerificationStore } from "./VerificationStore.ts"

/** Uploads that one process takes at once; each holds a connection, a file and a chunk. */
const mostAtOnce = 64
/** … and of one video: a sender whose connection hangs, and the same once more. A URL that leaked takes no more places. */
const mostOfOne = 2

export interface UploadRequest<E> extends UploadGrant {
  readonly signature: string
  /** What the sender says it will send. */
  readonly declaredBytes: Option.Option<number>
  readonly body: Stream.Stream<Uint8Array, E>
}

export type UploadRefused =
  | UploadUrlInvalid
  | UploadUrlExpired
  | NotFound
  | PayloadTooLarge
  | UploadSizeMismatch
  | UploadDigestMismatch
  | StorageFull
  | Unavailable

const tooLarge = (limit: number) =>
  new PayloadTooLarge({ limit_bytes: limit, detail: `The upload was announced with ${limit} bytes.` })

/** Takes the bytes of uploads, in the video process. */
export class Uploads extends Context.Service<Uploads, {
  /** A repetition of a finished upload is answered as the first was, and its body is not read. */
  receive<E>(request: UploadRequest<E>): Effect.Effect<UploadedVideo, E | UploadRefused>
  /** Removes what was begun and never finished. */
  readonly sweep: Effect.Effect<void, Unavailable>
}>()("midnight/services/video/Uploads") {
  static readonly layer = Layer.effect(
    Uploads,
    Effect.gen(function*() {
      const store = yield* VerificationStore
      const spool = yield* Spool
      const urls = yield* UploadUrls
      const places = yield* Semaphore.make(mostAtOnce)

      const underWay = new Map<VideoId, number>()
      const enter = (videoId: VideoId) =>
        Effect.suspend(() => {
          const present = underWay.get(videoId) ?? 0
          if (present >= mostOfOne) return Effect.fail(repeated)
          underWay.set(videoId, present + 1)
          return Effect.void
        })
      const leave = (videoId: VideoId) =>
        Effect.sync(() => {
          const present = underWay.get(videoId) ?? 0
          if (present <= 1) underWay.delete(videoId)
          else underWay.set(videoId, present - 1)
        })

      const done = (grant: UploadGrant, sha256: string): UploadedVideo => ({
        videoId: grant.videoId,
        status: "complete",
        bytes: grant.bytes,
        sha256
      })

      const keep = Effect.fnUntraced(
        function*<E>({ body, bytes, videoId }: UploadRequest<E>, expected: Option.Option<string>) {
          const received = yield* spool.receive(videoId, body, bytes)
          if (received.bytes < bytes) {
            return yield* new UploadSizeMismatch({
              detail: "The upload ended early. Send all of it again to the same URL.",
              expected_bytes: bytes,
              received_bytes: received.bytes
            })
          }
          if (Option.isSome(expected) && expected.value !== received.sha256) {
            return yield* new UploadDigestMismatch({
              detail: "Nothing was kept. Send the file that was announced.",
              expected_sha256: expected.value,
              received_sha256: received.sha256
            })
          }
          yield* received.keep
          return received.sha256
        },
        Effect.scoped
      )

      /** The bytes first, then the word of the database: a crash in between leaves a file that nothing names. */
      const finish = Effect.fnUntraced(function*(videoId: VideoId, sha256: string) {
        const winner = yield* withDatabase(store.completeUpload(videoId, sha256))
        if (Option.isNone(winner)) return yield* unknown
        if (winner.value !== sha256) yield* spool.remove(videoId, sha256)
        return winner.value
      })

      const receive = Effect.fn("Uploads.receive")(function*<E>(request: UploadRequest<E>) {
        const { bytes, declaredBytes, videoId } = request
        yield* Effect.annotateCurrentSpan("midnight.video.id", videoId)
        if (!(yield* urls.verify(request, request.signature))) {
          return yield* new UploadUrlInvalid({ detail: "The signature does not fit. Use the URL as it was given." })
        }
        if (DateTime.isLessThanOrEqualTo(request.expiresAt, yield* DateTime.now)) {
          return yield* new UploadUrlExpired({ detail: "Announce the upload again to get a new URL." })
        }
        const upload = yield* withDatabase(store.upload(videoId))
        if (Option.isNone(upload)) return yield* unknown
        if (Option.isSome(upload.value.sha256)) return done(request, upload.value.sha256.value)
        if (Option.exists(declaredBytes, (declared) => declared > bytes)) return yield* tooLarge(bytes)
        const { expectedSha256 } = upload.value
        const sha256 = yield* Effect.acquireUseRelease(
          enter(videoId),
          () => places.withPermitsIfAvailable(1)(keep(request, expectedSha256)),
          () => leave(videoId)
        )
        if (Option.isNone(sha256)) return yield* busy
        return done(request, yield* finish(videoId, sha256.value))
      })

      const sweep = Effect.gen(function*() {
        const files = yield* spool.sweep
        if (files > 0) yield* Effect.logInfo(`Removed ${files} abandoned uploads`)
        yield* withDatabase(store.forgetUploads)
      }).pipe(Effect.withSpan("Uploads.sweep"))

      return Uploads.of({ receive, sweep })
    })
  )
}

const unknown = new NotFound({ detail: "No upload has this id." })
const repeated = new Unavailable({ detail: "The video is being sent already. Try again.", retry_after: 5 })
const busy = new Unavailable({ detail: `${mostAtOnce} uploads are under way. Try again.`, retry_after: 5 })
