import { Clock, Context, DateTime, Effect, Layer, Option, Schema } from "effect"
import { type CampaignId, SubmissionId, type UserId } from "../domain/Ids.ts"
import type { Money } from "../domain/Money.ts"
import { NotFound, type Unavailable } from "../domain/Problem.ts"
import { CampaignFull, type CampaignNotActive, MemberCapReached, takesSubmissions } from "../domain/Rewards.ts"
import type { VerificationRules } from "../domain/Verification.ts"
import { between, escrowOf, walletOf } from "../domain/Wallet.ts"
import { bringHome } from "./BringHome.ts"
import { CampaignEscrowStore, type ClosedCampaign } from "./CampaignEscrowStore.ts"
import type { SettleCommand } from "./Commands.ts"
import { withDatabase } from "./Database.ts"
import { Ledger, type PostError } from "./Ledger.ts"
import { uuidV7 } from "./NewId.ts"
import { RewardStore, type SlotRow } from "./RewardStore.ts"
import { Verdicts } from "./Verdicts.ts"

/** A settlement without a verdict: nobody's money moves, and the command stays until there is one or a person looks. */
export class VerdictMissing extends Schema.TaggedError<VerdictMissing>()("VerdictMissing", {
  submissionId: SubmissionId
}) {
  override get message() {
    return `Submission ${this.submissionId} has no verdict, so nothing is settled.`
  }
}

