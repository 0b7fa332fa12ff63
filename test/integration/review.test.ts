import { assert, layer } from "@effect/vitest"
import { Effect, Exit, Option } from "effect"
import { SubmissionId, type UserId } from "../../src/domain/Ids.ts"
import type { Principal } from "../../src/domain/Principal.ts"
import { newId } from "../../src/services/NewId.ts"
import { Reviews } from "../../src/services/Reviews.ts"
import { VerificationStore } from "../../src/services/VerificationStore.ts"
import { Videos } from "../../src/services/Videos.ts"
import { countOf, eventually } from "../layers/ApiTest.ts"
import { balanceOf, openCampaign, person, reward, RewardsBench, submitted } from "../layers/RewardsBench.ts"
import { asRole } from "../layers/VideoBench.ts"

const decide = (reviewer: Principal, id: SubmissionId, decision: "approve" | "reject", reason = "I have seen it.") =>
  Effect.flatMap(Reviews, (reviews) => reviews.decide(id, reviewer, { decision, reason }))

/** What the worker writes, with the settlement that comes with a verdict. */
const workerSays = (submissionId: SubmissionId, outcome: "approved" | "rejected" | "needs_review") =>
  Effect.flatMap(VerificationStore, (store) =>
    store.decide(
      { submissionId, outcome, checks: [], reasons: ["black_frames: 40 %"], hasPictures: false },
      outcome === "needs_review"
        ? Option.none()
        : Option.some({ submissionId, requestId: "test", traceparent: Option.none() })
    ))
const begin = (id: SubmissionId) => Effect.flatMap(VerificationStore, (store) => store.begin(id, 1))

const unsure = Effect.fnUntraced(function*(campaignId?: Parameters<typeof submitted>[0]) {
  const member = yield* person()
  const { id } = yield* submitted(campaignId, member.userId)
  yield* begin(id)
  yield* workerSays(id, "needs_review")
  return { id, member }
})

const settled = (id: SubmissionId) =>
  eventually(
    countOf(`SELECT count(*) FROM queue.settlement_commands WHERE id = '${id}' AND state = 'completed'`),
    (count) => count === 1
  )
const turn = Effect.promise(() => new Promise((resume) => setImmediate(resume)))
const rewardsOf = (id: SubmissionId) => countOf(`SELECT count(*) FROM wallet.transfers WHERE key = 'reward:${id}'`)

