import { assert, layer } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Option, Ref, Schema } from "effect"
import { readFile } from "node:fs/promises"
import { CampaignId, OperationId, SubmissionId, type UserId } from "../../src/domain/Ids.ts"
import type { SettleCommand } from "../../src/services/Commands.ts"
import { MediaEngineFailed } from "../../src/services/MediaEngine.ts"
import { newId } from "../../src/services/NewId.ts"
import { VerificationStore } from "../../src/services/VerificationStore.ts"
import { Verifier } from "../../src/services/Verifier.ts"
import { Videos } from "../../src/services/Videos.ts"
import { VideoStore } from "../../src/services/VideoStore.ts"
import { Clips } from "../layers/clips.ts"
import { asRole, Faults, member, reward, sha256, uploaded, verifying, VideoBench } from "../layers/VideoBench.ts"

const bytes = (text: string) => new Uint8Array(Buffer.from(text))
const clip = (name: string) =>
  Effect.flatMap(Clips, ({ path }) => Effect.promise(async () => new Uint8Array(await readFile(path(name)))))

const verifyNext = Effect.flatMap(Verifier, ({ next }) => next)
const seen = (user: UserId, id: SubmissionId) => Effect.flatMap(Videos, (videos) => videos.submission(user, id))

const Settlement = Schema.fromJsonString(Schema.Struct({
  outcome: Schema.String,
  userId: Schema.String,
  campaignId: Schema.String,
  traceparent: Schema.NullOr(Schema.String),
  reference: Schema.Record(Schema.String, Schema.String)
}))
/** What the money side was told of a submission. */
const settlements = Effect.fnUntraced(function*(id: SubmissionId) {
  const rows = yield* asRole("owner", `SELECT element FROM queue.settlement_commands WHERE id = '${id}'`)
  return rows.map(([element]) => Schema.decodeUnknownSync(Settlement)(element))
})

/** The next attempt is due at once, so that no test waits for a pause. */
const dueNow = asRole("owner", "UPDATE queue.verification_commands SET visible_at = now() WHERE state = 'pending'")

const commandsOf = (id: SubmissionId) =>
  Effect.map(
    asRole("owner", `SELECT state, attempts FROM queue.verification_commands WHERE id = '${id}'`),
    (rows) => rows.map(([state, attempts]) => ({ state, attempts }))
  )

/** Runs a test while rewards or the engine answer as ordered. */
const whileSlotsAre = (answer: "full" | "away") => <A, E, R>(work: Effect.Effect<A, E, R>) =>
  Effect.flatMap(
    Faults,
    ({ slots }) => Effect.acquireUseRelease(Ref.set(slots, answer), () => work, () => Ref.set(slots, "granted"))
  )

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

