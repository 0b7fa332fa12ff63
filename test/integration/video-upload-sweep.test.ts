import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { randomUUID } from "node:crypto"
import { readdir, utimes, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Uploads } from "../../src/services/Uploads.ts"
import { append, offsetOf, spooled } from "../layers/TusBench.ts"
import { announce, asRole, member, sha256, SpoolFolder, uploaded, verifying, VideoBench } from "../layers/VideoBench.ts"

const bytes = (text: string) => new Uint8Array(Buffer.from(text))

const long = new Date(Date.now() - 2 * 3_600_000)
/** Makes every file of the spool one that nobody has written to for two hours. */
const age = Effect.flatMap(SpoolFolder, ({ path }) =>
  Effect.promise(async () => {
    for (const folder of ["incoming", "partial", "videos"]) {
      for (const name of await readdir(join(path, folder))) await utimes(join(path, folder, name), long, long)
    }
  }))
const sweep = Effect.flatMap(Uploads, ({ sweep }) => sweep)
const owner = (statement: string) => asRole("owner", statement)
const decided = (videoId: string, days: number) =>
  owner(`UPDATE video.submissions SET status = 'approved', verdict = 'approved', decided_by = 'worker',
         decided_at = now() - interval '${days} days' WHERE video_id = '${videoId}'`)
const finishedLongAgo = (videoId: string) =>
  owner(`UPDATE video.uploads SET completed_at = now() - interval '40 days' WHERE id = '${videoId}'`)

layer(VideoBench, { timeout: "60 seconds", excludeTestServices: true })("the sweep of uploads", (it) => {
  it.effect("removes what no row stands behind, and nothing that is young", () =>
    Effect.gen(function*() {
      const { path } = yield* SpoolFolder
      const orphan = randomUUID()
      for (const folder of ["incoming", "partial", "videos"]) {
        yield* Effect.promise(() => writeFile(join(path, folder, `${orphan}.${"0".repeat(64)}`), "left behind"))
      }
      yield* sweep
      assert.lengthOf(yield* spooled("videos", orphan), 1)
      yield* age
      yield* sweep
      for (const folder of ["incoming", "partial", "videos"] as const) {
        assert.deepStrictEqual(yield* spooled(folder, orphan), [])
      }
    }))

  it.effect("keeps an unfinished upload while it can be resumed, and no longer", () =>
    Effect.gen(function*() {
      const { uploadUrl, videoId } = yield* announce(yield* member, 4)
      yield* append(uploadUrl, 0, bytes("fo"))
      yield* age
      yield* sweep
      assert.strictEqual((yield* offsetOf(uploadUrl)).offset, "2")
      yield* owner(`UPDATE video.uploads SET expires_at = now() - interval '25 hours' WHERE id = '${videoId}'`)
      yield* age
      yield* sweep
      assert.deepStrictEqual(yield* spooled("partial", videoId), [])
      assert.strictEqual((yield* offsetOf(uploadUrl)).status, 404)
    }))

  it.effect("gives up a video 30 days after its decision, and never while a decision is open", () =>
    Effect.gen(function*() {
      const user = yield* member
      const [old, fresh, open] = [
        yield* uploaded(user, bytes("old")),
        yield* uploaded(user, bytes("fresh")),
        yield* uploaded(user, bytes("open"))
      ]
      for (const videoId of [old, fresh, open]) {
        yield* verifying(user, videoId)
        yield* finishedLongAgo(videoId)
      }
      yield* decided(old, 31)
      yield* decided(fresh, 29)
      yield* owner(`UPDATE video.submissions SET status = 'needs_review' WHERE video_id = '${open}'`)
      yield* age
      yield* sweep
      assert.deepStrictEqual(yield* spooled("videos", old), [])
      assert.deepStrictEqual(yield* spooled("videos", fresh), [`${fresh}.${sha256(bytes("fresh"))}`])
      assert.deepStrictEqual(yield* spooled("videos", open), [`${open}.${sha256(bytes("open"))}`])
      const refused = yield* Effect.flip(verifying(user, old))
      assert.strictEqual(refused._tag, "NotFound")
    }))

  it.effect("leaves a member 20 GiB, and counts what is stored and what is announced", () =>
    Effect.gen(function*() {
      const user = yield* member
      yield* owner(
        `INSERT INTO video.uploads (id, user_id, bytes, content_type, sha256, status, expires_at, completed_at)
        SELECT gen_random_uuid(), '${user}', 209715200, 'video/mp4', repeat('0', 64), 'complete', now(), now()
        FROM generate_series(1, 102)`
      )
      // 102 × 200 MiB leave 80 MiB.
      yield* announce(user, 80 * 1_048_576)
      const refused = yield* Effect.flip(announce(user, 1))
      assert.strictEqual(refused._tag, "UploadQuotaReached")
      yield* owner(`UPDATE video.uploads SET removed_at = now() WHERE user_id = '${user}' AND status = 'complete'`)
      yield* announce(user, 1)
    }))
})
