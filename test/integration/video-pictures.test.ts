import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { HttpServer } from "effect/http"
import { createHmac } from "node:crypto"
import { readFile } from "node:fs/promises"
import { VideoId } from "../../src/domain/Ids.ts"
import { newId } from "../../src/services/NewId.ts"
import { Verifier } from "../../src/services/Verifier.ts"
import { Videos } from "../../src/services/Videos.ts"
import { Clips, jpegSize } from "../layers/clips.ts"
import { member, seen, uploaded, uploadSecret, verifying, VideoBench } from "../layers/VideoBench.ts"

const clip = (name: string) =>
  Effect.flatMap(Clips, ({ path }) => Effect.promise(async () => new Uint8Array(await readFile(path(name)))))
const verifyNext = Effect.flatMap(Verifier, ({ next }) => next)

const get = Effect.fnUntraced(function*(url: string | undefined) {
  const { address } = yield* HttpServer.HttpServer
  const to = new URL(url ?? "")
  if (address._tag === "InetAddressV4") to.port = String(address.port)
  return yield* Effect.promise(async () => {
    const answer = await fetch(to)
    return { status: answer.status, headers: answer.headers, body: Buffer.from(await answer.arrayBuffer()) }
  })
})

/** A URL as the API would make it, signed by other code. */
const signed = (videoId: VideoId, kind: string, expires: number) => {
  const message = `midnight-picture\n${videoId}\n${kind}\n${expires}`
  const signature = createHmac("sha256", uploadSecret).update(message).digest("base64url")
  return `http://127.0.0.1/pictures/${videoId}/${kind}?expires=${expires}&signature=${signature}`
}

// Verification is at idle priority: on a machine that is busy with other tests it waits.
const video = Effect.gen(function*() {
  const user = yield* member
  const videoId = yield* uploaded(user, yield* clip("scene.mp4"))
  const asked = yield* verifying(user, videoId)
  assert.isUndefined(asked.thumbnailUrl)
  yield* verifyNext
  return { user, videoId, done: yield* seen(user, asked.id) }
})

layer(Layer.merge(VideoBench, Clips.layer), { timeout: "60 seconds", excludeTestServices: true })("pictures", (it) => {
  it.effect(
    "come with a verified submission, in its view and in the list, and are JPEG files of the video's shape",
    () =>
      Effect.gen(function*() {
        const { done, user } = yield* video
        const thumbnail = yield* get(done.thumbnailUrl)
        assert.deepStrictEqual([thumbnail.status, thumbnail.headers.get("content-type")], [200, "image/jpeg"])
        assert.strictEqual(thumbnail.headers.get("cross-origin-resource-policy"), "cross-origin")
        assert.deepStrictEqual(jpegSize(thumbnail.body), [320, 180])
        const sheet = yield* get(done.contactSheetUrl)
        assert.strictEqual(sheet.status, 200)
        assert.deepStrictEqual(jpegSize(sheet.body), [1280, 720])
        const list = yield* Effect.flatMap(Videos, (videos) => videos.submissions(user, Option.none(), 10))
        assert.isString(list.items[0]?.thumbnailUrl)
      }),
    600_000
  )

  it.effect(
    "are not there for whoever has no URL, an old one, or one for something else",
    () =>
      Effect.gen(function*() {
        const { done, videoId } = yield* video
        const soon = Math.floor(Date.now() / 1_000) + 60
        assert.strictEqual((yield* get(signed(videoId, "thumbnail", soon))).status, 200)
        const url = done.thumbnailUrl ?? ""
        const refused = [
          signed(videoId, "thumbnail", soon - 120),
          signed(yield* newId(VideoId), "thumbnail", soon),
          signed(videoId, "video", soon),
          url.replace("thumbnail", "contact-sheet"),
          url.replace(/expires=(\d+)/, (_, at: string) => `expires=${Number(at) + 1}`),
          url.replace(/signature=.*/, `signature=${"A".repeat(43)}`),
          url.replace(/\?.*/, ""),
          url.replace(videoId, "..%2f..%2fetc")
        ]
        for (const one of refused) {
          const answer = yield* get(one)
          assert.strictEqual(answer.status, 404, one)
          assert.strictEqual(answer.headers.get("content-type"), "application/problem+json")
        }
      }),
    600_000
  )

  it.effect("are none for a file that could not be decoded", () =>
    Effect.gen(function*() {
      const user = yield* member
      const asked = yield* verifying(user, yield* uploaded(user, yield* clip("text.mp4")))
      yield* verifyNext
      const done = yield* seen(user, asked.id)
      assert.deepStrictEqual([done.status, done.thumbnailUrl, done.contactSheetUrl], ["rejected", undefined, undefined])
    }), 600_000)
})
