import { NodeCrypto } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import { DateTime, Effect, Exit, Layer, Redacted, Schedule, Scope } from "effect"
import { HttpServer } from "effect/http"
import { readdir, readFile } from "node:fs/promises"
import { request } from "node:http"
import { join } from "node:path"
import { VideoId } from "../../src/domain/Ids.ts"
import { newId } from "../../src/services/NewId.ts"
import { UploadUrls } from "../../src/services/UploadUrls.ts"
import {
  announce,
  asRole,
  member,
  put,
  putInTurn,
  sha256,
  SpoolFolder,
  uploaded,
  uploadSecret,
  verifying,
  VideoBench
} from "../layers/VideoBench.ts"

const bytes = (text: string) => new Uint8Array(Buffer.from(text))

/** A body without a Content-Length, as a phone sends that does not know the size. */
const chunked = (parts: ReadonlyArray<Uint8Array<ArrayBuffer>>): RequestInit & { readonly duplex: "half" } => ({
  body: new ReadableStream({
    start(controller) {
      for (const part of parts) controller.enqueue(part)
      controller.close()
    }
  }),
  duplex: "half"
})

/** A sender that brings a byte and then neither goes on nor goes away, until its scope ends. */
const hanging = Effect.fnUntraced(function*(uploadUrl: string) {
  const { address } = yield* HttpServer.HttpServer
  const port = "port" in address ? address.port : 0
  return yield* Effect.acquireRelease(
    Effect.sync(() => {
      const sender = request(uploadUrl, { method: "PUT", port })
      sender.on("error", () => {})
      sender.write("f")
      return sender
    }),
    (sender) => Effect.sync(() => sender.destroy())
  )
})

const signing = UploadUrls.layer({ secret: Redacted.make(uploadSecret), base: "http://127.0.0.1" }).pipe(
  Layer.provide(NodeCrypto.layerMac)
)

const stored = Effect.flatMap(SpoolFolder, ({ path }) =>
  Effect.promise(async () => ({
    incoming: await readdir(join(path, "incoming")),
    videos: await readdir(join(path, "videos"))
  })))

const sendersOf = (videoId: VideoId) =>
  Effect.map(stored, ({ incoming }) => incoming.filter((name) => name.startsWith(videoId)).length)

