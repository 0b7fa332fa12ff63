import { Effect, Layer, Option, Schema, Stream } from "effect"
import { createHash, randomBytes } from "node:crypto"
import { constants, createReadStream } from "node:fs"
import {
  type FileHandle,
  mkdir,
  open,
  opendir,
  readFile,
  rename,
  rm,
  stat,
  statfs,
  utimes,
  writeFile
} from "node:fs/promises"
import { join, resolve } from "node:path"
import { VideoId } from "../domain/Ids.ts"
import type { PictureKind } from "../domain/Pictures.ts"
import { PayloadTooLarge } from "../domain/Problem.ts"
import { StorageFull, UploadChecksumMismatch } from "../domain/Uploads.ts"
import { type Received, Spool, type StoredFile, type Stretch } from "../services/Spool.ts"

/** How many bytes are written between two looks at the room that is left. */
const lookEvery = 8 * 1_024 * 1_024
const readSize = 1_024 * 1_024

const noRoom = new StorageFull({
  detail: "The disk that takes uploads is full. Try again later; a resumable upload goes on where it stopped."
})
const tooLarge = (limit: number) =>
  new PayloadTooLarge({
    limit_bytes: limit,
    detail: `The upload was announced with ${limit} bytes, and more of them came.`
  })
const wrongChecksum = new UploadChecksumMismatch({ detail: "Nothing of this request was kept. Send it again." })

const codeOf = (cause: unknown) => cause instanceof Error && "code" in cause ? String(cause.code) : ""
const isFull = (cause: unknown) => ["ENOSPC", "EDQUOT", "EFBIG"].includes(codeOf(cause))

/** A full disk is an answer to give; any other failure of the disk is a defect. */
const io = <A>(work: () => Promise<A>): Effect.Effect<A, StorageFull> =>
  Effect.tryPromise({ try: work, catch: (cause) => cause }).pipe(
    Effect.catch((cause) => isFull(cause) ? Effect.fail(noRoom) : Effect.die(cause))
  )

