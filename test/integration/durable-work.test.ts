import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { PrometheusMetrics } from "effect/observability"
import { execFile } from "node:child_process"
import { resolve } from "node:path"
import type { SubmissionId } from "../../src/domain/Ids.ts"
import { pool } from "../../src/layers/Pools.ts"
import { verificationCommands } from "../../src/services/Commands.ts"
import { DeadLetters } from "../../src/services/DeadLetters.ts"
import { Reviews } from "../../src/services/Reviews.ts"
import { VerificationStore } from "../../src/services/VerificationStore.ts"
import { Videos } from "../../src/services/Videos.ts"
import { eventually } from "../layers/ApiTest.ts"
import { PgTest } from "../layers/PgTest.ts"
import { balanceOf, openCampaign, person, reward, RewardsBench, submitted } from "../layers/RewardsBench.ts"
import { testConfig } from "../layers/TestConfig.ts"
import { asRole } from "../layers/VideoBench.ts"

const owner = (statement: string) => asRole("owner", statement)

/** A submission whose verification was given up: the worker failed, and the queue counted three attempts. */
const dead = Effect.fnUntraced(function*(campaignId: Parameters<typeof submitted>[0]) {
  const store = yield* VerificationStore
  const member = yield* person()
  const { id } = yield* submitted(campaignId, member.userId)
  yield* store.begin(id, 3)
  yield* store.fail(id)
  yield* owner(
    `UPDATE queue.verification_commands SET state = 'failed', attempts = 3, last_failure = 'the engine crashed',
       updated_at = now() AT TIME ZONE 'UTC' WHERE id = '${id}'`
  )
  return { id, member }
})
const statusOf = (id: SubmissionId) => Effect.map(owner(`SELECT status FROM video.submissions WHERE id = '${id}'`), one)
const one = (rows: ReadonlyArray<ReadonlyArray<unknown>>) => rows[0]?.[0]
const approve = Effect.fnUntraced(function*(id: SubmissionId) {
  const store = yield* VerificationStore
  yield* store.begin(id, 1)
  const settlement = Option.some({ submissionId: id, requestId: "test", traceparent: Option.none() })
  return yield* store.decide(
    { submissionId: id, outcome: "approved", checks: [], reasons: [], hasPictures: false },
    settlement
  )
})

/** The command as people call it. */
const command = Effect.fnUntraced(function*(...words: ReadonlyArray<string>) {
  const { environment } = yield* PgTest
  return yield* Effect.promise(() =>
    new Promise<{ readonly code: number; readonly out: string }>((settle) => {
      const child = execFile(
        process.execPath,
        [resolve(import.meta.dirname, "../../src/main/DeadLetters.ts"), ...words],
        { env: { ...process.env, ...environment } },
        (_, out, err) => settle({ code: child.exitCode ?? -1, out: out + err })
      )
    })
  )
})