layer(VideoBench, { timeout: "60 seconds", excludeTestServices: true })("uploads", (it) => {
  it.effect("keeps the bytes under their digest and says so", () =>
    Effect.gen(function*() {
      const user = yield* member
      const video = bytes("not really a video, and yet bytes")
      const ticket = yield* announce(user, video.length, sha256(video))
      assert.strictEqual(ticket.method, "PUT")
      assert.deepStrictEqual(ticket.headers, { "content-type": "video/mp4" })
      const answer = yield* put(ticket.uploadUrl, video, { headers: ticket.headers })
      assert.strictEqual(answer.status, 200)
      const { videoId } = ticket
      assert.deepStrictEqual(answer.json, { videoId, status: "complete", bytes: video.length, sha256: sha256(video) })
      const { path } = yield* SpoolFolder
      const kept = yield* Effect.promise(() => readFile(join(path, "videos", `${videoId}.${sha256(video)}`)))
      assert.deepStrictEqual(new Uint8Array(kept), video)
      assert.deepStrictEqual((yield* stored).incoming, [])
    }))

  it.effect("refuses a URL whose video, size, end or signature was changed, and one that was made up", () =>
    Effect.gen(function*() {
      const { uploadUrl, videoId } = yield* announce(yield* member, 4)
      const other = yield* newId(VideoId)
      const forged = [
        uploadUrl.replace(videoId, other),
        uploadUrl.replace("bytes=4", "bytes=5"),
        uploadUrl.replace(/expires=(\d+)/, (_, at: string) => `expires=${Number(at) + 1}`),
        uploadUrl.replace(/signature=.*/, "signature=AAAA"),
        uploadUrl.replace(/signature=.*/, `signature=${"A".repeat(43)}`),
        uploadUrl.replace(/&signature=.*/, ""),
        uploadUrl.replace(/\?.*/, "?bytes=x&expires=-1&signature=%00".replace("%00", "!"))
      ]
      for (const url of forged) {
        const answer = yield* put(url, bytes("four"))
        assert.strictEqual(answer.status, 403, url)
        assert.strictEqual(answer.json["code"], "UploadUrlInvalid")
        assert.strictEqual(answer.headers.get("content-type"), "application/problem+json")
      }
      assert.notInclude((yield* stored).videos.join(), videoId)
    }))

  it.effect("refuses more bytes than were announced, told beforehand or found on the way, and takes them afterwards", () =>
    Effect.gen(function*() {
      const { uploadUrl } = yield* announce(yield* member, 4)
      const told = yield* put(uploadUrl, bytes("fives"))
      assert.deepStrictEqual([told.status, told.json["code"], told.json["limit_bytes"]], [413, "PayloadTooLarge", 4])
      const found = yield* put(uploadUrl, "", chunked([bytes("fo"), bytes("ur"), bytes("s")]))
      assert.deepStrictEqual([found.status, found.json["code"]], [413, "PayloadTooLarge"])
      const short = yield* put(uploadUrl, "", chunked([bytes("fo")]))
      assert.deepStrictEqual([short.status, short.json["code"]], [422, "UploadSizeMismatch"])
      assert.strictEqual(short.json["received_bytes"], 2)
      assert.deepStrictEqual((yield* stored).incoming, [])
      assert.strictEqual((yield* put(uploadUrl, "", chunked([bytes("fo"), bytes("ur")]))).status, 200)
    }))

  it.effect("refuses bytes of another digest than was announced, and keeps nothing of them", () =>
    Effect.gen(function*() {
      const { uploadUrl, videoId } = yield* announce(yield* member, 4, sha256(bytes("four")))
      const answer = yield* put(uploadUrl, bytes("five"))
      assert.deepStrictEqual([answer.status, answer.json["code"]], [422, "UploadDigestMismatch"])
      assert.strictEqual(answer.json["received_sha256"], sha256(bytes("five")))
      assert.notInclude((yield* stored).videos.join(), videoId)
      assert.strictEqual((yield* put(uploadUrl, bytes("four"))).status, 200)
    }))

  it.effect("answers a repetition as the first time, and never lets it replace the bytes", () =>
    Effect.gen(function*() {
      const { uploadUrl } = yield* announce(yield* member, 4)
      const first = yield* put(uploadUrl, bytes("four"))
      const again = yield* put(uploadUrl, bytes("five"))
      assert.deepStrictEqual([again.status, again.json], [first.status, first.json])
    }))

  it.effect("lets one of two senders at once decide the bytes, and forgets the other's", () =>
    Effect.gen(function*() {
      const { uploadUrl, videoId } = yield* announce(yield* member, 4)
      const answers = yield* Effect.all([put(uploadUrl, bytes("four")), put(uploadUrl, bytes("five"))], {
        concurrency: "unbounded"
      })
      assert.strictEqual(answers[0].json["sha256"], answers[1].json["sha256"])
      const files = (yield* stored).videos.filter((name) => name.startsWith(videoId))
      assert.deepStrictEqual(files, [`${videoId}.${String(answers[0].json["sha256"])}`])
    }))

  it.effect("takes one video from two senders at once, so that hanging ones leave the places to other videos", () =>
    Effect.gen(function*() {
      const { uploadUrl, videoId } = yield* announce(yield* member, 4)
      const senders = yield* Scope.make()
      yield* Effect.all([hanging(uploadUrl), hanging(uploadUrl)]).pipe(Scope.provide(senders))
      const begun = sendersOf(videoId)
      yield* begun.pipe(Effect.repeat({ schedule: Schedule.spaced("10 millis"), until: (n) => n === 2 }))
      const third = yield* put(uploadUrl, bytes("four"))
      assert.deepStrictEqual([third.status, third.headers.get("retry-after")], [503, "5"])
      yield* uploaded(yield* member, bytes("else"))
      yield* Scope.close(senders, Exit.void)
      yield* begun.pipe(Effect.repeat({ schedule: Schedule.spaced("10 millis"), until: (n) => n === 0 }))
      assert.strictEqual((yield* putInTurn(uploadUrl, bytes("four"))).status, 200)
    }))

  it.effect("takes two bodies of one member at once, also when they go on for longer than their URLs", () =>
    Effect.gen(function*() {
      const user = yield* member
      const tickets = [yield* announce(user, 4), yield* announce(user, 4)] as const
      const senders = yield* Scope.make()
      for (const { uploadUrl, videoId } of tickets) {
        yield* hanging(uploadUrl).pipe(Scope.provide(senders))
        yield* sendersOf(videoId).pipe(Effect.repeat({ schedule: Schedule.spaced("10 millis"), until: (n) => n === 1 }))
      }
      yield* asRole("owner", `UPDATE video.uploads SET expires_at = now() WHERE user_id = '${user}'`)
      const { uploadUrl } = yield* announce(user, 4)
      const third = yield* put(uploadUrl, bytes("four"))
      assert.deepStrictEqual([third.status, third.headers.get("retry-after")], [503, "5"])
      yield* uploaded(yield* member, bytes("else"))
      yield* Scope.close(senders, Exit.void)
      assert.strictEqual((yield* putInTurn(uploadUrl, bytes("four"))).status, 200)
    }))

  it.effect("refuses a URL after its end", () =>
    Effect.gen(function*() {
      const { videoId } = yield* announce(yield* member, 4)
      const urls = yield* UploadUrls
      const expiresAt = DateTime.subtract(yield* DateTime.now, { seconds: 1 })
      const answer = yield* put(yield* urls.make({ videoId, bytes: 4, expiresAt }), bytes("four"))
      assert.deepStrictEqual([answer.status, answer.json["code"]], [403, "UploadUrlExpired"])
    }).pipe(Effect.provide(signing)))

  it.effect("allows two unfinished uploads at once, also when five are asked for at the same instant", () =>
    Effect.gen(function*() {
      const user = yield* member
      const asked = yield* Effect.all(Array.from({ length: 5 }, () => Effect.result(announce(user, 4))), {
        concurrency: "unbounded"
      })
      const refused = asked.flatMap((result) => result._tag === "Failure" ? [result.failure] : [])
      assert.deepStrictEqual(refused.map(({ _tag }) => _tag), Array.from({ length: 3 }, () => "TooManyRequests"))
      for (const error of refused) {
        if (error._tag === "TooManyRequests") assert.isAtMost(error.retry_after, 900)
      }
      const first = asked.flatMap((result) => result._tag === "Success" ? [result.success] : [])[0]
      yield* put(first?.uploadUrl ?? "", bytes("four"))
      yield* announce(user, 4)
    }))

  it.effect("does not verify what has not arrived, nor what is another member's", () =>
    Effect.gen(function*() {
      const user = yield* member
      const { videoId } = yield* announce(user, 4)
      assert.strictEqual((yield* Effect.flip(verifying(user, videoId)))._tag, "UploadUnfinished")
      const theirs = yield* uploaded(yield* member, bytes("four"))
      assert.strictEqual((yield* Effect.flip(verifying(user, theirs)))._tag, "NotFound")
      assert.deepStrictEqual(yield* asRole("owner", `SELECT 1 FROM video.submissions WHERE user_id = '${user}'`), [])
    }))

  it.effect("shares answers with pages of the allowed origins", () =>
    Effect.gen(function*() {
      const { uploadUrl } = yield* announce(yield* member, 4)
      const answer = yield* put(uploadUrl, bytes("four"), { headers: { origin: "https://app.example" } })
      assert.strictEqual(answer.headers.get("access-control-allow-origin"), "https://app.example")
    }))

  it.effect("counts 20,000 waiting submissions as full", () =>
    Effect.gen(function*() {
      const user = yield* member
      const videoId = yield* uploaded(user, bytes("four"))
      yield* asRole(
        "owner",
        `INSERT INTO video.submissions (id, user_id, video_id, campaign_id, status, rules, request_id)
         SELECT gen_random_uuid(), '${user}', '${videoId}', gen_random_uuid(), 'reserving', '{}', 'none'
         FROM generate_series(1, 20000)`
      )
      const refused = yield* Effect.flip(verifying(user, videoId))
      assert.strictEqual(refused._tag, "Unavailable")
      yield* asRole("owner", "DELETE FROM video.submissions WHERE status = 'reserving' AND request_id = 'none'")
      assert.strictEqual((yield* verifying(user, videoId)).status, "queued")
    }))
})
