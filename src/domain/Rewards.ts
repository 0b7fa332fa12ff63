import { DateTime, Effect, Option, Schema } from "effect"
import { CampaignId, UserId } from "./Ids.ts"
import { Instant } from "./Instant.ts"
import { Amount, Balance, Currency, Money } from "./Money.ts"
import { NewRules } from "./NewRules.ts"
import type { Principal } from "./Principal.ts"
import { Problem } from "./Problem.ts"
import { VerificationRules } from "./Verification.ts"

export const CampaignStatus = Schema.Literals(["draft", "active", "paused", "closed"])
export type CampaignStatus = typeof CampaignStatus.Type

const Title = Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(120))
const Brief = Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(4000))
const Slots = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_000_000 }))
const PerMember = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1000 }))

/** A campaign as its readers see it. `escrow` is what it can still pay; `slotsLeft` how many submissions it can still take. */
export const Campaign = Schema.Struct({
  id: CampaignId,
  title: Schema.String,
  brief: Schema.String,
  reward: Money,
  slots: Schema.Int,
  perMember: Schema.Int,
  rules: VerificationRules,
  status: CampaignStatus,
  escrow: Balance,
  slotsLeft: Schema.Int,
  opensAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  closesAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  createdAt: Schema.DateTimeUtcFromString
}).annotate({ identifier: "Campaign" })
export type Campaign = typeof Campaign.Type

export const CreateCampaign = Schema.Struct({
  title: Title,
  brief: Brief,
  reward: Money,
  slots: Slots,
  perMember: Schema.optionalKey(PerMember),
  rules: Schema.optionalKey(NewRules),
  opensAt: Schema.optionalKey(Instant),
  closesAt: Schema.optionalKey(Instant)
}).annotate({ identifier: "CreateCampaign" })
export type CreateCampaign = typeof CreateCampaign.Type

export const PatchCampaign = Schema.Struct({
  title: Schema.optionalKey(Title),
  brief: Schema.optionalKey(Brief),
  closesAt: Schema.optionalKey(Instant)
}).annotate({ identifier: "PatchCampaign" })
export type PatchCampaign = typeof PatchCampaign.Type

export const FundCampaign = Schema.Struct({ amount: Amount, currency: Currency }).annotate({
  identifier: "FundCampaign"
})
export type FundCampaign = typeof FundCampaign.Type

/** What the store keeps of a campaign; its money is the ledger's to tell. */
export interface StoredCampaign {
  readonly id: CampaignId
  readonly sponsorId: UserId
  readonly title: string
  readonly brief: string
  readonly reward: Money
  readonly slots: number
  readonly perMember: number
  readonly rules: VerificationRules
  readonly status: CampaignStatus
  readonly opensAt: Option.Option<DateTime.Utc>
  readonly closesAt: Option.Option<DateTime.Utc>
  readonly createdAt: DateTime.Utc
}

export class IllegalCampaignTransition extends Problem<IllegalCampaignTransition>()("IllegalCampaignTransition", {
  type: "/problems/illegal-campaign-transition",
  status: 409,
  title: "The campaign's status does not allow this"
}, { code: Schema.tag("IllegalCampaignTransition"), campaign_status: CampaignStatus }) {}

export const closedToMoney = new IllegalCampaignTransition({
  detail: "A closed campaign takes no money.",
  campaign_status: "closed"
})

export class EscrowTooSmall extends Problem<EscrowTooSmall>()("EscrowTooSmall", {
  type: "/problems/escrow-too-small",
  status: 422,
  title: "The escrow does not cover every slot"
}, { code: Schema.tag("EscrowTooSmall"), available: Balance, required: Balance }) {}

export class CampaignNotActive extends Problem<CampaignNotActive>()("CampaignNotActive", {
  type: "/problems/campaign-not-active",
  status: 409,
  title: "The campaign takes no submissions now"
}, { code: Schema.tag("CampaignNotActive"), campaign_status: CampaignStatus }) {}

export class CampaignFull extends Problem<CampaignFull>()("CampaignFull", {
  type: "/problems/campaign-full",
  status: 409,
  title: "Every slot of the campaign is taken"
}, { code: Schema.tag("CampaignFull") }) {}

export class MemberCapReached extends Problem<MemberCapReached>()("MemberCapReached", {
  type: "/problems/member-cap-reached",
  status: 409,
  title: "You have used every submission that this campaign allows a member"
}, { code: Schema.tag("MemberCapReached"), per_member: Schema.Int }) {}

export class CampaignDatesInvalid extends Problem<CampaignDatesInvalid>()("CampaignDatesInvalid", {
  type: "/problems/campaign-dates-invalid",
  status: 400,
  title: "closesAt must come after opensAt"
}, { code: Schema.tag("CampaignDatesInvalid") }) {}

export class CurrencyMismatch extends Problem<CurrencyMismatch>()("CurrencyMismatch", {
  type: "/problems/currency-mismatch",
  status: 422,
  title: "The campaign pays in another currency"
}, { code: Schema.tag("CurrencyMismatch"), expected: Currency }) {}

/** What is needed in escrow to activate: the reward times the slots. */
export const fullEscrow = (campaign: Pick<StoredCampaign, "reward" | "slots">): bigint =>
  campaign.reward.amount * BigInt(campaign.slots)

const next: Record<"activate" | "pause" | "close", ReadonlyArray<CampaignStatus>> = {
  activate: ["draft", "paused"],
  pause: ["active"],
  close: ["draft", "active", "paused"]
}
const result = { activate: "active", pause: "paused", close: "closed" } as const

/** The campaign's status after an act of its sponsor. Closed is final; an act that is already done is done. */
export const transition = (
  status: CampaignStatus,
  act: "activate" | "pause" | "close"
): Effect.Effect<CampaignStatus, IllegalCampaignTransition> =>
  status === result[act] || next[act].includes(status)
    ? Effect.succeed(result[act])
    : Effect.fail(
      new IllegalCampaignTransition({ detail: `A ${status} campaign cannot ${act}.`, campaign_status: status })
    )

/** Whether a submission is taken at this instant. */
export const takesSubmissions = (
  campaign: StoredCampaign,
  at: DateTime.Utc
): Effect.Effect<void, CampaignNotActive> => {
  const notYet = Option.exists(campaign.opensAt, (opens) => DateTime.isGreaterThan(opens, at))
  const over = Option.exists(campaign.closesAt, (closes) => DateTime.isLessThanOrEqualTo(closes, at))
  if (campaign.status === "active" && !notYet && !over) return Effect.void
  const detail = campaign.status !== "active"
    ? `The campaign is ${campaign.status}.`
    : notYet
    ? "The campaign has not opened yet."
    : "The campaign's closing date has passed."
  return Effect.fail(new CampaignNotActive({ detail, campaign_status: campaign.status }))
}

/** Drafts are seen by their owner alone. */
export const isVisibleTo = (campaign: StoredCampaign, user: Principal): boolean =>
  campaign.status !== "draft" || campaign.sponsorId === user.userId
