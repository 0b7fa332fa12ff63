import { Context, type Effect, type Scope, type Stream } from "effect"
import type { VideoId } from "../domain/Ids.ts"
import type { PayloadTooLarge } from "../domain/Problem.ts"
import type { StorageFull } from "../domain/Video.ts"

/** Bytes that have arrived and are not kept yet: they go with their scope. */
export interface Received {
  readonly videoId: VideoId
  readonly bytes: number
  readonly sha256: string
  /** Makes them durable under their digest. Repeating it, or keeping the same bytes twice, is harmless. */
  readonly keep: Effect.Effect<void, StorageFull>
}

/**
 * Where videos' bytes are. A video is named by its id and its digest, so two senders of one upload never overwrite each
 * other, and which of them is the video is the database's word.
 */
export class Spool extends Context.Service<Spool, {
  /** Streams to storage as it comes, hashing on the way; never holds more than a chunk. */
  receive<E>(
    videoId: VideoId,
    body: Stream.Stream<Uint8Array, E>,
    limitBytes: number
  ): Effect.Effect<Received, E | PayloadTooLarge | StorageFull, Scope.Scope>
  /** A local file with the bytes, for the media engine. */
  path(videoId: VideoId, sha256: string): string
  /** Forgets bytes that lost against another sender's. */
  remove(videoId: VideoId, sha256: string): Effect.Effect<void>
  /** Removes what interrupted uploads left behind; answers how many there were. */
  readonly sweep: Effect.Effect<number>
}>()("midnight/services/video/Spool") {}
