import { assert, layer } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { execFileSync } from "node:child_process"
import { createHash, randomFillSync } from "node:crypto"
import { once } from "node:events"
import { existsSync } from "node:fs"
import { mkdir, readFile, rm, stat, writeFile } from "node:fs/promises"
import { type ClientRequest, type IncomingMessage, request } from "node:http"
import { join } from "node:path"
import * as tus from "tus-js-client"
import { temporaryFolder } from "../layers/Held.ts"
import { PgTest } from "../layers/PgTest.ts"
import { announced, residentMiB, videoServer } from "../layers/VideoServer.ts"

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex")
const mebibyte = 1_048_576

/** One run of the tus project's own client, which drops its connection after so many bytes; answers whether it finished. */
const runTus = (uploadUrl: string, video: Buffer, dropAt: number) =>
  new Promise<boolean>((ended, failed) => {
    let over = false
    const upload = new tus.Upload(video, {
      uploadUrl,
      retryDelays: [100, 100, 100],
      onError: (error) => over ? undefined : failed(error),
      onSuccess: () => ended(true),
      onProgress: (sent) => {
        if (over || sent < dropAt) return
        over = true
        void upload.abort().then(() => ended(false))
      }
    })
    upload.start()
  })

/**
 * Sends a video in so many runs, each with a new client that asks how far the one before it came. All of them end in the first half:
 * the client tells of its progress ten times a second, and must not be done before it has.
 */
const sendByTus = async (uploadUrl: string, video: Buffer, interruptions: number) => {
  let dropped = 0
  for (let at = 1; at <= interruptions; at++) {
    if (!(await runTus(uploadUrl, video, (video.length * at) / (2 * interruptions)))) dropped++
  }
  await runTus(uploadUrl, video, Number.POSITIVE_INFINITY)
  return dropped
}