// A rename survives a crash only when the folder that holds the name has reached the disk too.
const syncFolder = async (folder: string) => {
  const handle = await open(folder, "r")
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

// write() may take less than it was given.
const writeAll = async (file: FileHandle, chunk: Uint8Array, position: number) => {
  for (let at = 0; at < chunk.length;) {
    at += (await file.write(chunk, at, chunk.length - at, position + at)).bytesWritten
  }
}

const sha256Of = async (path: string) => {
  const hash = createHash("sha256")
  let bytes = 0
  for await (const chunk of createReadStream(path, { highWaterMark: readSize })) {
    if (!(chunk instanceof Uint8Array)) continue
    hash.update(chunk)
    bytes += chunk.length
  }
  return { bytes, sha256: hash.digest("hex") }
}

const removed = (path: string) => Effect.promise(() => rm(path, { force: true }))
const sizeOf = (path: string) =>
  Effect.promise(() =>
    stat(path).then(({ size }) => size, (cause) => codeOf(cause) === "ENOENT" ? 0 : Promise.reject(cause))
  )

const decodeId = Schema.decodeUnknownOption(VideoId)

/** What a folder holds; names that are not ours are not ours to judge. */
const filesOf = (folder: string, kind: StoredFile["kind"]): Stream.Stream<StoredFile> =>
  Stream.unwrap(
    Effect.map(Effect.promise(() => opendir(folder)), (entries) => Stream.fromAsyncIterable(entries, (cause) => cause))
  ).pipe(
    Stream.orDie,
    Stream.mapEffect(({ name }) =>
      Effect.promise(async (): Promise<ReadonlyArray<StoredFile>> => {
        const path = join(folder, name)
        const [id, sha256 = ""] = name.split(".")
        const videoId = Option.getOrUndefined(decodeId(id))
        const written = await stat(path).then(({ mtimeMs }) => mtimeMs, () => undefined)
        return videoId === undefined || written === undefined
          ? []
          : [{ videoId, kind, sha256, writtenAtMillis: written, remove: removed(path) }]
      })
    ),
    Stream.flattenIterable
  )

/** `reserveBytes` stay free for whoever else lives on that disk. */
const layer = (directory: string, reserveBytes: number): Layer.Layer<Spool> =>
  Layer.effect(
    Spool,
    Effect.gen(function*() {
      const incoming = resolve(directory, "incoming")
      const partials = resolve(directory, "partial")
      const videos = resolve(directory, "videos")
      for (const folder of [incoming, partials, videos]) {
        yield* Effect.orDie(io(() => mkdir(folder, { recursive: true, mode: 0o700 })))
      }
      // Made of our own words alone: nothing that a client says becomes part of a file's name.
      const path = (videoId: VideoId, sha256: string) => join(videos, `${videoId}.${sha256}`)
      const partial = (videoId: VideoId) => join(partials, videoId)

      const room = Effect.fnUntraced(function*(bytes: number) {
        const { bavail, bsize } = yield* io(() => statfs(directory))
        if (bavail * bsize < bytes + reserveBytes) return yield* noRoom
      })

      /** Writes a body from `from` on, at most up to `limit`; answers where it ended. */
      const write = Effect.fnUntraced(function*<E>(
        file: FileHandle,
        body: Stream.Stream<Uint8Array, E>,
        { from, limit, seen }: { from: number; limit: number; seen: (chunk: Uint8Array) => void }
      ) {
        yield* room(limit - from)
        let at = from
        let looked = from
        yield* Stream.runForEach(body, (chunk) =>
          Effect.gen(function*() {
            if (at + chunk.length > limit) return yield* tooLarge(limit)
            if (at - looked >= lookEvery) {
              yield* room(0)
              looked = at
            }
            seen(chunk)
            // Whoever interrupts this waits for the write to end, or it would go on in a file that has a new writer.
            yield* Effect.uninterruptible(io(() => writeAll(file, chunk, at)))
            at += chunk.length
          }))
        yield* Effect.annotateCurrentSpan("midnight.upload.bytes", at - from)
        return at
      })

      const kept = (videoId: VideoId, sha256: string, from: string) =>
        io(async () => {
          const file = await open(from, "r+")
          try {
            await file.sync()
          } finally {
            await file.close()
          }
          // A sweep takes files without a row for left behind, but not young ones; this one gets its row only now.
          await utimes(from, new Date(), new Date())
          await rename(from, path(videoId, sha256))
          await syncFolder(videos)
        }).pipe(Effect.withSpan("Spool.keep"))

      const receive = Effect.fn("Spool.receive")(
        function*<E>(videoId: VideoId, body: Stream.Stream<Uint8Array, E>, limitBytes: number) {
          const temporary = join(incoming, `${videoId}.${randomBytes(8).toString("hex")}`)
          const file = yield* Effect.acquireRelease(
            io(() => open(temporary, "wx", 0o600)),
            (file) => Effect.promise(() => file.close().then(() => rm(temporary, { force: true })))
          )
          const hash = createHash("sha256")
          const bytes = yield* write(file, body, { from: 0, limit: limitBytes, seen: (chunk) => hash.update(chunk) })
          const sha256 = hash.digest("hex")
          const received: Received = { videoId, bytes, sha256, keep: kept(videoId, sha256, temporary) }
          return received
        }
      )

      const append = Effect.fn("Spool.append")(
        function*<E>({ body, checksum, from, limitBytes, videoId }: Stretch<E>) {
          const file = yield* Effect.acquireRelease(
            io(() => open(partial(videoId), constants.O_RDWR | constants.O_CREAT, 0o600)),
            (file) => Effect.promise(() => file.close())
          )
          const hash = createHash(
            Option.match(checksum, { onNone: () => "sha1", onSome: ({ algorithm }) => algorithm })
          )
          const seen = (chunk: Uint8Array) => Option.isSome(checksum) ? void hash.update(chunk) : undefined
          return yield* write(file, body, { from, limit: limitBytes, seen }).pipe(
            Effect.tap(() =>
              Option.exists(checksum, ({ digest }) => digest !== hash.digest("base64")) ? wrongChecksum : Effect.void
            ),
            Effect.tap(() => io(() => file.datasync())),
            // What was acknowledged or can be asked for is on the disk; what could not be checked is not there at all.
            Effect.onError(() =>
              Effect.ignore(io(() => Option.isSome(checksum) ? file.truncate(from) : file.datasync()))
            )
          )
        },
        Effect.scoped
      )

      const assembled = Effect.fn("Spool.assembled")(function*(videoId: VideoId) {
        const { bytes, sha256 } = yield* Effect.promise(() => sha256Of(partial(videoId)))
        const received: Received = { videoId, bytes, sha256, keep: kept(videoId, sha256, partial(videoId)) }
        return received
      })

      // Named after the video and its digest as the video is: a sweep that takes the one takes the other.
      const picture = (videoId: VideoId, sha256: string, kind: PictureKind) => `${path(videoId, sha256)}.${kind}.jpg`

      const keepPicture = Effect.fn("Spool.keepPicture")(
        function*(videoId: VideoId, sha256: string, kind: PictureKind, jpeg: Uint8Array) {
          yield* room(jpeg.length)
          const temporary = `${picture(videoId, sha256, kind)}.${randomBytes(4).toString("hex")}`
          yield* io(async () => {
            await writeFile(temporary, jpeg, { mode: 0o600, flag: "wx" })
            await rename(temporary, picture(videoId, sha256, kind))
          }).pipe(Effect.onError(() => removed(temporary)))
        }
      )

      return Spool.of({
        receive,
        offset: (videoId) => sizeOf(partial(videoId)),
        append,
        assembled,
        discard: (videoId) => removed(partial(videoId)),
        path,
        keepPicture,
        picture: (videoId, sha256, kind) =>
          Effect.promise(() =>
            readFile(picture(videoId, sha256, kind)).then(
              Option.some<Uint8Array>,
              (cause) => codeOf(cause) === "ENOENT" ? Option.none<Uint8Array>() : Promise.reject(cause)
            )
          ),
        remove: (videoId, sha256) => removed(path(videoId, sha256)),
        files: filesOf(incoming, "incoming").pipe(
          Stream.concat(filesOf(partials, "partial")),
          Stream.concat(filesOf(videos, "video"))
        )
      })
    })
  )

/** The spool in a folder of this machine, which only this user may read. */
export const LocalSpool = { layer }