layer(Layer.merge(VideoBench, Clips.layer), { timeout: "60 seconds", excludeTestServices: true })(
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
        const told = yield* settlements(asked.id)
        assert.strictEqual(told.length, 1)
        assert.deepInclude(told[0], { outcome: "approved", userId: user, campaignId })
        assert.deepInclude(told[0]?.reference, { verdict: "approved", videoSha256: sha256(scene), rulesVersion: "1" })
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
        assert.strictEqual(told[0]?.reference["traceId"], traceId)
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

    it.effect("finds the same submission under the same key, and refuses the video under another", () =>
      Effect.gen(function*() {
        const user = yield* member
        const videoId = yield* uploaded(user, bytes("four"))
        const key = yield* newId(OperationId)
        const first = yield* verifying(user, videoId, undefined, key)
        const again = yield* verifying(user, videoId, undefined, key)
        assert.strictEqual(again.id, first.id)
        assert.strictEqual((yield* commandsOf(first.id)).length, 1)
        assert.strictEqual((yield* Effect.flip(verifying(user, videoId)))._tag, "VideoAlreadySubmitted")
        yield* verifying(user, videoId, yield* newId(CampaignId))
        yield* verifyNext
        yield* verifyNext
      }))

    it.effect("leaves nothing of a submission that got no slot, so that the video may be submitted again", () =>
      Effect.gen(function*() {
        const user = yield* member
        const videoId = yield* uploaded(user, bytes("four"))
        const campaignId = yield* newId(CampaignId)
        const refused = yield* Effect.flip(verifying(user, videoId, campaignId)).pipe(whileSlotsAre("full"))
        assert.strictEqual(refused._tag, "CampaignFull")
        assert.deepStrictEqual(yield* asRole("owner", `SELECT 1 FROM video.submissions WHERE user_id = '${user}'`), [])
        assert.strictEqual((yield* verifying(user, videoId, campaignId)).status, "queued")
        yield* verifyNext
      }))

    it.effect("hides a reservation that was interrupted, and finishes it for a retry of the same key or by itself", () =>
      Effect.gen(function*() {
        const user = yield* member
        const videos = yield* Videos
        const campaignId = yield* newId(CampaignId)
        const keys = [yield* newId(OperationId), yield* newId(OperationId)] as const
        const mine = [yield* uploaded(user, bytes("four")), yield* uploaded(user, bytes("five"))] as const
        for (const at of [0, 1] as const) {
          const error = yield* Effect.flip(verifying(user, mine[at], campaignId, keys[at])).pipe(whileSlotsAre("away"))
          assert.strictEqual(error._tag, "Unavailable")
        }
        assert.deepStrictEqual((yield* videos.submissions(user, Option.none(), 10)).items, [])
        assert.strictEqual((yield* Effect.flip(seen(user, SubmissionId.make(keys[0]))))._tag, "NotFound")
        assert.strictEqual((yield* verifying(user, mine[0], campaignId, keys[0])).status, "queued")
        assert.strictEqual(yield* videos.settleReservations, 0)
        yield* asRole(
          "owner",
          `UPDATE video.submissions SET created_at = now() - interval '61 seconds' WHERE status = 'reserving'`
        )
        assert.strictEqual(yield* videos.settleReservations, 1)
        assert.strictEqual((yield* seen(user, SubmissionId.make(keys[1]))).status, "queued")
        yield* verifyNext
        yield* verifyNext
      }))

    it.effect("lists a member's submissions, newest first, page by page", () =>
      Effect.gen(function*() {
        const user = yield* member
        const videos = yield* Videos
        const ids: Array<SubmissionId> = []
        for (const text of ["one", "two", "three"]) {
          ids.unshift((yield* verifying(user, yield* uploaded(user, bytes(text)))).id)
        }
        const first = yield* videos.submissions(user, Option.none(), 2)
        const second = yield* videos.submissions(user, Option.fromNullOr(first.nextCursor), 2)
        assert.deepStrictEqual([...first.items, ...second.items].map(({ id }) => id), ids)
        assert.isNull(second.nextCursor)
        for (const _ of ids) yield* verifyNext
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

layer(VideoBench, { timeout: "60 seconds", excludeTestServices: true })("the verdict", (it) => {
  it.effect("is the first of two workers', and settled once, whoever else decides at the same instant", () =>
    Effect.gen(function*() {
      const store = yield* VerificationStore
      const user = yield* member
      const campaignId = yield* newId(CampaignId)
      const decide = (submissionId: SubmissionId, outcome: "approved" | "rejected") => {
        const settlement: typeof SettleCommand.Type = {
          submissionId,
          campaignId,
          userId: user,
          outcome,
          reference: {},
          requestId: "test",
          traceparent: Option.none()
        }
        return store.decide({ submissionId, outcome, checks: [], reasons: [] }, Option.some(settlement))
      }
      for (let round = 0; round < 20; round++) {
        const { id } = yield* verifying(user, yield* uploaded(user, bytes(`round ${round}`)), campaignId)
        yield* store.begin(id, 1)
        const written = yield* Effect.all([decide(id, "approved"), decide(id, "rejected")], {
          concurrency: "unbounded"
        })
        assert.deepStrictEqual([...written].sort(), [false, true])
        const { status } = yield* seen(user, id)
        assert.strictEqual(status, written[0] ? "approved" : "rejected")
        assert.deepStrictEqual((yield* settlements(id)).map(({ outcome }) => outcome), [status])
      }
    }))

  it.effect("cannot be changed, nor its submission removed, even by the owner of the tables", () =>
    Effect.gen(function*() {
      const decided = "WHERE verdict = 'approved'"
      for (
        const [role, statement] of [
          ["owner", `UPDATE video.submissions SET verdict = 'rejected', status = 'rejected' ${decided}`],
          ["owner", `DELETE FROM video.submissions ${decided}`],
          ["video_api", `DELETE FROM video.submissions ${decided}`],
          ["video_worker", "UPDATE video.submissions SET user_id = gen_random_uuid()"],
          ["video_worker", "UPDATE video.submissions SET reward_amount = 1000000"],
          ["video_worker", "DELETE FROM video.submissions"]
        ] as const
      ) {
        const refused = yield* Effect.exit(asRole(role, statement))
        assert.strictEqual(refused._tag, "Failure", `${role}: ${statement}`)
      }
    }))
})

layer(VideoBench, { timeout: "60 seconds", excludeTestServices: true })("the heartbeat", (it) => {
  it.effect("counts by the database's clock, and ends with its process", () =>
    Effect.gen(function*() {
      const worker = yield* VerificationStore
      const api = yield* VideoStore
      const processId = yield* newId(OperationId)
      yield* worker.beat(processId, "ok")
      yield* worker.beat(processId, "degraded")
      assert.deepStrictEqual(yield* api.aliveProcesses, [{ id: processId, status: "degraded" }])
      yield* asRole("owner", "UPDATE video.heartbeats SET beat_at = now() - interval '1.6 seconds'")
      assert.deepStrictEqual(yield* api.aliveProcesses, [])
      yield* worker.beat(processId, "ok")
      yield* worker.leave(processId)
      assert.deepStrictEqual(yield* api.aliveProcesses, [])
    }))
})
