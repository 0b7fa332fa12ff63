import { NodeCrypto } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Layer, Option, Redacted, Schema } from "effect"
import { CampaignId, SubmissionId, UserId, VideoId } from "../../src/domain/Ids.ts"
import { Amount } from "../../src/domain/Money.ts"
import { defaultRules } from "../../src/domain/Verification.ts"
import {
  CreateUpload,
  look,
  type ProcessWatch,
  type StoredSubmission,
  SubmissionCursor,
  unwatched,
  view
} from "../../src/domain/Video.ts"
import { UploadUrls } from "../../src/services/UploadUrls.ts"

const id = "01890a5d-ac96-774b-bcce-b302099a8057"
const at = DateTime.makeUnsafe("2026-01-02T03:04:05.678Z")

describe("the watch over processes", () => {
  const seen = (...looks: ReadonlyArray<ReadonlyArray<string>>): ProcessWatch => looks.reduce(look, unwatched)

  it("counts a new process as a restart only when one was lost", () => {
    assert.strictEqual(seen([], ["a"]).restarts, 0)
    assert.strictEqual(seen(["a"], ["a"], ["a"]).restarts, 0)
    assert.strictEqual(seen(["a"], [], ["b"]).restarts, 1)
    assert.strictEqual(seen(["a"], ["b"]).restarts, 1)
    assert.strictEqual(seen(["a"], ["a", "b"]).restarts, 0)
    assert.strictEqual(seen(["a", "b"], ["c"], ["c", "d"], ["c", "d", "e"]).restarts, 2)
  })
})

describe("a submission as its owner sees it", () => {
  const stored = (part: Partial<StoredSubmission>): StoredSubmission => ({
    id: SubmissionId.make(id),
    userId: UserId.make(id),
    campaignId: Option.some(CampaignId.make(id)),
    videoId: VideoId.make(id),
    status: "queued",
    rules: defaultRules,
    reward: Option.some({ amount: Amount.make(5n), currency: "NGN" }),
    checks: [],
    reasons: ["audio: none"],
    decidedBy: Option.none(),
    attempts: 0,
    hasPictures: false,
    createdAt: at,
    updatedAt: at,
    ...part
  })

  it("is nothing while its slot is not certain", () => {
    assert.isTrue(Option.isNone(view(stored({ status: "reserving" }))))
  })

  it("shows a verdict once there is one, and the reward once it is earned", () => {
    for (const status of ["queued", "verifying", "failed"] as const) {
      const { reward, verdict } = Option.getOrThrow(view(stored({ status })))
      assert.deepStrictEqual([reward, verdict], [undefined, undefined], status)
    }
    for (const status of ["rejected", "needs_review"] as const) {
      const { reward, verdict } = Option.getOrThrow(view(stored({ status, decidedBy: Option.some("worker") })))
      assert.isUndefined(reward)
      assert.deepStrictEqual(verdict, { outcome: status, reasons: ["audio: none"], by: "worker" })
    }
    const approved = view(stored({ status: "approved", decidedBy: Option.some("worker") }))
    assert.deepStrictEqual(Option.getOrThrow(approved).reward, { amount: Amount.make(5n), currency: "NGN" })
  })
})

describe("what may be announced", () => {
  const decode = Schema.decodeUnknownOption(CreateUpload)
  it("has 1 byte to 200 MiB and a type that Midnight takes", () => {
    assert.isTrue(Option.isSome(decode({ bytes: 1, contentType: "video/mp4" })))
    assert.isTrue(Option.isSome(decode({ bytes: 209_715_200, contentType: "video/webm", sha256: "a".repeat(64) })))
    for (
      const wrong of [
        { bytes: 0, contentType: "video/mp4" },
        { bytes: 209_715_201, contentType: "video/mp4" },
        { bytes: 1.5, contentType: "video/mp4" },
        { bytes: "1", contentType: "video/mp4" },
        { bytes: 1, contentType: "image/png" },
        { bytes: 1, contentType: "video/mp4", sha256: "A".repeat(64) }
      ]
    ) assert.isTrue(Option.isNone(decode(wrong)), JSON.stringify(wrong))
  })
})

describe("a cursor", () => {
  it("finds its place again, and is refused when it was made up", () => {
    const place = [at, SubmissionId.make(id)] as const
    const text = Schema.encodeSync(SubmissionCursor)(place)
    assert.match(text, /^[\w-]+$/)
    assert.deepStrictEqual(Schema.decodeSync(SubmissionCursor)(text), place)
    for (const wrong of ["", "x", "W10", btoa("[\"2026\",\"no id\"]")]) {
      assert.isTrue(Option.isNone(Schema.decodeUnknownOption(SubmissionCursor)(wrong)), wrong)
    }
  })
})

describe("an upload URL", () => {
  const urls = (secret: string) =>
    UploadUrls.layer({ secret: Redacted.make(secret), base: "https://video.example/" }).pipe(
      Layer.provide(NodeCrypto.layerMac)
    )
  const grant = { videoId: VideoId.make(id), bytes: 7, expiresAt: DateTime.makeUnsafe(1_767_323_045_000) }

  // The expected tag is `printf 'midnight-upload\n<id>\n7\n1767323045' | openssl dgst -sha256 -hmac first -binary`, base64url.
  it.effect("carries an HMAC-SHA256 of the video, its size and the URL's end", () =>
    Effect.gen(function*() {
      const { make, verify } = yield* UploadUrls
      const url = new URL(yield* make(grant))
      assert.strictEqual(`${url.origin}${url.pathname}`, `https://video.example/uploads/${id}`)
      assert.strictEqual(url.searchParams.get("signature"), "m7PDv6gSY-BibqH8Hmq63aTToGiyY8swvGA3xvGXWcM")
      const signature = url.searchParams.get("signature") ?? ""
      assert.isTrue(yield* verify(grant, signature))
      assert.isFalse(yield* verify({ ...grant, bytes: 8 }, signature))
      assert.isFalse(yield* verify(grant, ""))
      assert.isFalse(yield* verify(grant, "not base64url!"))
    }).pipe(Effect.provide(urls("first"))))

  it.effect("made under another secret is not ours", () =>
    Effect.gen(function*() {
      const theirs = new URL(yield* Effect.provide(UploadUrls.use(({ make }) => make(grant)), urls("second")))
      const { verify } = yield* UploadUrls
      assert.isFalse(yield* verify(grant, theirs.searchParams.get("signature") ?? ""))
    }).pipe(Effect.provide(urls("first"))))
})
