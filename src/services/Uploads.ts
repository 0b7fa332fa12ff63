import { Context, DateTime, type Duration, Effect, Layer, Option, type Stream } from "effect"
import type { VideoId } from "../domain/Ids.ts"
import { NotFound, PayloadTooLarge, type Unavailable } from "../domain/Problem.ts"
import {
  type Checksum,
  resumableHours,
  type StorageFull,
  type UploadChecksumMismatch,
  UploadComplete,
  UploadDigestMismatch,
  UploadOffsetMismatch,
  UploadSizeMismatch,
  type UploadTooSlow,
  UploadUrlExpired,
  UploadUrlInvalid
} from "../domain/Uploads.ts"
import type { UploadedVideo } from "../domain/Video.ts"
import { withDatabase } from "./Database.ts"
import { type Received, Spool } from "./Spool.ts"
import { makeUploadPlaces, type Pace, type Yielding } from "./UploadPlaces.ts"
import { type UploadRow, UploadStore } from "./UploadStore.ts"
import { sweepSpool } from "./UploadSweep.ts"
import { type UploadGrant, UploadUrls } from "./UploadUrls.ts"

/** An upload URL, taken apart. */
export interface SignedGrant extends UploadGrant {
  readonly signature: string
}

export interface WholeUpload<E> extends SignedGrant {
  /** What the sender says it will send. */
  readonly declaredBytes: Option.Option<number>
  readonly body: Stream.Stream<Uint8Array, E>
}

export interface NextBytes<E> extends SignedGrant {
  readonly offset: number
  readonly checksum: Option.Option<Checksum>
  readonly body: Stream.Stream<Uint8Array, E>
}

/** How far a resumable upload is, and until when it can go on. */
export interface Progress {
  readonly offset: number
  readonly length: number
  readonly until: DateTime.Utc
}

type UrlRefused = UploadUrlInvalid | UploadUrlExpired | NotFound | Unavailable
type FinishRefused = UrlRefused | UploadDigestMismatch | StorageFull
type BodyRefused = FinishRefused | PayloadTooLarge | UploadTooSlow

export interface UploadSettings {
  readonly pace: Pace
  /** How long a video is kept after its last decision. */
  readonly retention: Duration.Duration
}

const tooLarge = (limit: number) =>
  new PayloadTooLarge({ limit_bytes: limit, detail: `The upload was announced with ${limit} bytes.` })
const unknown = new NotFound({ detail: "No upload has this id." })
const forged = new UploadUrlInvalid({ detail: "The signature does not fit. Use the URL as it was given." })
const expired = new UploadUrlExpired({ detail: "Announce the upload again to get a new URL." })

