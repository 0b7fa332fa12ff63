import { assert, layer } from "@effect/vitest"
import { Effect, Option } from "effect"
import { type CampaignId, OperationId, SubmissionId, type UserId } from "../../src/domain/Ids.ts"
import { Amount } from "../../src/domain/Money.ts"
import { defaultRules } from "../../src/domain/Verification.ts"
import { escrowOf } from "../../src/domain/Wallet.ts"
import { Campaigns } from "../../src/services/Campaigns.ts"
import { withDatabase } from "../../src/services/Database.ts"
import { Ledger } from "../../src/services/Ledger.ts"
import { newId } from "../../src/services/NewId.ts"
import { Reviews } from "../../src/services/Reviews.ts"
import { Rewards } from "../../src/services/Rewards.ts"
import { UploadStore } from "../../src/services/UploadStore.ts"
import { VerificationStore } from "../../src/services/VerificationStore.ts"
import { Videos } from "../../src/services/Videos.ts"
import { eventually } from "../layers/ApiTest.ts"
import {
  asked,
  balanceOf,
  currency,
  digest,
  give,
  openCampaign,
  person,
  reward,
  RewardsBench,
  submitted
} from "../layers/RewardsBench.ts"
import { asRole } from "../layers/VideoBench.ts"

const money = (amount: number) => ({ amount: Amount.make(BigInt(amount)), currency })
const reason = "I have seen it."
const decide = Effect.fnUntraced(function*(id: SubmissionId, decision: "approve" | "reject") {
  const reviews = yield* Reviews
  return yield* reviews.decide(id, yield* person("reviewer"), { decision, reason })
})
const begin = (id: SubmissionId) => Effect.flatMap(VerificationStore, (store) => store.begin(id, 1))
/** As the worker leaves it that cannot tell. */
const unsure = Effect.fnUntraced(function*(id: SubmissionId) {
  const store = yield* VerificationStore
  yield* begin(id)
  const nothing = { checks: [], reasons: [], hasPictures: false }
  yield* store.decide({ submissionId: id, outcome: "needs_review", ...nothing }, Option.none())
})
const paid = (member: UserId, amount = reward) => eventually(balanceOf(member), (balance) => balance === amount)
const escrow = (id: CampaignId) =>
  Effect.flatMap(
    Ledger,
    (ledger) =>
      Effect.map(
        ledger.balance(escrowOf(id), currency),
        ({ available, balance }) => [Number(balance), Number(available)]
      )
  )
const slotsLeft = (id: CampaignId) =>
  Effect.gen(function*() {
    const campaigns = yield* Campaigns
    return (yield* campaigns.find(id, yield* person())).slotsLeft
  })

/** For as long as a busy machine says "try again", with the same key, as a client would. */
const answerOf = <A, E extends { readonly _tag: string }, R>(request: Effect.Effect<A, E, R>) =>
  request.pipe(
    Effect.retry({ times: 50, while: ({ _tag }) => _tag === "Unavailable" }),
    Effect.match({ onFailure: ({ _tag }) => _tag, onSuccess: () => "taken" })
  )

/** Ready to be submitted. */
const submits = Effect.fnUntraced(function*(campaignId: CampaignId, member: UserId) {
  const videos = yield* Videos
  const uploads = yield* UploadStore
  const { videoId } = yield* videos.createUpload(member, { bytes: 1, contentType: "video/mp4" })
  yield* withDatabase(uploads.complete(videoId, digest))
  const key = yield* newId(OperationId)
  return answerOf(asked(member, key)(videos.verify({ videoId, campaignId })))
})

