import { Clock, Effect, Layer, Scope, Stream } from "effect"
import { createHash, randomBytes } from "node:crypto"
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises"
import { join, resolve } from "node:path"
import type { VideoId } from "../domain/Ids.ts"
import { PayloadTooLarge } from "../domain/Problem.ts"
import { StorageFull } from "../domain/Video.ts"
import { type Received, Spool } from "../services/Spool.ts"

/** An upload may take this long; a temporary file that nobody wrote to for so long belongs to nobody. */
const abandonedAfterMillis = 60 * 60 * 1_000

const noRoom = new StorageFull({ detail: "The disk that takes uploads is full. Nothing was kept; try again later." })

const isFull = (cause: unknown) =>
  cause instanceof Error && "code" in cause && ["ENOSPC", "EDQUOT", "EFBIG"].includes(String(cause.code))

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
const writeAll = async (file: FileHandle, chunk: Uint8Array) => {
  for (let at = 0; at < chunk.length;) at += (await file.write(chunk, at)).bytesWritten
}

const layer = (directory: string): Layer.Layer<Spool> =>
  Layer.effect(
    Spool,
    Effect.gen(function*() {
      const incoming = resolve(directory, "incoming")
      const videos = resolve(directory, "videos")
      for (const folder of [incoming, videos]) {
        yield* Effect.orDie(io(() => mkdir(folder, { recursive: true, mode: 0o700 })))
      }
      const path = (videoId: VideoId, sha256: string) => join(videos, `${videoId}.${sha256}`)

      const receive = Effect.fn("Spool.receive")(
        function*<E>(videoId: VideoId, body: Stream.Stream<Uint8Array, E>, limitBytes: number) {
          const scope = yield* Scope.Scope
          // Made of our own words alone: nothing that a client says becomes part of a file's name.
          const temporary = join(incoming, `${videoId}.${randomBytes(8).toString("hex")}`)
          const file = yield* io(() => open(temporary, "wx", 0o600))
          yield* Scope.addFinalizer(
            scope,
            Effect.promise(() => file.close().then(() => rm(temporary, { force: true })))
          )
          const hash = createHash("sha256")
          let bytes = 0
          yield* Stream.runForEach(body, (chunk) =>
            Effect.gen(function*() {
              bytes += chunk.length
              if (bytes > limitBytes) {
                return yield* new PayloadTooLarge({
                  limit_bytes: limitBytes,
                  detail: `The upload was announced with ${limitBytes} bytes, and more of them came.`
                })
              }
              hash.update(chunk)
              yield* io(() => writeAll(file, chunk))
            }))
          const sha256 = hash.digest("hex")
          yield* Effect.annotateCurrentSpan("midnight.upload.bytes", bytes)
          const keep = io(async () => {
            await file.sync()
            await rename(temporary, path(videoId, sha256))
            await syncFolder(videos)
          }).pipe(Effect.withSpan("Spool.keep"))
          const received: Received = { videoId, bytes, sha256, keep }
          return received
        }
      )

      const sweep = Effect.gen(function*() {
        const now = yield* Clock.currentTimeMillis
        let swept = 0
        for (const name of yield* Effect.promise(() => readdir(incoming))) {
          const file = join(incoming, name)
          const written = yield* Effect.promise(() => stat(file).then(({ mtimeMs }) => mtimeMs).catch(() => now))
          if (written > now - abandonedAfterMillis) continue
          yield* Effect.promise(() => rm(file, { force: true }))
          swept++
        }
        return swept
      })

      return Spool.of({
        receive,
        path,
        remove: (videoId, sha256) => Effect.promise(() => rm(path(videoId, sha256), { force: true })),
        sweep
      })
    })
  )

/** The spool in a folder of this machine, which only this user may read. */
export const LocalSpool = { layer }
