import { assert, layer, vi } from "@effect/vitest"
import { Effect, Option, Ref, Schedule } from "effect"
import { CampaignId, OperationId, SubmissionId } from "../../src/domain/Ids.ts"
import { Health } from "../../src/services/Health.ts"
import { newId } from "../../src/services/NewId.ts"
import { VerificationStore } from "../../src/services/VerificationStore.ts"
import { Verifier } from "../../src/services/Verifier.ts"
import { Videos } from "../../src/services/Videos.ts"
import { VideoStore } from "../../src/services/VideoStore.ts"
import {
  asRole,
  commandsOf,
  Faults,
  member,
  seen,
  settlements,
  uploaded,
  verifying,
  VideoBench
} from "../layers/VideoBench.ts"

// Verification is at the lowest priority: on a machine that is busy with other tests it waits, 38 s once.
vi.setConfig({ testTimeout: 600_000 })

const bytes = (text: string) => new Uint8Array(Buffer.from(text))
const verifyNext = Effect.flatMap(Verifier, ({ next }) => next)

/** Runs a test while the rewards bulkhead answers as ordered. */
const whileSlotsAre = (answer: "full" | "away") => <A, E, R>(work: Effect.Effect<A, E, R>) =>
  Effect.flatMap(
    Faults,
    ({ slots }) => Effect.acquireUseRelease(Ref.set(slots, answer), () => work, () => Ref.set(slots, "granted"))
  )

layer(VideoBench, { timeout: "60 seconds", excludeTestServices: true })("submissions", (it) => {
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

  it.effect("keeps the slot of a submission when another request for it is refused one at the same time", () =>
    Effect.gen(function*() {
      const user = yield* member
      const { meanwhile, released, slots } = yield* Faults
      const videos = yield* Videos
      const campaignId = yield* newId(CampaignId)
      const key = yield* newId(OperationId)
      const videoId = yield* uploaded(user, bytes("both"))
      const granted = Effect.andThen(Ref.set(slots, "granted"), verifying(user, videoId, campaignId, key))
      yield* Ref.set(meanwhile, Effect.provideService(Effect.orDie(granted), Videos, videos))
      const shown = yield* verifying(user, videoId, campaignId, key).pipe(whileSlotsAre("full"))
      assert.deepStrictEqual([shown.id, shown.status], [SubmissionId.make(key), "queued"])
      assert.notInclude(yield* Ref.get(released), shown.id)
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
})

layer(VideoBench, { timeout: "60 seconds", excludeTestServices: true })("the verdict", (it) => {
  it.effect("is the first of two workers', and settled once, whoever else decides at the same instant", () =>
    Effect.gen(function*() {
      const store = yield* VerificationStore
      const user = yield* member
      const campaignId = yield* newId(CampaignId)
      const decide = (submissionId: SubmissionId, outcome: "approved" | "rejected") => {
        const settlement = Option.some({ submissionId, requestId: "test", traceparent: Option.none() })
        return store.decide({ submissionId, outcome, checks: [], reasons: [], hasPictures: false }, settlement)
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
        assert.strictEqual((yield* settlements(id)).length, 1)
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
      yield* worker.beat("ok")
      // Alive for 1.5 s only: a machine that stands still for as long between the two is asked again.
      const alive = yield* Effect.andThen(worker.beat("degraded"), api.aliveProcesses).pipe(
        Effect.repeat({ until: (processes) => processes.length > 0 })
      )
      assert.deepStrictEqual(alive.map(({ status }) => status), ["degraded"])
      yield* asRole("owner", "UPDATE video.heartbeats SET beat_at = now() - interval '1.6 seconds'")
      assert.deepStrictEqual(yield* api.aliveProcesses, [])
      yield* worker.beat("ok")
      yield* worker.leave
      assert.deepStrictEqual(yield* api.aliveProcesses, [])
    }))

  it.effect("shows a lost process in health, and its successor as a restart", () =>
    Effect.gen(function*() {
      const health = yield* Health
      const shows = (status: string, restarts: number) =>
        Effect.gen(function*() {
          const { video } = yield* health.snapshot
          if (video.status !== status || video.restarts !== restarts) return yield* Effect.fail(video)
        }).pipe(Effect.retry({ schedule: Schedule.spaced("20 millis") }), Effect.timeout("30 seconds"))
      // A heartbeat of the future is one that does not stop while the test looks.
      const alive = asRole(
        "owner",
        `INSERT INTO video.heartbeats (process_id, status, beat_at)
         VALUES (gen_random_uuid(), 'ok', now() + interval '1 hour')`
      )
      const dead = asRole("owner", "DELETE FROM video.heartbeats")
      yield* dead
      yield* shows("degraded", 0)
      yield* alive
      yield* shows("ok", 0)
      yield* dead
      yield* shows("degraded", 0)
      yield* alive
      yield* shows("ok", 1)
      yield* dead
    }))
})
