import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { AV_LOG_FATAL } from "node-av/constants"
import { Log } from "node-av/lib"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { CampaignId, type SubmissionId, UserId } from "../../src/domain/Ids.ts"
import { newId } from "../../src/services/NewId.ts"
import { Reviews } from "../../src/services/Reviews.ts"
import { SeenBefore } from "../../src/services/SeenBefore.ts"
import { Verifier } from "../../src/services/Verifier.ts"
import { edit, type EditName, editsOf } from "../layers/edits.ts"
import { fingerprintOfFile, Library, submitted } from "../layers/Library.ts"
import { PgTest } from "../layers/PgTest.ts"
import { film, variedScene } from "../layers/scenes.ts"
import { testConfig } from "../layers/TestConfig.ts"
import { asRole, member, seen, settlements, uploaded, verifying, VideoBench } from "../layers/VideoBench.ts"

// The short form of `npm run recall`: real encoder, decoder and database, few clips.
const seconds = 5
const scenes = [3, 7, 21, 30].map((seed) => ({ ...variedScene(seed), seconds }))
const edits: ReadonlyArray<EditName> = [
  "re-encode, low quality",
  "scale to a half",
  "scale to 1.5",
  "mirror",
  "letterbox",
  "pillarbox",
  "trim a third off the start",
  "trim a third off the end"
]

class Films extends Context.Service<Films, { readonly path: (name: string) => string }>()("midnight/test/Films") {
  static readonly layer = Layer.effect(
    Films,
    Effect.gen(function*() {
      Log.setLevel(AV_LOG_FATAL)
      const folder = yield* Effect.acquireRelease(
        Effect.promise(() => mkdtemp(join(tmpdir(), "midnight-films-"))),
        (path) => Effect.promise(() => rm(path, { recursive: true, force: true, maxRetries: 10 }))
      )
      const path = (name: string) => join(folder, `${name.replaceAll(/\W+/g, "_")}.mp4`)
      for (const scene of scenes) yield* Effect.promise(() => film(scene, path(String(scene.seed))))
      return { path }
    })
  )
}

const edited = Effect.fnUntraced(function*(seed: number, name: EditName) {
  const { path } = yield* Films
  const target = path(`${seed} ${name}`)
  yield* Effect.promise(() => edit(path(String(seed)), target, editsOf(seconds)[name]))
  return target
})

const look = Effect.fnUntraced(function*(path: string) {
  const { lookUp } = yield* SeenBefore
  const id = yield* submitted({ userId: yield* newId(UserId), campaignId: yield* newId(CampaignId), file: path })
  return { id, sighting: yield* lookUp(id, yield* Effect.promise(() => fingerprintOfFile(path))) }
})

/** Edits leave the library again, or the next one would be found by another edit of the same film. */
const takeOut = (id: SubmissionId) =>
  asRole(
    "owner",
    `DELETE FROM video.fingerprint_keys USING video.fingerprints p
      WHERE p.position = fingerprint_keys.position AND p.submission_id = '${id}'`
  )

const ground = Library.pipe(Layer.provide(testConfig()), Layer.provideMerge(PgTest.layer))
layer(Layer.merge(ground, Films.layer), { timeout: "120 seconds", excludeTestServices: true })(
  "a library of films",
  (it) => {
    it.effect("takes no film for another, and finds each after every edit", () =>
      Effect.gen(function*() {
        const { path } = yield* Films
        for (const { seed } of scenes) {
          const { sighting } = yield* look(path(String(seed)))
          assert.deepStrictEqual(sighting, { _tag: "Nothing" }, `film ${seed}`)
        }
        for (const [at, name] of edits.entries()) {
          const seed = scenes[at % scenes.length]?.seed ?? 0
          const { id, sighting } = yield* look(yield* edited(seed, name))
          yield* takeOut(id)
          assert.deepInclude(sighting, { _tag: "SamePictures", sure: true }, `film ${seed}: ${name}`)
          if (sighting._tag !== "SamePictures") continue
          assert.strictEqual(sighting.match.mirrored, name === "mirror", name)
          const shift = name === "trim a third off the start" ? seconds / 3 : 0
          assert.approximately(sighting.match.theirFrom - sighting.match.from, shift, 0.21, name)
        }
      }), 600_000)
  }
)

layer(Layer.merge(VideoBench, Films.layer), { timeout: "120 seconds", excludeTestServices: true })(
  "the verdict on a film seen before",
  (it) => {
    it.effect(
      "refuses another's film, mirrored, and tells the member when but neither whose nor which",
      () =>
        Effect.gen(function*() {
          const { path } = yield* Films
          const { next } = yield* Verifier
          const sent = Effect.fnUntraced(function*(file: string) {
            const user = yield* member
            const bytes = new Uint8Array(yield* Effect.promise(() => readFile(file)))
            const asked = yield* verifying(user, yield* uploaded(user, bytes), yield* newId(CampaignId))
            yield* next
            return { user, done: yield* seen(user, asked.id) }
          })
          const first = yield* sent(path("3"))
          const check = ({ done }: typeof first) => done.checks.find(({ name }) => name === "seen_before")
          assert.deepInclude(check(first), { outcome: "pass", measured: "no earlier video agrees" })
          const second = yield* sent(yield* edited(3, "mirror"))
          assert.strictEqual(second.done.status, "rejected")
          assert.deepInclude(check(second), {
            outcome: "fail",
            measured: "0.0 to 5.0 s shows 0.0 to 5.0 s of an earlier video, mirrored",
            limit: "not submitted before"
          })
          assert.isTrue(second.done.verdict?.reasons.some((reason) => reason.startsWith("seen_before: ")))
          const told = JSON.stringify(second.done)
          for (const secret of [first.user, first.done.id, first.done.videoId]) assert.notInclude(told, secret)
          assert.strictEqual((yield* settlements(second.done.id)).length, 1)
          const { queue } = yield* Reviews
          const reviewed = yield* queue({ status: "rejected", cursor: undefined, limit: 20 })
          const shown = reviewed.items.find(({ id }) => id === second.done.id)
          assert.deepInclude(shown?.seenBefore, {
            submissionId: first.done.id,
            sure: true,
            mirrored: true,
            earlierTo: 5
          })
        }),
      600_000
    )
  }
)