/** The public face of the rewards bulkhead for video: a slot is a hold of the reward on the campaign's escrow. */
export class Rewards extends Context.Service<Rewards, {
  /** Takes a slot for a submission. Repeating it with the same submission finds the slot already taken, and succeeds. */
  reserve(slot: {
    readonly campaignId: CampaignId
    readonly submissionId: SubmissionId
    readonly userId: UserId
  }): Effect.Effect<
    { readonly reward: Money; readonly rules: VerificationRules },
    NotFound | CampaignNotActive | CampaignFull | MemberCapReached | Unavailable
  >
  /** Gives the slot back. Succeeds when there is none, and when it was given back before. */
  release(submissionId: SubmissionId): Effect.Effect<void, Unavailable>
  /**
   * Pays the reward of an approved submission, or gives its slot back: once, however often it is told. It asks the video
   * bulkhead for the verdict, and the posting names what justified it.
   */
  settle(command: typeof SettleCommand.Type): Effect.Effect<void, PostError | VerdictMissing>
  /** Whether money of somebody's still waits here: a campaign of theirs is not closed, or a reward is not decided. */
  isInvolved(userId: UserId): Effect.Effect<boolean, Unavailable>
  /** Whether the campaign is this sponsor's. */
  sponsors(userId: UserId, campaignId: CampaignId): Effect.Effect<boolean, Unavailable>
  /**
   * Gives back the slots whose taking or giving back was begun and never ended, and brings home what is left in the escrow of
   * closed campaigns. One round of the sweeper.
   */
  readonly sweep: Effect.Effect<void, Unavailable>
}>()("midnight/services/rewards/Rewards") {
  static readonly layer = Layer.effect(
    Rewards,
    Effect.gen(function*() {
      const store = yield* RewardStore
      const escrows = yield* CampaignEscrowStore
      const ledger = yield* Ledger
      const verdicts = yield* Verdicts

      const reserve = Effect.fn("Rewards.reserve")(
        function*(request: { campaignId: CampaignId; submissionId: SubmissionId; userId: UserId }) {
          const found = yield* withDatabase(store.find(request.campaignId))
          if (Option.isNone(found) || found.value.status === "draft") return yield* new NotFound({})
          const campaign = found.value
          // A slot that was begun is only finished here, also when the campaign has paused meanwhile: money decides.
          if (Option.isNone(yield* withDatabase(store.slot(request.submissionId)))) {
            yield* takesSubmissions(campaign, yield* DateTime.now)
          }
          const { reward, rules } = campaign
          const slot = {
            ...request,
            rewardAmount: reward.amount,
            currency: reward.currency,
            status: "reserving" as const
          }
          switch (yield* withDatabase(store.intend(slot, campaign))) {
            case "full":
              return yield* new CampaignFull({ detail: `All ${campaign.slots} slots are taken.` })
            case "capped":
              return yield* new MemberCapReached({ per_member: campaign.perMember })
            case "released":
              return yield* Effect.andThen(release(request.submissionId), givenBack)
          }
          yield* ledger.authorise({ key: holdOf(request.submissionId), account: escrowOf(campaign.id), ...reward })
            .pipe(
              Effect.catchTags({
                InsufficientFunds: () => Effect.andThen(release(request.submissionId), noMoneyLeft),
                // The key names this submission alone, and the amount is the campaign's: a conflict is a fault of ours.
                PostingConflict: Effect.die,
                BalanceLimit: Effect.die
              })
            )
          // Whoever gave the slot back meanwhile may have looked before this hold was there.
          const kept = yield* withDatabase(store.keep(request.submissionId))
          if (!kept) return yield* Effect.andThen(release(request.submissionId), givenBack)
          return { reward, rules }
        }
      )

      const voidHold = (submissionId: SubmissionId) =>
        ledger.void(holdOf(submissionId)).pipe(
          // Never held, or held and captured: either way there is nothing to give back.
          Effect.catchTag("HoldClosed", () => Effect.void)
        )

      // The slot is open to others again; the reward of a closed campaign goes home to its sponsor.
      const goHome = Effect.fnUntraced(function*(slot: SlotRow) {
        const campaign = yield* withDatabase(store.find(slot.campaignId))
        if (Option.isNone(campaign) || campaign.value.status !== "closed") return
        yield* ledger.post(between({
          key: `return:${slot.submissionId}`,
          kind: "escrow",
          from: escrowOf(slot.campaignId),
          to: walletOf(campaign.value.sponsorId),
          amount: slot.rewardAmount,
          currency: slot.currency,
          reference: { campaignId: slot.campaignId, submissionId: slot.submissionId }
        })).pipe(
          // Whoever closed the campaign after the hold was voided, or a delivery before this one, took it home.
          Effect.catchTags({
            InsufficientFunds: () => Effect.void,
            // It stays in the escrow, from where the sweep brings it home once the sponsor's wallet has room.
            BalanceLimit: () => Effect.void,
            PostingConflict: Effect.die
          })
        )
      })

      /** Ends the giving back of a claimed slot. Every step may have been done before. */
      const finishRelease = Effect.fnUntraced(function*(slot: SlotRow) {
        yield* voidHold(slot.submissionId)
        yield* goHome(slot)
        yield* withDatabase(store.released(slot.submissionId))
      })

      // Claimed first: a reservation that runs at the same moment finds the claim, or its hold is found here.
      const release = Effect.fn("Rewards.release")(function*(submissionId: SubmissionId) {
        const claimed = yield* withDatabase(store.claim(submissionId))
        if (Option.isSome(claimed)) yield* finishRelease(claimed.value)
      })

      const pay = Effect.fnUntraced(function*(slot: SlotRow, reference: Readonly<Record<string, string>>) {
        const posted = yield* ledger.capture({
          key: `reward:${slot.submissionId}`,
          hold: holdOf(slot.submissionId),
          kind: "reward",
          amount: slot.rewardAmount,
          currency: slot.currency,
          to: walletOf(slot.userId),
          memo: Option.none(),
          reference: { ...reference, campaignId: slot.campaignId, submissionId: slot.submissionId }
        }).pipe(Effect.catchTags({ HoldClosed: Effect.die, HoldExceeded: Effect.die }))
        yield* withDatabase(
          store.paid(slot.submissionId, { transferId: posted.id, reference })
        )
      })

      const settle = Effect.fn("Rewards.settle")(function*(command: typeof SettleCommand.Type) {
        const { submissionId } = command
        yield* Effect.annotateCurrentSpan({ "midnight.submission.id": submissionId })
        const verdict = yield* verdicts.of(submissionId)
        if (Option.isNone(verdict)) return yield* new VerdictMissing({ submissionId })
        const { campaignId, outcome, reference, userId } = verdict.value
        yield* Effect.annotateCurrentSpan({ "midnight.verdict": outcome })
        const found = yield* withDatabase(store.slot(submissionId))
        if (Option.isNone(found)) return yield* Effect.die(new Error(`no slot for ${submissionId}`))
        const slot = found.value
        if (slot.userId !== userId || slot.campaignId !== campaignId) {
          return yield* Effect.die(new Error(`the slot and the verdict of ${submissionId} are not of one submission`))
        }
        if (slot.status === "paid") return
        // This span continues the trace in which the verdict was reached, by the worker or by a reviewer's request.
        const span = yield* Effect.option(Effect.currentSpan)
        const traced = Option.match(span, { onNone: () => ({}), onSome: ({ traceId }) => ({ traceId }) })
        yield* outcome === "approved" ? pay(slot, { ...reference, ...traced }) : release(submissionId)
      })

      const home = bringHome(ledger)

      const sweepEscrow = Effect.fnUntraced(function*(campaign: ClosedCampaign) {
        // What the key names is this look, not the money: whatever is free in a closed escrow is the sponsor's.
        const isEmpty = yield* home(campaign, `home:${uuidV7(yield* Clock.currentTimeMillis)}`)
        if (isEmpty) yield* withDatabase(escrows.emptied(campaign.id))
      }, (look, campaign) => {
        const later = ({ _tag }: PostError) => Effect.logWarning(`The escrow of ${campaign.id} stays for now: ${_tag}`)
        return Effect.catchTags(look, { InsufficientFunds: later, BalanceLimit: later, PostingConflict: later })
      })

      const sweep = Effect.fn("Rewards.sweep")(function*() {
        yield* Effect.forEach(yield* withDatabase(store.claimUnfinished), finishRelease, { discard: true })
        yield* Effect.forEach(yield* withDatabase(escrows.closed), sweepEscrow, { discard: true })
      })()

      const isInvolved = Effect.fn("Rewards.isInvolved")((userId: UserId) => withDatabase(store.isInvolved(userId)))

      const sponsors = Effect.fn("Rewards.sponsors")(function*(userId: UserId, campaignId: CampaignId) {
        return Option.exists(yield* withDatabase(store.find(campaignId)), ({ sponsorId }) => sponsorId === userId)
      })

      return Rewards.of({ reserve, release, settle, isInvolved, sponsors, sweep })
    })
  )
}

const holdOf = (submissionId: SubmissionId): string => `slot:${submissionId}`

const givenBack = Effect.fail(new CampaignFull({ detail: "The slot was given back. Submit again with a new key." }))

const noMoneyLeft = Effect.fail(new CampaignFull({ detail: "The escrow does not cover another reward." }))