layer(RewardsBench(), { timeout: "60 seconds", excludeTestServices: true })("durable work", (it) => {
  it.effect("brings a dead letter's submission back to the queue, where it can still be approved once", () =>
    Effect.gen(function*() {
      const letters = yield* DeadLetters
      const { id: campaign } = yield* openCampaign(1)
      const { id, member } = yield* dead(campaign)
      const { items } = yield* letters.list({ queue: undefined, cursor: undefined, limit: 100 })
      assert.deepStrictEqual(
        items.filter((letter) => letter.id === id).map(({ attempts, bulkhead, lastFailure, queue }) => [
          queue,
          bulkhead,
          attempts,
          lastFailure
        ]),
        [["verification_commands", "video", 3, "the engine crashed"]]
      )
      yield* letters.requeue("verification_commands", id, member.userId)
      assert.strictEqual(yield* statusOf(id), "queued")
      const again = yield* Effect.flip(letters.requeue("verification_commands", id, member.userId))
      assert.deepInclude(again, { _tag: "NotDead", state: "pending" })
      assert.isTrue(yield* approve(id))
      assert.isFalse(yield* approve(id))
      yield* eventually(balanceOf(member.userId), (balance) => balance === reward)
    }))

  it.effect("tries a dead letter again that a reviewer has decided meanwhile, and changes nothing by it", () =>
    Effect.gen(function*() {
      const letters = yield* DeadLetters
      const { id: campaign } = yield* openCampaign(1)
      const { id, member } = yield* dead(campaign)
      const reviewer = yield* person("reviewer")
      const decision = { decision: "approve", reason: "I have watched it." } as const
      yield* Effect.flatMap(Reviews, (reviews) => reviews.decide(id, reviewer, decision))
      const requeue = letters.requeue("verification_commands", id, reviewer.userId)
      const both = yield* Effect.all([Effect.exit(requeue), Effect.exit(requeue)], { concurrency: "unbounded" })
      assert.strictEqual(both.filter(({ _tag }) => _tag === "Success").length, 1)
      assert.strictEqual(yield* statusOf(id), "approved")
      assert.isFalse(yield* approve(id))
      yield* eventually(balanceOf(member.userId), (balance) => balance === reward)
    }))

  it.effect("lists the dead of all queues page by page, each once", () =>
    Effect.gen(function*() {
      const letters = yield* DeadLetters
      const made: Array<string> = []
      for (const table of ["payment_commands", "settlement_commands"]) {
        for (let n = 0; n < 3; n++) {
          made.push(`${table}-${n}`)
          yield* owner(
            `INSERT INTO queue.${table} (id, queue_name, element, state, attempts, visible_at, created_at, updated_at)
             VALUES ('${table}-${n}', '${table}', '{}', 'failed', 20, now(), now(), timestamp '2026-01-01')`
          )
        }
      }
      made.push((yield* dead(undefined)).id)
      const seen: Array<string> = []
      let cursor: string | undefined
      do {
        const page = yield* letters.list({ queue: undefined, cursor, limit: 2 })
        seen.push(...page.items.map(({ id }) => id))
        cursor = page.nextCursor ?? undefined
      } while (cursor !== undefined)
      assert.deepStrictEqual(seen, made)
      yield* owner("DELETE FROM queue.payment_commands")
      yield* owner("DELETE FROM queue.settlement_commands WHERE state = 'failed'")
    }))

  it.effect("has a command that lists dead letters and tries them again", () =>
    Effect.gen(function*() {
      const { id } = yield* dead(undefined)
      const listed = yield* command("list", "--queue", "verification_commands")
      assert.strictEqual(listed.code, 0, listed.out)
      assert.include(listed.out, id)
      assert.include(listed.out, "after 3 attempts: the engine crashed")
      const requeued = yield* command("requeue", "verification_commands", id)
      assert.strictEqual(requeued.code, 0, requeued.out)
      assert.strictEqual(yield* statusOf(id), "queued")
      const [row] = yield* owner(`SELECT requeued_by, last_failure FROM queue.requeues WHERE command_id = '${id}'`)
      assert.deepStrictEqual(row && [...row], ["command", "the engine crashed"])
      // It is due by the library's clock, whatever time zone the command's session had.
      const due = `SELECT visible_at <= now() AT TIME ZONE 'UTC' FROM queue.verification_commands WHERE id = '${id}'`
      assert.strictEqual(one(yield* owner(due)), true)
      const twice = yield* command("requeue", "verification_commands", id)
      assert.strictEqual(twice.code, 1)
      assert.include(twice.out, "it is pending")
      const help = yield* command("--help")
      assert.include(help.out, "requeue")
    }), 180_000)

  it.effect("purges a command a week after it was done, and never one that waits or is dead", () =>
    Effect.gen(function*() {
      const put = (id: string, state: string, days: number) =>
        owner(
          `INSERT INTO queue.verification_commands
             (id, queue_name, element, state, attempts, visible_at, created_at, updated_at)
           VALUES ('${id}', 'purging', '{}', '${state}', 1, now() + interval '1 day', now() - interval '90 days',
                   (now() AT TIME ZONE 'UTC') - interval '${days} days')`
        )
      yield* put("done long ago", "completed", 8)
      yield* put("done", "completed", 6)
      yield* put("dead", "failed", 90)
      yield* put("waits", "pending", 90)
      const ids = Effect.map(
        owner("SELECT id FROM queue.verification_commands WHERE queue_name = 'purging' ORDER BY id"),
        (rows) => rows.map(String)
      )
      // What the video process builds to take from its queue; one round of purging comes at its start.
      const taking = verificationCommands("consumer").pipe(
        Layer.provide(pool("videoWorker")),
        Layer.provide(testConfig())
      )
      yield* Effect.scoped(Effect.andThen(Layer.build(taking), eventually(ids, (left) => left.length < 4)))
      assert.deepStrictEqual(yield* ids, ["dead", "done", "waits"])
      yield* owner("DELETE FROM queue.verification_commands WHERE queue_name = 'purging'")
    }))

  it.effect("takes as many submissions as may wait, and answers Unavailable to one more until one is done", () =>
    Effect.gen(function*() {
      const member = yield* person()
      const first = yield* submitted(undefined, member.userId)
      const waiting = Number(one(
        yield* owner(
          "SELECT count(*)::int FROM video.submissions WHERE status IN ('queued', 'reserving')"
        )
      ))
      const fill = (count: number) =>
        owner(
          `INSERT INTO video.submissions (id, user_id, video_id, campaign_id, status, rules, request_id)
           SELECT gen_random_uuid(), user_id, video_id, gen_random_uuid(), 'reserving', rules, 'filled'
             FROM video.submissions, generate_series(1, ${count}) WHERE id = '${first.id}'`
        )
      yield* fill(20_000 - waiting - 1)
      yield* submitted(undefined, member.userId)
      const refused = yield* Effect.flip(submitted(undefined, (yield* person()).userId))
      assert.deepInclude(refused, { _tag: "Unavailable", retry_after: 30 })
      yield* owner(
        "DELETE FROM video.submissions WHERE id = (SELECT id FROM video.submissions WHERE request_id = 'filled' LIMIT 1)"
      )
      assert.strictEqual((yield* submitted(undefined, (yield* person()).userId)).status, "queued")
      yield* owner("DELETE FROM video.submissions WHERE request_id = 'filled'")
    }))

  it.effect("shows in /metrics how many commands wait, how old the oldest is, and how many are dead", () =>
    Effect.gen(function*() {
      const member = yield* person()
      const { id } = yield* submitted(undefined, member.userId)
      yield* dead(undefined)
      yield* owner(
        `UPDATE queue.verification_commands SET created_at = created_at - interval '1 hour' WHERE id = '${id}'`
      )
      const gauge = (name: string) =>
        Effect.map(PrometheusMetrics.format(), (text) => {
          const line = text.split("\n").find((one) =>
            one.startsWith(`midnight_queue_${name}{`) && one.includes("queue=\"verification_commands\"")
          )
          return Number(line?.split(" ").at(-1))
        })
      yield* eventually(gauge("oldest_age"), (age) => age >= 3_600 && age < 3_700)
      const now = `SELECT count(*) FILTER (WHERE state = 'pending')::int, count(*) FILTER (WHERE state = 'failed')::int
        FROM queue.verification_commands`
      const [row] = yield* owner(now)
      assert.deepStrictEqual([yield* gauge("waiting"), yield* gauge("dead")], row?.map(Number))
      yield* Effect.flatMap(Videos, (videos) => videos.submission(member.userId, id))
    }))
})
