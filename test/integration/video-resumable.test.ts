import { assert, layer } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { append, checksum, offsetOf, spooled, stalled, tusRequest } from "../layers/TusBench.ts"
import { announce, asRole, member, put, sha256, SpoolFolder, VideoBench } from "../layers/VideoBench.ts"

const bytes = (text: string) => new Uint8Array(Buffer.from(text))
const type = { "content-type": "application/offset+octet-stream" }

layer(VideoBench, { timeout: "60 seconds", excludeTestServices: true })("a resumable upload", (it) => {
  it.effect("is told of by OPTIONS, without a version", () =>
    Effect.gen(function*() {
      const { uploadUrl } = yield* announce(yield* member, 4)
      const answer = yield* tusRequest("OPTIONS", uploadUrl)
      assert.strictEqual(answer.status, 204)
      assert.strictEqual(answer.headers.get("tus-version"), "1.0.0")
      assert.strictEqual(answer.headers.get("tus-extension"), "checksum,expiration,termination")
      assert.strictEqual(answer.headers.get("tus-checksum-algorithm"), "sha1,sha256")
      assert.strictEqual(answer.headers.get("tus-max-size"), "209715200")
    }))

  it.effect("arrives in stretches, each from where the last ended, and is the video then", () =>
    Effect.gen(function*() {
      const video = bytes("not really a video")
      const { uploadUrl, videoId } = yield* announce(yield* member, video.length, sha256(video))
      const begun = yield* offsetOf(uploadUrl)
      assert.deepStrictEqual([begun.status, begun.offset], [200, "0"])
      assert.strictEqual(begun.headers.get("upload-length"), String(video.length))
      assert.strictEqual(begun.headers.get("cache-control"), "no-store")
      assert.strictEqual(begun.headers.get("tus-resumable"), "1.0.0")
      assert.isAbove(Date.parse(begun.headers.get("upload-expires") ?? ""), Date.now() + 24 * 3_600_000)
      const first = yield* append(uploadUrl, 0, video.slice(0, 5))
      assert.deepStrictEqual([first.status, first.offset], [204, "5"])
      assert.strictEqual((yield* offsetOf(uploadUrl)).offset, "5")
      const last = yield* append(uploadUrl, 5, video.slice(5))
      assert.deepStrictEqual([last.status, last.offset], [204, String(video.length)])
      assert.isNull(last.headers.get("upload-expires"))
      const { path } = yield* SpoolFolder
      const kept = yield* Effect.promise(() => readFile(join(path, "videos", `${videoId}.${sha256(video)}`)))
      assert.deepStrictEqual(new Uint8Array(kept), video)
      assert.deepStrictEqual(yield* spooled("partial", videoId), [])
      assert.strictEqual((yield* offsetOf(uploadUrl)).offset, String(video.length))
      // The one-shot PUT of the same URL now finds it finished.
      const again = yield* put(uploadUrl, video)
      assert.deepStrictEqual(again.json["sha256"], sha256(video))
    }))

  it.effect("refuses what the protocol refuses, with problems", () =>
    Effect.gen(function*() {
      const { uploadUrl } = yield* announce(yield* member, 4)
      const refused = Effect.fnUntraced(
        function*(headers: Readonly<Record<string, string>>, url = uploadUrl, body = "four") {
          const { json, status } = yield* tusRequest("PATCH", url, { ...type, ...headers }, body)
          return [status, json["code"]]
        }
      )
      const at = { "upload-offset": "0" }
      assert.deepStrictEqual(yield* refused({ ...at, "tus-resumable": "0.2.2" }), [412, "TusVersionUnsupported"])
      assert.deepStrictEqual(yield* refused({ ...at, "content-type": "video/mp4" }), [415, "UnsupportedMediaType"])
      assert.deepStrictEqual(yield* refused({ "upload-offset": "2" }), [409, "UploadOffsetMismatch"])
      assert.deepStrictEqual(yield* refused({}), [400, "InvalidRequest"])
      assert.deepStrictEqual(yield* refused({ "upload-offset": "-1" }), [400, "InvalidRequest"])
      assert.deepStrictEqual(yield* refused({ ...at, "upload-checksum": "md5 AAAA" }), [400, "InvalidRequest"])
      assert.deepStrictEqual(yield* refused(at, uploadUrl, "fives"), [413, "PayloadTooLarge"])
      const forged = uploadUrl.replace(/signature=.*/, `signature=${"A".repeat(43)}`)
      assert.deepStrictEqual(yield* refused(at, forged), [403, "UploadUrlInvalid"])
      const old = yield* tusRequest("HEAD", uploadUrl, { "tus-resumable": "0.2.2" })
      assert.deepStrictEqual([old.status, old.headers.get("tus-version")], [412, "1.0.0"])
      assert.strictEqual((yield* offsetOf(uploadUrl)).offset, "0")
    }))

  it.effect("counts a stretch with a wrong checksum not at all, and one with the right checksum whole", () =>
    Effect.gen(function*() {
      const { uploadUrl } = yield* announce(yield* member, 8)
      yield* append(uploadUrl, 0, bytes("ab"))
      const wrong = yield* append(uploadUrl, 2, bytes("cd"), checksum(bytes("xy")))
      assert.deepStrictEqual([wrong.status, wrong.json["code"]], [460, "UploadChecksumMismatch"])
      assert.strictEqual((yield* offsetOf(uploadUrl)).offset, "2")
      const right = yield* append(uploadUrl, 2, bytes("cd"), checksum(bytes("cd")))
      assert.deepStrictEqual([right.status, right.offset], [204, "4"])
      assert.strictEqual((yield* append(uploadUrl, 4, bytes("efgh"), checksum(bytes("efgh"), "sha256"))).offset, "8")
    }))

  it.effect("is begun again when its bytes have another digest than was announced", () =>
    Effect.gen(function*() {
      const { uploadUrl, videoId } = yield* announce(yield* member, 4, sha256(bytes("four")))
      const answer = yield* append(uploadUrl, 0, bytes("five"))
      assert.deepStrictEqual([answer.status, answer.json["code"]], [422, "UploadDigestMismatch"])
      assert.deepStrictEqual([...(yield* spooled("partial", videoId)), ...(yield* spooled("videos", videoId))], [])
      assert.strictEqual((yield* offsetOf(uploadUrl)).offset, "0")
      assert.strictEqual((yield* append(uploadUrl, 0, bytes("four"))).status, 204)
    }))

  it.effect("goes on although the server has not noticed that the old connection is dead", () =>
    Effect.gen(function*() {
      const { uploadUrl, videoId } = yield* announce(yield* member, 8)
      const { ended } = yield* stalled(uploadUrl, bytes("ab"), 8)
      yield* spooled("partial", videoId).pipe(
        Effect.repeat({ schedule: Schedule.spaced("10 millis"), until: (names) => names.length === 1 })
      )
      const { path } = yield* SpoolFolder
      yield* Effect.promise(() => readFile(join(path, "partial", videoId), "utf8")).pipe(
        Effect.repeat({ schedule: Schedule.spaced("10 millis"), until: (text) => text === "ab" })
      )
      assert.strictEqual((yield* offsetOf(uploadUrl)).offset, "2")
      assert.strictEqual(yield* Effect.promise(() => ended), 503)
      assert.strictEqual((yield* append(uploadUrl, 2, bytes("cdefgh"))).offset, "8")
    }).pipe(Effect.scoped))

  it.effect("lets nobody without the signature interrupt it", () =>
    Effect.gen(function*() {
      const { uploadUrl, videoId } = yield* announce(yield* member, 8)
      const { ended } = yield* stalled(uploadUrl, bytes("ab"), 8)
      yield* spooled("partial", videoId).pipe(
        Effect.repeat({ schedule: Schedule.spaced("10 millis"), until: (names) => names.length === 1 })
      )
      const forged = uploadUrl.replace(/signature=.*/, `signature=${"A".repeat(43)}`)
      assert.strictEqual((yield* offsetOf(forged)).status, 403)
      const outcome = yield* Effect.raceFirst(
        Effect.promise(() => ended),
        Effect.as(Effect.sleep("100 millis"), "still sending")
      )
      assert.strictEqual(outcome, "still sending")
    }).pipe(Effect.scoped))

  it.effect("is taken back with its bytes and its share of the limits, unless it is complete", () =>
    Effect.gen(function*() {
      const user = yield* member
      const { uploadUrl, videoId } = yield* announce(user, 4)
      yield* announce(user, 4)
      assert.strictEqual((yield* Effect.flip(announce(user, 4)))._tag, "TooManyRequests")
      yield* append(uploadUrl, 0, bytes("fo"))
      assert.strictEqual((yield* tusRequest("DELETE", uploadUrl)).status, 204)
      assert.deepStrictEqual(yield* spooled("partial", videoId), [])
      assert.strictEqual((yield* offsetOf(uploadUrl)).status, 404)
      const other = yield* announce(user, 4)
      yield* append(other.uploadUrl, 0, bytes("four"))
      const refused = yield* tusRequest("DELETE", other.uploadUrl)
      assert.deepStrictEqual([refused.status, refused.json["code"]], [409, "UploadComplete"])
    }))

  it.effect("is one of its member's two for as long as it can be resumed, and one that was not begun until its URL ends", () =>
    Effect.gen(function*() {
      const user = yield* member
      const [begun, notBegun] = [yield* announce(user, 4), yield* announce(user, 4)]
      yield* append(begun.uploadUrl, 0, bytes("fo"))
      yield* asRole(
        "owner",
        `UPDATE video.uploads SET expires_at = now() - interval '1 minute' WHERE user_id = '${user}'`
      )
      assert.notStrictEqual((yield* announce(user, 4)).videoId, notBegun.videoId)
      const refused = yield* Effect.flip(announce(user, 4))
      assert.strictEqual(refused._tag, "TooManyRequests")
      assert.strictEqual((yield* tusRequest("DELETE", begun.uploadUrl)).status, 204)
      yield* announce(user, 4)
    }))

  it.effect("is open to pages of the allowed origins: headers to send, headers to read", () =>
    Effect.gen(function*() {
      const { uploadUrl } = yield* announce(yield* member, 4)
      const origin = { origin: "https://app.example" }
      const asked = yield* tusRequest("OPTIONS", uploadUrl, { ...origin, "access-control-request-method": "PATCH" })
      assert.include(asked.headers.get("access-control-allow-methods") ?? "", "PATCH")
      const allowed = (asked.headers.get("access-control-allow-headers") ?? "").split(", ")
      assert.includeMembers(allowed, ["Tus-Resumable", "Upload-Offset", "Upload-Checksum", "Content-Type"])
      const head = yield* tusRequest("HEAD", uploadUrl, origin)
      assert.strictEqual(head.headers.get("access-control-allow-origin"), "https://app.example")
      const exposed = (head.headers.get("access-control-expose-headers") ?? "").split(", ")
      assert.includeMembers(exposed, ["Tus-Resumable", "Upload-Offset", "Upload-Length", "Upload-Expires", "Location"])
    }))
})
