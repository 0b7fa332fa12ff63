import { Context, type Effect, type Option, type Scope, type Stream } from "effect"
import type { VideoId } from "../domain/Ids.ts"
import type { PictureKind } from "../domain/Pictures.ts"
import type { PayloadTooLarge } from "../domain/Problem.ts"
import type { Checksum, StorageFull, UploadChecksumMismatch } from "../domain/Uploads.ts"

/** A whole upload that is not kept yet. */
export interface Received {
  readonly videoId: VideoId
  readonly bytes: number
  readonly sha256: string
  /** Makes it durable under its digest. Keeping the same bytes twice is harmless. */
  readonly keep: Effect.Effect<void, StorageFull>
}

/** One more stretch of an upload that comes in several. */
export interface Stretch<E> {
  readonly videoId: VideoId
  /** Where it begins: as many bytes as there are already. */
  readonly from: number
  readonly body: Stream.Stream<Uint8Array, E>
  /** Of the whole upload. */
  readonly limitBytes: number
  readonly checksum: Option.Option<Checksum>
}

/** Something that storage holds, for the sweep to judge. */
export interface StoredFile {
  readonly videoId: VideoId
  readonly kind: "incoming" | "partial" | "video"
  /** Of a video: the digest in its name. */
  readonly sha256: string
  readonly writtenAtMillis: number
  readonly remove: Effect.Effect<void>
}

/**
 * Where videos' bytes are. A video is named by its id and its digest, so two senders of one upload never overwrite each
 * other, and which of them is the video is the database's word. Unfinished uploads have one writer at a time; that is the
 * caller's to see to.
 */
export class Spool extends Context.Service<Spool, {
  /** Streams a whole upload to storage, hashing on the way; never holds more than a chunk. Unless kept, it goes with its scope. */
  receive<E>(
    videoId: VideoId,
    body: Stream.Stream<Uint8Array, E>,
    limitBytes: number
  ): Effect.Effect<Received, E | PayloadTooLarge | StorageFull, Scope.Scope>
  /** How many bytes of an unfinished upload there are. */
  offset(videoId: VideoId): Effect.Effect<number>
  /**
   * Appends to an unfinished upload; answers how many bytes there are now, all of them durable. What came before a failure
   * stays; with a checksum a stretch counts as a whole or not at all.
   */
  append<E>(
    stretch: Stretch<E>
  ): Effect.Effect<number, E | PayloadTooLarge | StorageFull | UploadChecksumMismatch>
  /** An unfinished upload of which all bytes have come, hashed. */
  assembled(videoId: VideoId): Effect.Effect<Received>
  /** Forgets the bytes of an unfinished upload. */
  discard(videoId: VideoId): Effect.Effect<void>
  /** A local file with the bytes, for the media engine. */
  path(videoId: VideoId, sha256: string): string
  /** Puts a picture beside its video, in place of one that is there. */
  keepPicture(
    videoId: VideoId,
    sha256: string,
    kind: PictureKind,
    jpeg: Uint8Array
  ): Effect.Effect<void, StorageFull>
  picture(videoId: VideoId, sha256: string, kind: PictureKind): Effect.Effect<Option.Option<Uint8Array>>
  /** Forgets bytes that lost against another sender's. */
  remove(videoId: VideoId, sha256: string): Effect.Effect<void>
  /** All that there is, as it is found. */
  readonly files: Stream.Stream<StoredFile>
}>()("midnight/services/video/Spool") {}