layer(PgTest.layer, { timeout: "120 seconds", excludeTestServices: true })(
  "a video process that takes uploads",
  (it) => {
    it.effect.skipIf(!existsSync("/proc/self/status"))(
      "takes 150 MB in six stretches to the same digest, in flat memory",
      () =>
        Effect.gen(function*() {
          const spool = yield* temporaryFolder
          // A small young generation, collected often: what waits to be collected is then not what is measured.
          const { base, pid } = yield* videoServer({
            SPOOL_DIR: spool,
            SPOOL_RESERVE_MIB: "0",
            NODE_OPTIONS: "--max-semi-space-size=4"
          })
          const warm = randomFillSync(Buffer.alloc(8 * mebibyte))
          const first = yield* announced(base, warm.length, sha256(warm))
          yield* Effect.promise(() => sendByTus(first.uploadUrl, warm, 1))

          const video = randomFillSync(Buffer.alloc(150_000_000))
          const { uploadUrl, videoId } = yield* announced(base, video.length, sha256(video))
          const before = residentMiB(pid)
          let peak = before
          const sampling = setInterval(() => {
            peak = Math.max(peak, residentMiB(pid))
          }, 20)
          const dropped = yield* Effect.promise(() => sendByTus(uploadUrl, video, 5)).pipe(
            Effect.ensuring(Effect.sync(() => clearInterval(sampling)))
          )
          assert.strictEqual(dropped, 5)
          const kept = yield* Effect.promise(() => readFile(join(spool, "videos", `${videoId}.${sha256(video)}`)))
          assert.strictEqual(sha256(kept), sha256(video))
          // The upload is 143 MiB. What grows is chunks that wait to be collected.
          assert.isBelow(peak - before, 120, `${before} MiB before, ${peak} MiB at most`)
        }).pipe(Effect.scoped)
    )

    it.effect("answers 507 when its disk is full, goes on working, and finishes the upload when there is room", (ctx) =>
      Effect.gen(function*() {
        const folder = yield* temporaryFolder
        const spool = join(folder, "small-disk")
        yield* Effect.promise(() => mkdir(spool))
        const mounted = yield* Effect.acquireRelease(
          Effect.sync(() => {
            try {
              execFileSync("mount", ["-t", "tmpfs", "-o", "size=8m", "tmpfs", spool], { stdio: "ignore" })
              return true
            } catch {
              return false
            }
          }),
          (mounted) => Effect.sync(() => mounted ? execFileSync("umount", ["-l", spool]) : undefined)
        )
        if (!mounted) return ctx.skip("this system lets no test mount a small disk (needs root on Linux)")
        const { base } = yield* videoServer({ SPOOL_DIR: spool, SPOOL_RESERVE_MIB: "0" })
        const video = randomFillSync(Buffer.alloc(6 * mebibyte))
        const { uploadUrl, videoId } = yield* announced(base, video.length, sha256(video))

        const sender: ClientRequest = request(uploadUrl, {
          method: "PATCH",
          headers: {
            "tus-resumable": "1.0.0",
            "content-type": "application/offset+octet-stream",
            "upload-offset": "0",
            "content-length": String(video.length)
          }
        })
        sender.on("error", () => {})
        sender.write(video.subarray(0, mebibyte))
        const partial = join(spool, "partial", videoId)
        yield* Effect.promise(() => stat(partial).then(({ size }) => size, () => 0)).pipe(
          Effect.repeat({ schedule: Schedule.spaced("10 millis"), until: (size) => size === mebibyte })
        )
        const ballast = join(spool, "ballast")
        yield* Effect.promise(() => writeFile(ballast, Buffer.alloc(8 * mebibyte)).catch(() => {}))
        const answered = once(sender, "response")
        sender.end(video.subarray(mebibyte))
        const answer: IncomingMessage = (yield* Effect.promise(() => answered))[0]
        assert.strictEqual(answer.statusCode, 507)
        sender.destroy()

        const refused = yield* announced(base, mebibyte, sha256(video.subarray(0, mebibyte)))
        const put = () =>
          fetch(refused.uploadUrl, { method: "PUT", body: video.subarray(0, mebibyte) }).then((a) => a.status)
        assert.strictEqual(yield* Effect.promise(put), 507)
        assert.strictEqual(yield* Effect.promise(() => fetch(`${base}/livez`).then(({ status }) => status)), 200)

        yield* Effect.promise(() => rm(ballast))
        assert.strictEqual(yield* Effect.promise(put), 200)
        yield* Effect.promise(() => sendByTus(uploadUrl, video, 0))
        const kept = yield* Effect.promise(() => readFile(join(spool, "videos", `${videoId}.${sha256(video)}`)))
        assert.strictEqual(sha256(kept), sha256(video))
      }).pipe(Effect.scoped))

    it.effect("ends a sender that stalls, keeps what came, and lets it go on", () =>
      Effect.gen(function*() {
        const spool = yield* temporaryFolder
        const { base } = yield* videoServer({
          SPOOL_DIR: spool,
          SPOOL_RESERVE_MIB: "0",
          // Long enough that the sender who goes on is never taken for one that stalls, however busy the machine is.
          UPLOAD_STALL_LIMIT: "3 seconds"
        })
        const video = randomFillSync(Buffer.alloc(mebibyte))
        const { uploadUrl } = yield* announced(base, video.length, sha256(video))
        const sender: ClientRequest = request(uploadUrl, {
          method: "PATCH",
          headers: {
            "tus-resumable": "1.0.0",
            "content-type": "application/offset+octet-stream",
            "upload-offset": "0",
            "content-length": String(video.length)
          }
        })
        sender.on("error", () => {})
        const answered = once(sender, "response")
        sender.write(video.subarray(0, 1_000))
        const answer: IncomingMessage = (yield* Effect.promise(() => answered))[0]
        assert.strictEqual(answer.statusCode, 408)
        sender.destroy()
        const head = () => fetch(uploadUrl, { method: "HEAD", headers: { "tus-resumable": "1.0.0" } })
        assert.strictEqual((yield* Effect.promise(head)).headers.get("upload-offset"), "1000")
        yield* Effect.promise(() => sendByTus(uploadUrl, video, 0))
        assert.strictEqual((yield* Effect.promise(head)).headers.get("upload-offset"), String(video.length))
      }).pipe(Effect.scoped))

    it.effect("counts URLs that it has not signed by address, and takes the upload of whoever has one that it has", () =>
      Effect.gen(function*() {
        const spool = yield* temporaryFolder
        const { base } = yield* videoServer({ SPOOL_DIR: spool, SPOOL_RESERVE_MIB: "0" })
        const video = randomFillSync(Buffer.alloc(1_000))
        const { uploadUrl } = yield* announced(base, video.length, sha256(video))
        const forged = uploadUrl.replace(/signature=.{4}/, "signature=AAAA")
        const picture = forged.replace("/uploads/", "/pictures/").replace("?", "/poster?")
        const ask = (url: string) =>
          Effect.promise(() => fetch(url, { method: "HEAD", headers: { "tus-resumable": "1.0.0" } }))
        const urls = [forged, picture, `${base}/no/such/path`, `${base}/uploads/x`]
        const answers = yield* Effect.forEach(Array.from({ length: 25 }, () => urls).flat(), ask, { concurrency: 8 })
        assert.notInclude(answers.map(({ status }) => status), 429)
        for (const url of urls) assert.strictEqual((yield* ask(url)).status, 429, url)
        assert.strictEqual((yield* ask(uploadUrl)).status, 200)
        yield* Effect.promise(() => sendByTus(uploadUrl, video, 0))
      }).pipe(Effect.scoped))
  }
)