layer(RewardsBench(), { timeout: "120 seconds", excludeTestServices: true })("a campaign's promise", (it) => {
  it.effect("holds for what is in review when its sponsor closes it: approved is paid, rejected goes home", () =>
    Effect.gen(function*() {
      const campaigns = yield* Campaigns
      const { id, sponsor } = yield* openCampaign(3)
      const [first, second] = [(yield* person()).userId, (yield* person()).userId]
      const approved = yield* submitted(id, first)
      const rejected = yield* submitted(id, second)
      yield* unsure(approved.id)
      yield* unsure(rejected.id)
      const closed = yield* campaigns.close(id, sponsor).pipe(asked(sponsor.userId))
      assert.deepStrictEqual([closed.status, Number(closed.escrow.amount), closed.slotsLeft], ["closed", 2 * reward, 0])
      assert.strictEqual(yield* balanceOf(sponsor.userId), reward)
      assert.strictEqual((yield* Effect.flip(submitted(id, (yield* person()).userId)))._tag, "CampaignNotActive")
      yield* decide(approved.id, "approve")
      yield* paid(first)
      yield* decide(rejected.id, "reject")
      yield* paid(sponsor.userId, 2 * reward)
      assert.strictEqual(yield* balanceOf(second), 0)
      assert.deepStrictEqual(yield* escrow(id), [0, 0])
    }))

  it.effect("holds for what is being verified when it is paused, and takes the rest once it goes on", () =>
    Effect.gen(function*() {
      const campaigns = yield* Campaigns
      const { id, sponsor } = yield* openCampaign(2)
      const [first, second] = [(yield* person()).userId, (yield* person()).userId]
      const verifying = yield* submitted(id, first)
      yield* begin(verifying.id)
      yield* campaigns.pause(id, sponsor)
      assert.strictEqual((yield* Effect.flip(submitted(id, second)))._tag, "CampaignNotActive")
      yield* decide(verifying.id, "approve")
      yield* paid(first)
      yield* campaigns.activate(id, sponsor)
      yield* decide((yield* submitted(id, second)).id, "approve")
      yield* paid(second)
      assert.deepStrictEqual(yield* escrow(id), [0, 0])
      assert.strictEqual((yield* Effect.flip(submitted(id, (yield* person()).userId)))._tag, "CampaignFull")
    }))

  it.effect("takes exactly as many of one member's twenty submissions at once as it allows a member", () =>
    Effect.gen(function*() {
      const campaigns = yield* Campaigns
      const sponsor = yield* person("sponsor")
      yield* give(sponsor.userId, 30 * reward)
      const plan = { title: "A cap", brief: "Three each.", reward: money(reward), slots: 30, perMember: 3 }
      const { id } = yield* campaigns.create(sponsor, { ...plan, rules: defaultRules })
      yield* campaigns.fund(id, sponsor, money(30 * reward)).pipe(asked(sponsor.userId))
      yield* campaigns.activate(id, sponsor)
      const expected = [...Array.from({ length: 17 }, () => "MemberCapReached"), "taken", "taken", "taken"]
      const member = (yield* person()).userId
      const attempts = yield* Effect.forEach(Array.from({ length: 20 }), () => submits(id, member))
      assert.deepStrictEqual([...(yield* Effect.all(attempts, { concurrency: "unbounded" }))].sort(), expected)
      // Without what video does before, they all arrive at once.
      for (let round = 2; round <= 9; round++) {
        const userId = (yield* person()).userId
        const reserve = Effect.gen(function*() {
          const rewards = yield* Rewards
          const submissionId = yield* newId(SubmissionId)
          return yield* answerOf(rewards.reserve({ campaignId: id, submissionId, userId }))
        })
        const answers = yield* Effect.replicateEffect(reserve, 20, { concurrency: "unbounded" })
        assert.deepStrictEqual([...answers].sort(), expected)
        assert.deepStrictEqual(yield* escrow(id), [30 * reward, (30 - 3 * round) * reward])
      }
      assert.strictEqual(yield* slotsLeft(id), 3)
    }))

  it.effect("gives the slot of a rejected submission to whoever comes, the same member with another video too", () =>
    Effect.gen(function*() {
      const { id } = yield* openCampaign(1)
      const member = (yield* person()).userId
      for (let round = 0; round < 3; round++) {
        const { id: submission } = yield* submitted(id, member)
        assert.strictEqual((yield* Effect.flip(submitted(id, (yield* person()).userId)))._tag, "CampaignFull")
        yield* decide(submission, "reject")
        yield* eventually(slotsLeft(id), (left) => left === 1)
      }
      const last = yield* submitted(id, member)
      yield* decide(last.id, "approve")
      yield* paid(member)
      assert.deepStrictEqual(yield* escrow(id), [0, 0])
    }))

  it.effect("waits for a reviewer for as long as it takes: no sweep takes the slot or the money", () =>
    Effect.gen(function*() {
      const { id } = yield* openCampaign(1)
      const member = (yield* person()).userId
      const { id: submission } = yield* submitted(id, member)
      yield* unsure(submission)
      yield* asRole(
        "owner",
        `UPDATE rewards.slots SET created_at = now() - interval '90 days',
        updated_at = now() - interval '90 days' WHERE submission_id = '${submission}'`
      )
      yield* asRole(
        "owner",
        `UPDATE video.submissions SET created_at = now() - interval '90 days',
        updated_at = now() - interval '90 days' WHERE id = '${submission}'`
      )
      yield* Effect.flatMap(Rewards, ({ sweep }) => sweep)
      yield* Effect.flatMap(Videos, ({ settleReservations }) => settleReservations)
      const hold = `SELECT status, expires_at IS NULL FROM wallet.holds WHERE key = 'slot:${submission}'`
      assert.deepStrictEqual(yield* asRole("owner", hold), [["open", true]])
      yield* decide(submission, "approve")
      yield* paid(member)
    }))

  it.effect("is not kept by its sponsor: who pays does not decide, as a member does not decide the own video", () =>
    Effect.gen(function*() {
      const reviews = yield* Reviews
      const { id, sponsor } = yield* openCampaign(1)
      const member = yield* person("reviewer")
      const { id: submission } = yield* submitted(id, member.userId)
      yield* unsure(submission)
      for (const decision of ["approve", "reject"] as const) {
        const bySponsor = yield* Effect.flip(reviews.decide(submission, sponsor, { decision, reason }))
        assert.deepInclude(bySponsor, { _tag: "OwnCampaign", campaign_id: id, submission_id: submission })
        const byMember = yield* Effect.flip(reviews.decide(submission, member, { decision, reason }))
        assert.strictEqual(byMember._tag, "OwnSubmission")
      }
      yield* decide(submission, "approve")
      yield* paid(member.userId)
    }))

  it.effect("says how many submissions it can still take, also when it holds more money than its slots can cost", () =>
    Effect.gen(function*() {
      const campaigns = yield* Campaigns
      const { id, sponsor } = yield* openCampaign(2)
      yield* give(sponsor.userId, 5 * reward)
      const funded = yield* campaigns.fund(id, sponsor, money(5 * reward)).pipe(asked(sponsor.userId))
      assert.strictEqual(funded.slotsLeft, 2)
      for (const left of [1, 0]) {
        yield* submitted(id, (yield* person()).userId)
        assert.strictEqual(yield* slotsLeft(id), left)
      }
      assert.strictEqual((yield* Effect.flip(submitted(id, (yield* person()).userId)))._tag, "CampaignFull")
      const closed = yield* campaigns.close(id, sponsor).pipe(asked(sponsor.userId))
      assert.strictEqual(closed.slotsLeft, 0)
      assert.strictEqual(yield* balanceOf(sponsor.userId), 5 * reward)
    }))
})
