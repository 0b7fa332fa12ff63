import { PgClient } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { CampaignId, UserId } from "../../src/domain/Ids.ts"
import { bytesPerFrame, framesPerSecond } from "../../src/domain/SeenBefore.ts"
import { makeFingerprint } from "../../src/layers/media/Fingerprint.ts"
import { newId } from "../../src/services/NewId.ts"
import { SeenBefore } from "../../src/services/SeenBefore.ts"
import { Library, type Submitted, submitted } from "../layers/Library.ts"
import { PgTest } from "../layers/PgTest.ts"
import { draw, sceneFps, sceneHeight, sceneWidth, variedScene } from "../layers/scenes.ts"
import { testConfig } from "../layers/TestConfig.ts"
import { asRole } from "../layers/VideoBench.ts"

/** What a moving scene of six seconds looks like to the look-up. */
const fingerprint = (seed: number) => {
  const print = makeFingerprint()
  let number = 0
  for (const luma of draw({ ...variedScene(seed), seconds: 6, pan: 0.8 })) {
    if (number++ % (sceneFps / framesPerSecond) === 0) print.look({ width: sceneWidth, height: sceneHeight, luma })
  }
  return print.finish()
}
const none = new Uint8Array(0)
const [scene, other, third] = [fingerprint(11), fingerprint(12), fingerprint(13)]
const lastThird = scene.subarray(10 * bytesPerFrame)

const looked = Effect.fnUntraced(function*(one: Submitted, frames: Uint8Array) {
  const { lookUp } = yield* SeenBefore
  const id = yield* submitted(one)
  return { id, sighting: yield* lookUp(id, frames) }
})
const someone = Effect.all({ userId: newId(UserId), campaignId: newId(CampaignId) })

const Ground = Library.pipe(Layer.provide(testConfig()), Layer.provideMerge(PgTest.layer))

