import { assert, layer } from "@effect/vitest"
import { Effect, Exit, Option } from "effect"
import { SubmissionId } from "../../src/domain/Ids.ts"
import { Amount } from "../../src/domain/Money.ts"
import { Campaigns } from "../../src/services/Campaigns.ts"
import { away } from "../../src/services/Database.ts"
import { newId } from "../../src/services/NewId.ts"
import { Rewards } from "../../src/services/Rewards.ts"
import { asked, balanceOf, give, openCampaign, person, reward } from "../layers/RewardsBench.ts"
import { age, owner, reject, SlotsBench, standing, Steps } from "../layers/SlotsBench.ts"

/** A campaign with one slot, and a member who asks for it. */
const asking = Effect.gen(function*() {
  const rewards = yield* Rewards
  const campaigns = yield* Campaigns
  const { id: campaignId, sponsor } = yield* openCampaign(1)
  const { userId } = yield* person()
  const submissionId = yield* newId(SubmissionId)
  return {
    campaignId,
    sponsor,
    submissionId,
    reserve: rewards.reserve({ campaignId, submissionId, userId }),
    settle: rewards.settle({ submissionId, requestId: "test", traceparent: Option.none() }),
    close: campaigns.close(campaignId, sponsor).pipe(asked(sponsor.userId)),
    now: standing(submissionId, userId)
  }
})
type Asking = Effect.Success<typeof asking>

/** The slot is intended and its process died: after the hold was made, or before. */
const diesIn = Effect.fnUntraced(function*({ reserve, submissionId }: Asking, moment: "after" | "before") {
  const steps = yield* Steps
  yield* steps.at(`${moment} authorise`, Effect.fail(away))
  assert.strictEqual((yield* Effect.flip(reserve))._tag, "Unavailable")
  yield* age(submissionId)
})

/** Whoever got a slot is paid for it; whoever did not leaves nothing held. */
const judge = Effect.fnUntraced(function*({ now, settle }: Asking, granted: boolean) {
  const { held, hold, slot } = yield* now
  if (!granted) {
    assert.deepStrictEqual([slot, held], ["released", 0])
    return assert.notStrictEqual(hold, "open")
  }
  assert.deepStrictEqual([slot, hold, held], ["reserved", "open", reward])
  yield* settle
  const { held: after, slot: paid, wallet } = yield* now
  assert.deepStrictEqual([paid, after, wallet], ["paid", 0, reward])
})

layer(SlotsBench, { timeout: "60 seconds", excludeTestServices: true })("a slot that is taken and given back", (it) => {
  it.effect("is given back by the sweep when its process died, and can be taken by another", () =>
    Effect.gen(function*() {
      const rewards = yield* Rewards
      for (const moment of ["before", "after"] as const) {
        const one = yield* asking
        yield* diesIn(one, moment)
        yield* rewards.sweep
        yield* judge(one, false)
        const { userId } = yield* person()
        const other = yield* newId(SubmissionId)
        yield* rewards.reserve({ campaignId: one.campaignId, submissionId: other, userId })
        assert.strictEqual((yield* standing(other, userId)).hold, "open")
      }
    }))

  it.effect("is left to whoever takes it at this moment while it is young", () =>
    Effect.gen(function*() {
      const rewards = yield* Rewards
      const steps = yield* Steps
      const one = yield* asking
      yield* steps.at("after authorise", rewards.sweep)
      yield* one.reserve
      yield* judge(one, true)
    }))

  for (const died of ["before", "after"] as const) {
    for (const moment of ["before authorise", "after authorise"] as const) {
      it.effect(`is paid or free, when the sweep comes ${moment} of a second try after a death ${died} the hold`, () =>
        Effect.gen(function*() {
          const rewards = yield* Rewards
          const steps = yield* Steps
          const one = yield* asking
          yield* diesIn(one, died)
          yield* steps.at(moment, rewards.sweep)
          yield* judge(one, Exit.isSuccess(yield* Effect.exit(one.reserve)))
        }))
    }
    for (const moment of ["before void", "after void"] as const) {
      it.effect(`is paid or free, when a second try after a death ${died} the hold comes ${moment} of the sweep`, () =>
        Effect.gen(function*() {
          const rewards = yield* Rewards
          const steps = yield* Steps
          const one = yield* asking
          yield* diesIn(one, died)
          let granted = false
          const secondTry = Effect.map(Effect.exit(one.reserve), (exit) => granted = Exit.isSuccess(exit))
          yield* steps.at(moment, secondTry)
          yield* rewards.sweep
          yield* judge(one, granted)
        }))
    }
  }

  it.effect("is given back to the end when the sweep died over it", () =>
    Effect.gen(function*() {
      const rewards = yield* Rewards
      const steps = yield* Steps
      const one = yield* asking
      yield* diesIn(one, "after")
      yield* steps.at("before void", Effect.fail(away))
      yield* Effect.flip(rewards.sweep)
      assert.strictEqual((yield* one.now).hold, "open")
      yield* age(one.submissionId)
      yield* rewards.sweep
      yield* judge(one, false)
    }))

  it.effect("stays granted when its campaign has paused before a request is repeated", () =>
    Effect.gen(function*() {
      const campaigns = yield* Campaigns
      const one = yield* asking
      yield* one.reserve
      yield* campaigns.pause(one.campaignId, one.sponsor)
      yield* one.reserve
      yield* judge(one, true)
    }))
})

