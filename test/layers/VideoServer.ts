import { NodeCrypto } from "@effect/platform-node"
import { PgConnection } from "@effect/sql-pg"
import { DateTime, Effect, Layer, Redacted, Schedule } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { resolve } from "node:path"
import { UserId, VideoId } from "../../src/domain/Ids.ts"
import { newId } from "../../src/services/NewId.ts"
import { UploadUrls } from "../../src/services/UploadUrls.ts"
import { freePorts } from "./DevServer.ts"
import { PgTest } from "./PgTest.ts"

const uploadSecret = "a secret for upload URLs, in a process of its own"

/** The video process as it is run in production, on this file's database and the given spool. Killed at the end. */
export const videoServer = Effect.fnUntraced(function*(settings: Readonly<Record<string, string>>) {
  const { VIDEO_PORT } = yield* freePorts
  const { environment } = yield* PgTest
  const base = `http://127.0.0.1:${VIDEO_PORT}`
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, ["src/main/Video.ts"], {
        cwd: resolve(import.meta.dirname, "../.."),
        env: {
          PATH: process.env["PATH"],
          HOST: "127.0.0.1",
          VIDEO_PORT,
          UPLOAD_SECRET: uploadSecret,
          ...environment,
          ...settings
        },
        stdio: ["ignore", "ignore", "inherit"]
      })
    ),
    (child) =>
      Effect.promise(async () => {
        if (child.exitCode !== null || child.signalCode !== null) return
        child.kill("SIGKILL")
        await once(child, "exit")
      })
  )
  yield* Effect.promise(() => fetch(`${base}/readyz`).then(({ status }) => status, () => 0)).pipe(
    Effect.repeat({ schedule: Schedule.spaced("50 millis"), until: (status) => status === 200 }),
    Effect.timeout("2 minutes")
  )
  return { base, pid: child.pid ?? 0 }
})

/** An announced upload, as the API would have made it. */
export const announced = Effect.fnUntraced(function*(base: string, bytes: number, sha256: string) {
  const pg = yield* PgTest
  const connection = yield* PgConnection.make({ url: pg.ownerUrl })
  const videoId = yield* newId(VideoId)
  const expiresAt = DateTime.startOf(DateTime.add(yield* DateTime.now, { minutes: 15 }), "second")
  yield* connection.query(
    `INSERT INTO video.uploads (id, user_id, bytes, content_type, expected_sha256, expires_at)
     VALUES ('${videoId}', '${yield* newId(
      UserId
    )}', ${bytes}, 'video/mp4', '${sha256}', now() + interval '15 minutes')`,
    []
  )
  const signing = UploadUrls.layer({ secret: Redacted.make(uploadSecret), base }).pipe(
    Layer.provide(NodeCrypto.layerMac)
  )
  const uploadUrl = yield* Effect.flatMap(UploadUrls, (urls) => urls.make({ videoId, bytes, expiresAt })).pipe(
    Effect.provide(signing)
  )
  return { videoId, uploadUrl }
}, Effect.scoped)

/** MiB of memory that a process has resident. */
export const residentMiB = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1_024