/** Takes the bytes of uploads, in the video process: all at once, or in stretches that can be resumed. */
export class Uploads extends Context.Service<Uploads, {
  /** A repetition of a finished upload is answered as the first was, and its body is not read. */
  receive<E>(request: WholeUpload<E>): Effect.Effect<UploadedVideo, E | BodyRefused | UploadSizeMismatch>
  /** Ends whoever else is writing, so the answer holds. */
  progress(grant: SignedGrant): Effect.Effect<Progress, FinishRefused>
  /** Goes on at `offset`. The last byte finishes the upload. */
  append<E>(
    request: NextBytes<E>
  ): Effect.Effect<Progress, E | BodyRefused | UploadOffsetMismatch | UploadChecksumMismatch>
  /** Takes back an upload that is not finished: its bytes, its row, and its share of the member's limits. */
  cancel(grant: SignedGrant): Effect.Effect<void, UrlRefused | UploadComplete>
  /** Removes what was begun and never finished, what nothing refers to, and what has been kept long enough. */
  readonly sweep: Effect.Effect<void, Unavailable>
}>()("midnight/services/video/Uploads") {
  static readonly layer = ({ pace, retention }: UploadSettings) =>
    Layer.effect(
      Uploads,
      Effect.gen(function*() {
        const store = yield* UploadStore
        const spool = yield* Spool
        const urls = yield* UploadUrls
        const places = yield* makeUploadPlaces(pace)

        /** What a URL stands for. One whose time is over may go on with what was begun in time. */
        const opened = Effect.fnUntraced(function*(grant: SignedGrant, resuming: boolean) {
          const { expiresAt, signature, videoId } = grant
          yield* Effect.annotateCurrentSpan("midnight.video.id", videoId)
          if (!(yield* urls.verify(grant, signature))) return yield* forged
          const now = yield* DateTime.now
          if (DateTime.isLessThanOrEqualTo(expiresAt, now)) {
            const over = DateTime.isLessThanOrEqualTo(endOf(grant), now)
            if (!resuming || over || (yield* spool.offset(videoId)) === 0) return yield* expired
          }
          const upload = yield* withDatabase(store.find(videoId))
          return yield* Option.match(upload, { onNone: () => Effect.fail(unknown), onSome: Effect.succeed })
        })

        /** The bytes first, then the word of the database: a crash in between leaves a file that nothing names. */
        const finish = Effect.fnUntraced(function*({ expectedSha256, id }: UploadRow, received: Received) {
          if (Option.isSome(expectedSha256) && expectedSha256.value !== received.sha256) {
            return yield* new UploadDigestMismatch({
              detail: "Nothing was kept. Send the file that was announced.",
              expected_sha256: expectedSha256.value,
              received_sha256: received.sha256
            })
          }
          yield* received.keep
          const winner = Option.flatMap(
            yield* withDatabase(store.complete(id, received.sha256)),
            ({ sha256 }) => sha256
          )
          if (Option.isNone(winner)) return yield* unknown
          if (winner.value !== received.sha256) yield* spool.remove(id, received.sha256)
          return winner.value
        })

        const receive = Effect.fn("Uploads.receive")(function*<E>(request: WholeUpload<E>) {
          const { body, bytes, declaredBytes, videoId } = request
          const done = (sha256: string): UploadedVideo => ({ videoId, status: "complete", bytes, sha256 })
          const upload = yield* opened(request, false)
          if (Option.isSome(upload.sha256)) return done(upload.sha256.value)
          if (Option.exists(declaredBytes, (declared) => declared > bytes)) return yield* tooLarge(bytes)
          const keep = Effect.gen(function*() {
            const received = yield* places.paced(upload.userId, body, (paced) => spool.receive(videoId, paced, bytes))
            if (received.bytes < bytes) {
              return yield* new UploadSizeMismatch({
                detail: "The upload ended early. Send all of it again to the same URL.",
                expected_bytes: bytes,
                received_bytes: received.bytes
              })
            }
            return done(yield* finish(upload, received))
          })
          return yield* places.beside(videoId, Effect.scoped(keep))
        })

        const endOf = ({ expiresAt }: UploadGrant) => DateTime.add(expiresAt, { hours: resumableHours })
        const at = (grant: UploadGrant, offset: number): Progress => ({
          offset,
          length: grant.bytes,
          until: endOf(grant)
        })

        /** Finishes an upload of which every byte is there, also when the process died between the last byte and this. */
        const finishIfWhole = Effect.fnUntraced(function*(upload: UploadRow, offset: number) {
          if (offset < upload.bytes) return
          yield* finish(upload, yield* spool.assembled(upload.id)).pipe(
            // Bytes of the wrong digest can never be finished: the sender begins again.
            Effect.tapErrorTag("UploadDigestMismatch", () => spool.discard(upload.id))
          )
        })

        const progress = Effect.fn("Uploads.progress")(function*(grant: SignedGrant) {
          const { bytes, videoId } = grant
          const look = Effect.gen(function*() {
            const upload = yield* opened(grant, true)
            if (Option.isSome(upload.sha256)) return at(grant, bytes)
            const offset = yield* spool.offset(videoId)
            yield* finishIfWhole(upload, offset)
            return at(grant, offset)
          })
          yield* opened(grant, true)
          return yield* places.alone(videoId, () => look)
        })

        // However a body ends, what came of it may be gone on with. Where this cannot be written, the next stretch writes it.
        const begun = Effect.fnUntraced(function*(videoId: VideoId) {
          if ((yield* spool.offset(videoId)) > 0) yield* withDatabase(store.begin(videoId))
        }, (work) => Effect.ignore(work))

        const append = Effect.fn("Uploads.append")(function*<E>(request: NextBytes<E>) {
          const { body, bytes, checksum, offset: from, videoId } = request
          const write = Effect.fnUntraced(function*(yielding: Yielding) {
            const upload = yield* opened(request, true)
            const present = Option.isSome(upload.sha256) ? bytes : yield* spool.offset(videoId)
            if (present !== from) {
              return yield* new UploadOffsetMismatch({ detail: `It goes on at ${present}.`, upload_offset: present })
            }
            if (Option.isSome(upload.sha256)) return at(request, bytes)
            const offset = yield* yielding(
              places.paced(
                upload.userId,
                body,
                (paced) => spool.append({ videoId, from, body: paced, limitBytes: bytes, checksum })
              )
            ).pipe(Effect.ensuring(begun(videoId)))
            yield* finishIfWhole(upload, offset)
            return at(request, offset)
          })
          yield* opened(request, true)
          return yield* places.alone(videoId, write)
        })

        const cancel = Effect.fn("Uploads.cancel")(function*(grant: SignedGrant) {
          const { videoId } = grant
          const upload = yield* opened(grant, true)
          if (Option.isSome(upload.sha256)) return yield* new UploadComplete({})
          const takeBack = Effect.gen(function*() {
            // Sent whole meanwhile, it is complete, and who asked must not be told that it is gone.
            const completed = yield* withDatabase(store.cancel(videoId))
            if (completed) return yield* new UploadComplete({})
            yield* spool.discard(videoId)
          })
          yield* places.alone(videoId, () => takeBack)
        })

        return Uploads.of({ receive, progress, append, cancel, sweep: sweepSpool(spool, store, retention) })
      })
    )
}