layer(RewardsBench(), { timeout: "60 seconds", excludeTestServices: true })("a review", (it) => {
  it.effect("lists what needs one, the oldest first, page by page, and other states when asked", () =>
    Effect.gen(function*() {
      const reviews = yield* Reviews
      const ids: Array<SubmissionId> = []
      for (const _ of [1, 2, 3]) ids.push((yield* unsure()).id)
      const waiting = yield* submitted(undefined, (yield* person()).userId)
      const first = yield* reviews.queue({ status: "needs_review", cursor: undefined, limit: 2 })
      const second = yield* reviews.queue({ status: "needs_review", cursor: first.nextCursor ?? "", limit: 2 })
      assert.deepStrictEqual([...first.items, ...second.items].map(({ id }) => id), ids)
      assert.isNull(second.nextCursor)
      const [oldest] = first.items
      assert.deepStrictEqual(oldest?.verdict, {
        outcome: "needs_review",
        reasons: ["black_frames: 40 %"],
        by: "worker"
      })
      assert.isNull(oldest?.decidedAt)
      const queued = yield* reviews.queue({ status: "queued", cursor: undefined, limit: 10 })
      assert.deepStrictEqual(queued.items.map(({ id }) => id), [waiting.id])
    }))

  it.effect("pays an approved submission once, and names who, when and why, in the ledger too", () =>
    Effect.gen(function*() {
      const campaign = yield* openCampaign(2)
      const { id, member } = yield* unsure(campaign.id)
      const reviewer = yield* person("reviewer")
      const done = yield* decide(reviewer, id, "approve", "The dark part is the night sky.")
      const by = reviewer.userId
      assert.deepStrictEqual(done.verdict, { outcome: "approved", reasons: ["The dark part is the night sky."], by })
      assert.isNotNull(done.decidedAt)
      assert.deepStrictEqual([done.userId, Number(done.reward?.amount)], [member.userId, reward])
      yield* eventually(balanceOf(member.userId), (balance) => balance === reward)
      const [row] = yield* asRole("owner", `SELECT reference FROM wallet.transfers WHERE key = 'reward:${id}'`)
      assert.include(JSON.stringify(row?.[0]), by)
      const again = yield* Effect.flip(decide(yield* person("reviewer"), id, "reject"))
      assert.deepInclude(again, { _tag: "AlreadyDecided", outcome: "approved", decided_by: by, submission_id: id })
      assert.strictEqual(yield* rewardsOf(id), 1)
    }))

  it.effect("gives the slot of a rejected submission back", () =>
    Effect.gen(function*() {
      const campaign = yield* openCampaign(1)
      const { id, member } = yield* unsure(campaign.id)
      yield* decide(yield* person("reviewer"), id, "reject")
      yield* settled(id)
      assert.strictEqual(yield* balanceOf(member.userId), 0)
      assert.strictEqual((yield* submitted(campaign.id, (yield* person()).userId)).status, "queued")
    }))

  it.effect("shows a sponsor what was submitted to the campaign, newest first, with its pictures, and nobody else", () =>
    Effect.gen(function*() {
      const reviews = yield* Reviews
      const campaign = yield* openCampaign(3)
      const other = yield* openCampaign(1)
      const first = yield* unsure(campaign.id)
      const second = yield* unsure(campaign.id)
      yield* unsure(other.id)
      yield* asRole("owner", `UPDATE video.submissions SET has_pictures = true WHERE id = '${first.id}'`)
      const look = (sponsor: UserId, cursor?: string) =>
        reviews.ofCampaign({ campaignId: campaign.id, sponsor, cursor, limit: 1 })
      const sponsor = campaign.sponsor.userId
      const newest = yield* look(sponsor)
      const oldest = yield* look(sponsor, newest.nextCursor ?? "none")
      assert.deepStrictEqual([...newest.items, ...oldest.items].map(({ id }) => id), [second.id, first.id])
      assert.isNull(oldest.nextCursor)
      assert.isUndefined(newest.items[0]?.thumbnailUrl)
      assert.match(oldest.items[0]?.thumbnailUrl ?? "", /thumbnail\?expires=/)
      assert.match(oldest.items[0]?.contactSheetUrl ?? "", /contact-sheet\?expires=/)
      assert.notInclude(JSON.stringify([newest, oldest]), first.member.userId)
      const strangers = [first.member, other.sponsor, yield* person("reviewer")]
      for (const { userId } of strangers) {
        assert.strictEqual((yield* Effect.flip(look(userId)))._tag, "NotFound")
      }
    }))

  it.effect("is refused to whom the submission belongs, by the database too, and of what is not there", () =>
    Effect.gen(function*() {
      const { id, member } = yield* unsure()
      const refused = yield* Effect.flip(decide({ ...member, roles: ["member", "reviewer"] }, id, "approve"))
      assert.deepInclude(refused, { _tag: "OwnSubmission", submission_id: id })
      const byHand = `UPDATE video.submissions SET status = 'approved', verdict = 'approved', decided_at = now(),
        decided_by = user_id::text WHERE id = '${id}'`
      for (const role of ["owner", "video_api"]) assert.isTrue(Exit.isFailure(yield* Effect.exit(asRole(role, byHand))))
      const absent = yield* Effect.flip(decide(yield* person("reviewer"), yield* newId(SubmissionId), "approve"))
      assert.strictEqual(absent._tag, "NotFound")
    }))

  it.effect("may come before the worker's verdict, which then changes nothing", () =>
    Effect.gen(function*() {
      const campaign = yield* openCampaign(1)
      const member = yield* person()
      const { id } = yield* submitted(campaign.id, member.userId)
      yield* begin(id)
      yield* decide(yield* person("reviewer"), id, "approve")
      assert.isFalse(yield* workerSays(id, "rejected"))
      assert.isTrue(Option.isNone(yield* begin(id)))
      yield* eventually(balanceOf(member.userId), (balance) => balance === reward)
      const seen = yield* Effect.flatMap(Videos, (videos) => videos.submission(member.userId, id))
      assert.strictEqual(seen.status, "approved")
    }))

  it.effect(
    "and a worker that decide at the same instant, 200 times, leave one verdict and at most one reward",
    () =>
      Effect.gen(function*() {
        const rounds = 200
        const campaign = yield* openCampaign(rounds)
        const reviewer = yield* person("reviewer")
        const first = { worker: 0, reviewer: 0 }
        // So many turns of the event loop later than the reviewer: whoever came first in one round is behind in the next.
        let behind = 0
        const later = Effect.suspend(() =>
          Effect.forEach(Array.from({ length: behind }), () => turn, { discard: true })
        )
        let approved = 0
        for (let round = 0; round < rounds; round++) {
          const member = yield* person()
          const { id } = yield* submitted(campaign.id, member.userId)
          yield* begin(id)
          const says = round % 2 === 0 ? "approved" : "rejected"
          const both = [
            Effect.andThen(later, workerSays(id, says)),
            Effect.map(Effect.exit(decide(reviewer, id, round % 4 < 2 ? "reject" : "approve")), Exit.isSuccess)
          ] as const
          const written = yield* Effect.all(round % 3 === 0 ? both : [both[1], both[0]], { concurrency: "unbounded" })
          assert.deepStrictEqual([...written].sort(), [false, true], `round ${round}`)
          const [row] = yield* asRole("owner", `SELECT verdict, decided_by FROM video.submissions WHERE id = '${id}'`)
          first[row?.[1] === "worker" ? "worker" : "reviewer"] += 1
          behind = Math.max(0, behind + (row?.[1] === "worker" ? 1 : -1))
          if (row?.[0] === "approved") approved += 1
        }
        assert.isAbove(Math.min(first.worker, first.reviewer), 0, JSON.stringify(first))
        const of = `queue.settlement_commands q JOIN video.submissions s ON s.id::text = q.id
        WHERE s.campaign_id = '${campaign.id}'`
        assert.strictEqual(yield* countOf(`SELECT count(*) FROM ${of}`), rounds)
        yield* eventually(countOf(`SELECT count(*) FROM ${of} AND state = 'completed'`), (done) => done === rounds)
        const rewards = `SELECT count(*) FROM wallet.transfers t JOIN video.submissions s ON t.key = 'reward:' || s.id
        WHERE s.campaign_id = '${campaign.id}'`
        assert.strictEqual(yield* countOf(`${rewards} AND s.verdict = 'approved'`), approved)
        assert.strictEqual(yield* countOf(rewards), approved)
      }),
    300_000
  )
})
