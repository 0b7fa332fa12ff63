import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Layer, Ref, Schedule, Schema } from "effect"
import { randomUUID } from "node:crypto"
import { vi } from "vitest"
import { OperationId } from "../../src/domain/Ids.ts"
import { Amount } from "../../src/domain/Money.ts"
import { MoneyRequest } from "../../src/domain/MoneyRequest.ts"
import type * as Supervision from "../../src/layers/Supervision.ts"
import { supervised } from "../../src/layers/Supervision.ts"
import { Health } from "../../src/services/Health.ts"
import { MediaEngine, MediaEngineFailed } from "../../src/services/MediaEngine.ts"
import { newId } from "../../src/services/NewId.ts"
import { Payments } from "../../src/services/Payments.ts"
import { ApiTest, as, countOf, eventually, keyed, type Member, owner, pay, register, send } from "../layers/ApiTest.ts"

const supervision = vi.hoisted(() => ({ removed: false }))

// The same product with its supervision taken away: a background fiber runs, and nobody minds how it ends.
vi.mock("../../src/layers/Supervision.ts", async (original) => {
  const real = await original<typeof Supervision>()
  const chosen: typeof real.supervised = (bulkhead, part, task) =>
    Layer.suspend(() =>
      supervision.removed ? Layer.effectDiscard(Effect.forkScoped(task)) : real.supervised(bulkhead, part, task)
    )
  return { ...real, supervised: chosen }
})

/** Video did not come back: the one way in which this scenario may fail when supervision is gone. */
class VideoGone extends Schema.TaggedError<VideoGone>()("VideoGone", { what: Schema.String }) {}

const endings = ["fails", "dies", "is interrupted", "returns"] as const
const misbehaviour = {
  "fails": Effect.fail("a typed failure"),
  "dies": Effect.die(new Error("a defect")),
  "is interrupted": Effect.interrupt,
  "returns": Effect.void
}

/** What the test's video fibers and its engine have done so far. */
class Faults extends Context.Service<Faults, {
  readonly starts: Ref.Ref<Readonly<Record<string, number>>>
  readonly analysed: Ref.Ref<ReadonlyMap<string, number>>
  readonly hanging: Ref.Ref<number>
  readonly calm: Deferred.Deferred<void>
}>()("midnight/test/VideoFaults") {}

const faultsLayer = Layer.effect(
  Faults,
  Effect.gen(function*() {
    return {
      starts: yield* Ref.make<Readonly<Record<string, number>>>({}),
      analysed: yield* Ref.make<ReadonlyMap<string, number>>(new Map()),
      hanging: yield* Ref.make(0),
      calm: yield* Deferred.make<void>()
    }
  })
)

/** Four fibers of the video bulkhead, each of which ends twice in its own way, and lives from its third start on. */
const fibers = Layer.unwrap(Effect.map(Faults, ({ starts }) =>
  Layer.mergeAll(
    Layer.empty,
    ...endings.map((ending) =>
      supervised(
        "video",
        `a fiber that ${ending}`,
        Effect.gen(function*() {
          const start = yield* Ref.modify(starts, (all) => {
            const next = (all[ending] ?? 0) + 1
            return [next, { ...all, [ending]: next }]
          })
          yield* Effect.sleep("300 millis")
          return yield* start <= 2 ? misbehaviour[ending] : Effect.never
        })
      )
    )
  )))

/** An engine that fails, dies, is interrupted or hangs, in turn, at the first attempt of each job, and then answers. */
const engine = Layer.effect(
  MediaEngine,
  Effect.gen(function*() {
    const { analysed, calm, hanging } = yield* Faults
    const findings = { _tag: "NotAVideo" as const, detail: "a test's letter" }
    const answer = Effect.succeed({ findings, cpuSeconds: 0, peakBytes: 0 })
    const hang = Effect.andThen(Ref.update(hanging, (n) => n + 1), Deferred.await(calm))
    const faults = [
      Effect.fail(new MediaEngineFailed({ reason: "crashed", detail: "ordered by the test" })),
      Effect.die(new Error("ordered by the test")),
      Effect.interrupt,
      Effect.andThen(hang, answer)
    ]
    return MediaEngine.of({
      guards: [],
      analyse: Effect.fnUntraced(function*({ jobId }) {
        const [turn, attempt] = yield* Ref.modify(analysed, (all) => {
          const attempt = (all.get(jobId) ?? 0) + 1
          return [[all.size, attempt] as const, new Map(all).set(jobId, attempt)]
        })
        return yield* attempt === 1 ? faults[turn % faults.length] ?? answer : answer
      })
    })
  })
)

/** All five bulkheads, the video process and the provider in this one runtime. */
const world = Layer.suspend(() =>
  ApiTest.layer(engine.pipe(Layer.provide(faultsLayer)), fibers.pipe(Layer.provide(faultsLayer))).pipe(
    Layer.provideMerge(faultsLayer)
  )
)

const amount = (of: number) => 1_000 + of
const payer = (members: ReadonlyArray<Member>, of: number) => members[of % members.length] ?? assert.fail("nobody pays")

/** One charge: asked for, and paid at the provider's checkout. Its webhook credits it. */
const charge = Effect.fnUntraced(function*(member: Member, of: number) {
  const payments = yield* Payments
  const request = { userId: member.id, operationId: yield* newId(OperationId) }
  const payment = yield* payments.charge({ amount: Amount.make(BigInt(amount(of))), currency: "NGN" }).pipe(
    Effect.provideService(MoneyRequest, request)
  )
  assert.strictEqual(yield* pay(payment.nextAction?.url ?? ""), 200)
})

