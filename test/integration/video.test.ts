import { assert, layer, vi } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Option, Ref } from "effect"
import { readFile } from "node:fs/promises"
import { CampaignId } from "../../src/domain/Ids.ts"
import { defaultRules } from "../../src/domain/Verification.ts"
import { MediaEngineFailed } from "../../src/services/MediaEngine.ts"
import { newId } from "../../src/services/NewId.ts"
import { Verdicts } from "../../src/services/Verdicts.ts"
import { Verifier } from "../../src/services/Verifier.ts"
import { Clips } from "../layers/clips.ts"
import {
  asRole,
  commandsOf,
  Faults,
  member,
  reward,
  seen,
  settlements,
  sha256,
  uploaded,
  verifying,
  VideoBench
} from "../layers/VideoBench.ts"

// Verification is at the lowest priority: on a machine that is busy with other tests it waits.
vi.setConfig({ testTimeout: 600_000 })

const bytes = (text: string) => new Uint8Array(Buffer.from(text))
const clip = (name: string) =>
  Effect.flatMap(Clips, ({ path }) => Effect.promise(async () => new Uint8Array(await readFile(path(name)))))

const verifyNext = Effect.flatMap(Verifier, ({ next }) => next)

/** The next attempt is due at once, so that no test waits for a pause. */
const dueNow = asRole("owner", "UPDATE queue.verification_commands SET visible_at = now() WHERE state = 'pending'")

/** Runs a test while the engine answers as ordered. */
const whileEngineIs = (answer: Effect.Effect<never, MediaEngineFailed>) => <A, E, R>(work: Effect.Effect<A, E, R>) =>
  Effect.flatMap(
    Faults,
    ({ analyse }) =>
      Effect.acquireUseRelease(
        Ref.set(analyse, Option.some(() => answer)),
        () => work,
        () => Ref.set(analyse, Option.none())
      )
  )

const crash = Effect.fail(new MediaEngineFailed({ reason: "crashed", detail: "ordered by the test" }))