layer(Ground, { timeout: "60 seconds", excludeTestServices: true })("a video seen before", (it) => {
  it.effect("is found by its file and by its pictures, whoever sent it to whichever campaign", () =>
    Effect.gen(function*() {
      const first = yield* looked({ ...yield* someone, file: "a" }, scene)
      assert.deepStrictEqual(first.sighting, { _tag: "Nothing" })
      assert.strictEqual((yield* looked({ ...yield* someone, file: "a" }, none)).sighting._tag, "SameFile")
      const cut = yield* looked({ ...yield* someone, file: "b" }, lastThird)
      assert.deepInclude(cut.sighting, { _tag: "SamePictures", sure: true })
      if (cut.sighting._tag !== "SamePictures") return
      assert.deepInclude(cut.sighting.match, { mirrored: false, from: 0, to: 4, theirFrom: 2, theirTo: 6 })
      assert.strictEqual((yield* looked({ ...yield* someone, file: "c" }, other)).sighting._tag, "Nothing")
      const [row] = yield* asRole(
        "owner",
        `SELECT e.submission_id, m.kind, m.sure, m.earlier_from_seconds, m.earlier_to_seconds FROM video.matches m
           JOIN video.fingerprints p ON p.position = m.position AND p.submission_id = '${cut.id}'
           JOIN video.fingerprints e ON e.position = m.earlier`
      )
      assert.deepStrictEqual(row, [first.id, "pictures", true, 2, 6])
    }))

  it.effect("keeps its place and its answer when it is looked up again", () =>
    Effect.gen(function*() {
      const { lookUp } = yield* SeenBefore
      const first = yield* looked({ ...yield* someone, file: "d" }, third)
      const second = yield* looked({ ...yield* someone, file: "e" }, third)
      assert.deepStrictEqual(yield* lookUp(first.id, third), { _tag: "Nothing" })
      assert.deepStrictEqual(yield* lookUp(second.id, third), second.sighting)
      const places = yield* asRole(
        "owner",
        `SELECT count(*)::int FROM video.fingerprints WHERE submission_id IN ('${first.id}', '${second.id}')`
      )
      assert.deepStrictEqual(places, [[2]])
    }))

  it.effect("has exactly one first, though two members send it at the same instant, 50 times", () =>
    Effect.gen(function*() {
      for (let round = 0; round < 50; round++) {
        const both = yield* Effect.all([0, 1].map(() => someone))
        const answers = yield* Effect.forEach(
          both,
          // Every second time the files differ and only the pictures are equal.
          (who, at) => looked({ ...who, file: `race ${round} ${round % 2 === 0 ? "" : at}` }, noise(round)),
          { concurrency: "unbounded" }
        )
        const seen = answers.map(({ sighting }) => sighting._tag).sort()
        assert.deepStrictEqual(seen, ["Nothing", round % 2 === 0 ? "SameFile" : "SamePictures"], `round ${round}`)
      }
    }))

  it.effect("may be sent again by its owner once it is rejected, or was for no campaign; by nobody else", () =>
    Effect.gen(function*() {
      const me = yield* someone
      const seenAfter = Effect.fnUntraced(function*(before: Submitted, again: Omit<Submitted, "file">) {
        yield* looked(before, none)
        return (yield* looked({ ...again, file: before.file }, none)).sighting._tag === "SameFile"
      })
      const stranger = yield* someone
      assert.isFalse(yield* seenAfter({ ...me, file: "short", status: "rejected" }, me))
      assert.isFalse(yield* seenAfter({ userId: me.userId, file: "trial" }, me))
      assert.isTrue(
        yield* seenAfter(
          { ...me, file: "paid", status: "approved" },
          yield* Effect.map(someone, (it) => ({ ...it, userId: me.userId }))
        )
      )
      assert.isTrue(yield* seenAfter({ ...me, file: "undecided" }, me))
      assert.isTrue(yield* seenAfter({ ...me, file: "dead letter", status: "failed" }, me))
      assert.isTrue(yield* seenAfter({ ...me, file: "theirs", status: "rejected" }, stranger))
      assert.isTrue(yield* seenAfter({ userId: me.userId, file: "their trial" }, stranger))
    }))

  it.effect("finds another's original behind any number of a member's own rejected copies", () =>
    Effect.gen(function*() {
      const frames = noise(99)
      const me = yield* someone
      yield* looked({ ...yield* someone, file: "original" }, frames)
      for (let copy = 0; copy < 25; copy++) yield* looked({ ...me, file: `copy ${copy}`, status: "rejected" }, frames)
      const last = yield* looked({ ...me, file: "copy again" }, frames)
      assert.deepInclude(last.sighting, { _tag: "SamePictures", sure: true })
    }))

  it.effect("cannot be made first, moved, forgotten or unlinked by the worker's role", () =>
    Effect.gen(function*() {
      const { id } = yield* looked({ ...yield* someone, file: "mine" }, none)
      const fresh = yield* submitted({ ...yield* someone, file: "fresh" })
      const sql = yield* PgClient.PgClient
      const refused = (statement: string) =>
        Effect.map(Effect.flip(asRole("video_worker", statement)), ({ reason }) => String(reason.cause))
      for (
        const statement of [
          `INSERT INTO video.fingerprints (submission_id, frames, position) VALUES ('${fresh}', '', 1)`,
          `INSERT INTO video.fingerprints (submission_id, frames, sha256) VALUES ('${fresh}', '', repeat('0', 64))`,
          `UPDATE video.fingerprints SET position = 1000 WHERE submission_id = '${id}'`,
          `DELETE FROM video.fingerprints WHERE submission_id = '${id}'`,
          `DELETE FROM video.fingerprint_keys`,
          `UPDATE video.fingerprint_order SET last = 0`,
          `DELETE FROM video.matches`
        ]
      ) assert.include(yield* refused(statement), "permission denied", statement)
      const [place] = yield* sql<{ readonly position: string }>`
        SELECT position::text FROM video.fingerprints WHERE submission_id = ${id}`
      const later = `INSERT INTO video.matches (position, earlier, kind, sure, mirrored, from_seconds, to_seconds,
        earlier_from_seconds, earlier_to_seconds) VALUES (1, ${place?.position}, 'file', true, false, 0, 0, 0, 0)`
      assert.include(yield* refused(later), "matches_check")
    }))
})

/** A fingerprint of thirty pictures, all different, and different for each seed; nothing is drawn. */
function noise(seed: number): Uint8Array {
  const frames = new Uint8Array(30 * bytesPerFrame)
  let state = seed + 1
  for (let at = 0; at < frames.length; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    frames[at] = state >>> 24
  }
  return frames
}
