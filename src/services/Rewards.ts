import { Context, type Effect } from "effect"
import type { CampaignId, SubmissionId, UserId } from "../domain/Ids.ts"
import type { Money } from "../domain/Money.ts"
import type { NotFound, Unavailable } from "../domain/Problem.ts"
import type { CampaignFull, CampaignNotActive, MemberCapReached } from "../domain/Rewards.ts"
import type { VerificationRules } from "../domain/Verification.ts"

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
}>()("midnight/services/rewards/Rewards") {}