layer(SlotsBench, { timeout: "60 seconds", excludeTestServices: true })("the reward of a refused submission", (it) => {
  it.effect("goes home once, when its campaign is closed between the voiding of its hold and its return", () =>
    Effect.gen(function*() {
      const steps = yield* Steps
      const one = yield* asking
      yield* one.reserve
      yield* reject(one.submissionId)
      yield* steps.at("after void", Effect.orDie(one.close))
      yield* one.settle
      yield* judge(one, false)
      assert.strictEqual(yield* balanceOf(one.sponsor.userId), reward)
    }))

  it.effect("goes home once, when its settlement is delivered again after its campaign was closed", () =>
    Effect.gen(function*() {
      const one = yield* asking
      yield* one.reserve
      yield* reject(one.submissionId)
      yield* one.settle
      yield* one.close
      yield* one.settle
      yield* judge(one, false)
      assert.strictEqual(yield* balanceOf(one.sponsor.userId), reward)
    }))
})

layer(SlotsBench, { timeout: "60 seconds", excludeTestServices: true })(
  "what is left in a closed campaign's escrow",
  (it) => {
    const escrowOf = (one: Asking) => Effect.map(one.now, ({ escrow }) => escrow)

    it.effect("goes home when a slot that no verdict will come for is given back, by request or by the sweep", () =>
      Effect.gen(function*() {
        const rewards = yield* Rewards
        for (const giveBack of ["request", "sweep"] as const) {
          const one = yield* asking
          yield* diesIn(one, "after")
          yield* one.close
          assert.strictEqual(yield* escrowOf(one), reward)
          yield* giveBack === "sweep" ? rewards.sweep : rewards.release(one.submissionId)
          yield* judge(one, false)
          assert.deepStrictEqual([yield* escrowOf(one), yield* balanceOf(one.sponsor.userId)], [0, reward])
        }
      }))

    it.effect("goes home when the process died between the voiding of the hold and the return", () =>
      Effect.gen(function*() {
        const rewards = yield* Rewards
        const steps = yield* Steps
        const one = yield* asking
        yield* diesIn(one, "after")
        yield* one.close
        yield* steps.at("after void", Effect.fail(away))
        yield* Effect.flip(rewards.release(one.submissionId))
        yield* age(one.submissionId)
        yield* rewards.sweep
        yield* judge(one, false)
        assert.deepStrictEqual([yield* escrowOf(one), yield* balanceOf(one.sponsor.userId)], [0, reward])
      }))

    it.effect("goes home by the sweep when a funding died after the campaign was closed beside it", () =>
      Effect.gen(function*() {
        const rewards = yield* Rewards
        const campaigns = yield* Campaigns
        const steps = yield* Steps
        const { sponsor } = yield* openCampaign(1)
        yield* give(sponsor.userId, reward)
        const open = yield* campaigns.create(sponsor, {
          title: "Late money",
          brief: "Funded while it closes.",
          reward: { amount: Amount.make(BigInt(reward)), currency: "NGN" },
          slots: 1
        })
        yield* steps.at("before post", Effect.orDie(campaigns.close(open.id, sponsor).pipe(asked(sponsor.userId))))
        yield* steps.at("after post", Effect.fail(away))
        const died = yield* campaigns.fund(open.id, sponsor, { amount: Amount.make(BigInt(reward)), currency: "NGN" })
          .pipe(
            asked(sponsor.userId),
            Effect.flip
          )
        assert.strictEqual(died._tag, "Unavailable")
        assert.strictEqual(yield* balanceOf(sponsor.userId), 0)
        yield* rewards.sweep
        assert.strictEqual(yield* balanceOf(sponsor.userId), reward)
      }))

    it.effect("is looked for until it is empty and the campaign was closed an hour ago, and then no more", () =>
      Effect.gen(function*() {
        const rewards = yield* Rewards
        const one = yield* asking
        const emptied = Effect.map(
          owner(`SELECT escrow_emptied FROM rewards.campaigns WHERE id = '${one.campaignId}'`),
          ([row]) => row?.[0]
        )
        const longAgo = owner(
          `UPDATE rewards.campaigns SET closed_at = now() - interval '61 minutes' WHERE id = '${one.campaignId}'`
        )
        yield* one.reserve
        yield* one.close
        yield* longAgo
        yield* rewards.sweep
        assert.isFalse(yield* emptied)
        yield* owner(`UPDATE rewards.campaigns SET closed_at = now() WHERE id = '${one.campaignId}'`)
        yield* reject(one.submissionId)
        yield* one.settle
        yield* rewards.sweep
        assert.isFalse(yield* emptied)
        yield* longAgo
        yield* rewards.sweep
        assert.isTrue(yield* emptied)
      }))
  }
)