/** A member's letter, which the upload server takes and the engine is asked about. */
const submit = Effect.gen(function*() {
  const { client } = yield* ApiTest
  const member = yield* register()
  const bytes = new TextEncoder().encode(`a letter, ${randomUUID()}`)
  const announced = { bytes: bytes.length, contentType: "video/mp4" as const }
  const ticket = yield* client.video.createUpload({ payload: announced }).pipe(as(member))
  yield* Effect.promise(() => fetch(ticket.uploadUrl, { method: "PUT", body: bytes }))
  yield* client.video.verify({ payload: { videoId: ticket.videoId } }).pipe(keyed, as(member))
})

const videoGone = (what: string) => Effect.mapError(() => new VideoGone({ what }))

/**
 * Charges run while video fibers fail, die, are interrupted and hang. Every charge must be credited, exactly once; then
 * video must have come back by itself.
 */
const scenario = Effect.fnUntraced(function*(charges: number, patience: "5 seconds" | "30 seconds") {
  const { calm, hanging, starts } = yield* Faults
  const health = yield* Health
  const members = yield* Effect.all(Array.from({ length: 4 }, () => register()))
  const before = yield* health.snapshot
  yield* Effect.all(Array.from({ length: 8 }, () => submit), { concurrency: 4 })

  const outcomes = yield* Effect.forEach(
    Array.from({ length: charges }, (_, of) => of),
    (of) => Effect.exit(charge(payer(members, of), of)),
    { concurrency: 16 }
  )
  assert.deepStrictEqual(outcomes.filter(Exit.isFailure), [])
  const credited = countOf("SELECT count(*) FROM payments.payments WHERE status = 'succeeded'")
  // How many a machine credits in half a minute is not the subject.
  const all = { schedule: Schedule.spaced("100 millis"), until: (count: number) => count === charges }
  yield* credited.pipe(Effect.repeat(all), Effect.timeout("3 minutes"))
  assert.strictEqual(yield* credited, charges)
  assert.strictEqual(yield* countOf("SELECT count(*) FROM wallet.transfers WHERE key LIKE 'charge:%'"), charges)
  const sum = Array.from({ length: charges }, (_, of) => amount(of)).reduce((a, b) => a + b, 0)
  assert.strictEqual(yield* countOf("SELECT sum(balance) FROM wallet.accounts WHERE kind = 'wallet'"), sum)
  const { identity, payments, rewards, wallet } = yield* health.snapshot
  for (const bulkhead of [identity, payments, rewards, wallet]) {
    assert.deepInclude(bulkhead, { status: "ok", restarts: 0 })
  }

  // Without supervision the fiber that takes the jobs may have ended before it came to the one that hangs.
  yield* eventually(Ref.get(hanging), (count) => count > 0).pipe(
    Effect.timeout(patience),
    videoGone("nobody took the job that hangs")
  )
  yield* Deferred.succeed(calm, undefined)
  const third = eventually(Ref.get(starts), (all) => endings.every((ending) => all[ending] === 3))
  yield* third.pipe(Effect.timeout(patience), videoGone("a fiber was not started again"))
  const undecided = countOf("SELECT count(*) FROM video.submissions WHERE status <> 'rejected'")
  yield* eventually(undecided, (count) => count === 0).pipe(Effect.timeout(patience), videoGone("no verdict came"))
  const video = yield* eventually(Effect.map(health.snapshot, ({ video }) => video), ({ status }) => status === "ok")
    .pipe(
      Effect.timeout(patience),
      videoGone("it never was well again")
    )
  assert.isAtLeast(video.restarts, before.video.restarts)
  // Two for each of the four fibers, and at least one of a verifier whose job was interrupted.
  if (video.restarts < 9) return yield* new VideoGone({ what: `it counts ${video.restarts} restarts` })
  const { json } = yield* send({ method: "GET", path: "/health" })
  assert.deepInclude(json, { status: "ok" })
})

describe("all bulkheads in one runtime", () => {
  it.live(
    "credit every charge while video fibers fail, die, are interrupted and hang, and video comes back",
    () =>
      Effect.gen(function*() {
        const charging = yield* Effect.forkChild(scenario(1_000, "30 seconds"))
        const health = yield* Health
        const degraded = Effect.map(health.snapshot, ({ video }) => video.status)
        assert.strictEqual(yield* eventually(degraded, (status) => status === "degraded"), "degraded")
        yield* Fiber.join(charging)
      }).pipe(Effect.provide(world)),
    300_000
  )

  it.live("lose video for good when supervision is taken away", () =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        supervision.removed = true
      }),
      () => Effect.flip(scenario(50, "5 seconds")).pipe(Effect.provide(world)),
      () =>
        Effect.sync(() => {
          supervision.removed = false
        })
    ).pipe(Effect.map((error) => assert.strictEqual(error._tag, "VideoGone"))), 120_000)

  it.live("have a pool each, under a name and a role of its own", () =>
    Effect.gen(function*() {
      yield* register()
      yield* submit
      const bulkheads = ["identity", "payments", "rewards", "video_api", "video_worker", "wallet", "webhooks"]
      // Each is opened when it is first needed.
      const rows = yield* eventually(
        owner(
          `SELECT DISTINCT split_part(application_name, ' ', 1), usename FROM pg_stat_activity
            WHERE datname = current_database() AND application_name LIKE 'midnight-%' ORDER BY 1`
        ),
        (found) => found.length >= bulkheads.length
      )
      assert.deepStrictEqual(
        rows.map((row) => [...row]),
        bulkheads.map((name) => [`midnight-${name}`, `midnight_${name}`])
      )
    }).pipe(Effect.provide(world)))
})