layer(Layer.merge(VideoBench, Clips.layer), { timeout: "120 seconds", excludeTestServices: true })(
  "verification",
  (it) => {
    it.effect("approves a real video for a campaign, shows its checks and reward, and tells the money side once", () =>
      Effect.gen(function*() {
        const user = yield* member
        const scene = yield* clip("scene.mp4")
        const campaignId = yield* newId(CampaignId)
        const videoId = yield* uploaded(user, scene)
        const asked = yield* verifying(user, videoId, campaignId).pipe(Effect.withSpan("request"))
        assert.deepStrictEqual([asked.status, asked.attempts, asked.campaignId], ["queued", 0, campaignId])
        assert.isUndefined(asked.reward)
        yield* verifyNext
        const done = yield* seen(user, asked.id)
        assert.strictEqual(done.status, "approved")
        assert.deepStrictEqual(done.verdict, { outcome: "approved", reasons: [], by: "worker" })
        assert.deepStrictEqual(done.reward, reward)
        assert.strictEqual(done.attempts, 1)
        assert.include(done.checks.map(({ name }) => name), "resolution")
        assert.deepStrictEqual(done.checks.filter(({ outcome }) => outcome !== "pass"), [])
        assert.strictEqual((yield* settlements(asked.id)).length, 1)
        const verdict = yield* Effect.flatMap(Verdicts, (verdicts) => verdicts.of(asked.id))
        const reference = {
          verdict: "approved",
          decidedBy: "worker",
          videoSha256: sha256(scene),
          rulesVersion: String(defaultRules.version)
        }
        assert.deepStrictEqual(verdict, Option.some({ outcome: "approved", userId: user, campaignId, reference }))
      }))

    it.effect("keeps request, verification and settlement in one trace", () =>
      Effect.gen(function*() {
        const user = yield* member
        const videoId = yield* uploaded(user, yield* clip("text.mp4"))
        const campaignId = yield* newId(CampaignId)
        const { asked, traceId } = yield* Effect.gen(function*() {
          const span = yield* Effect.currentSpan
          return { asked: yield* verifying(user, videoId, campaignId), traceId: span.traceId }
        }).pipe(Effect.withSpan("request"))
        yield* verifyNext
        const told = yield* settlements(asked.id)
        assert.include(told[0]?.traceparent, traceId)
      }))

    it.effect("rejects a black, silent video with its reasons, and without a campaign tells the money side nothing", () =>
      Effect.gen(function*() {
        const user = yield* member
        const asked = yield* verifying(user, yield* uploaded(user, yield* clip("black.mp4")))
        yield* verifyNext
        const done = yield* seen(user, asked.id)
        assert.deepStrictEqual([done.status, done.verdict?.outcome], ["rejected", "rejected"])
        assert.isTrue(done.verdict?.reasons.some((reason) => reason.startsWith("black_frames")))
        assert.isUndefined(done.reward)
        assert.deepStrictEqual(yield* settlements(asked.id), [])
      }))

    it.effect("makes a dead letter of what fails three times, and no fourth attempt", () =>
      Effect.gen(function*() {
        const user = yield* member
        const asked = yield* verifying(user, yield* uploaded(user, bytes("poison")), yield* newId(CampaignId))
        for (const attempt of [1, 2, 3]) {
          yield* verifyNext.pipe(whileEngineIs(crash))
          const now = yield* seen(user, asked.id)
          assert.deepStrictEqual([now.status, now.attempts], [attempt < 3 ? "verifying" : "failed", attempt])
          yield* dueNow
        }
        assert.deepStrictEqual(yield* commandsOf(asked.id), [{ state: "failed", attempts: 3 }])
        assert.deepStrictEqual(yield* settlements(asked.id), [])
      }))

    it.effect("tells a submission whose command the queue gave up by itself", () =>
      Effect.gen(function*() {
        const user = yield* member
        const verifier = yield* Verifier
        const asked = yield* verifying(user, yield* uploaded(user, bytes("killer")))
        yield* asRole("owner", `UPDATE queue.verification_commands SET state = 'failed' WHERE id = '${asked.id}'`)
        yield* verifier.sweep
        assert.strictEqual((yield* seen(user, asked.id)).status, "failed")
      }))

    it.effect("gives an interrupted verification back at once, without counting it", () =>
      Effect.gen(function*() {
        const user = yield* member
        const begun = yield* Deferred.make<void>()
        const asked = yield* verifying(user, yield* uploaded(user, yield* clip("scene.webm")))
        const hangs = Effect.andThen(Deferred.succeed(begun, undefined), Effect.never)
        yield* Effect.gen(function*() {
          const working = yield* Effect.forkChild(verifyNext)
          yield* Deferred.await(begun)
          assert.strictEqual((yield* seen(user, asked.id)).status, "verifying")
          yield* Fiber.interrupt(working)
        }).pipe(whileEngineIs(hangs))
        assert.deepStrictEqual(yield* commandsOf(asked.id), [{ state: "pending", attempts: 0 }])
        yield* verifyNext
        assert.deepInclude(yield* seen(user, asked.id), { status: "approved", attempts: 1 })
      }))

    it.effect("takes over what a dead process left, and leaves alone what a living one works on", () =>
      Effect.gen(function*() {
        const user = yield* member
        const verifier = yield* Verifier
        const asked = yield* verifying(user, yield* uploaded(user, bytes("left behind")))
        yield* asRole(
          "owner",
          `UPDATE queue.verification_commands SET attempts = 1, acquired_by = gen_random_uuid(),
             acquired_at = now() - interval '5 seconds' WHERE id = '${asked.id}'`
        )
        // A heartbeat of the future is one that does not stop while the test looks.
        yield* asRole(
          "owner",
          `INSERT INTO video.heartbeats (process_id, status, beat_at) VALUES ('${asked.id}', 'ok', now() + interval '1 hour')`
        )
        yield* asRole(
          "owner",
          `UPDATE video.submissions SET status = 'verifying', worker_id = '${asked.id}' WHERE id = '${asked.id}'`
        )
        const claimed = asRole(
          "owner",
          `SELECT acquired_by IS NOT NULL FROM queue.verification_commands WHERE id = '${asked.id}'`
        )
        yield* verifier.takeOver
        assert.deepStrictEqual(yield* claimed, [[true]])
        yield* asRole("owner", "UPDATE video.heartbeats SET beat_at = now() - interval '5 seconds'")
        yield* verifier.takeOver
        assert.deepStrictEqual(yield* claimed, [[false]])
        yield* verifyNext
        assert.deepInclude(yield* seen(user, asked.id), { status: "rejected", attempts: 2 })
      }))

    it.effect("goes on after a defect in one verification, and tries that one again", () =>
      Effect.gen(function*() {
        const user = yield* member
        const asked = yield* verifying(user, yield* uploaded(user, bytes("bug")))
        yield* verifyNext.pipe(whileEngineIs(Effect.die(new Error("ordered by the test"))))
        assert.strictEqual((yield* seen(user, asked.id)).status, "verifying")
        yield* dueNow
        yield* verifyNext
        assert.deepInclude(yield* seen(user, asked.id), { status: "rejected", attempts: 2 })
      }))
  }
)
