import { DateTime, Effect, Option } from "effect"
import { SecureRandom } from "effect/crypto"
import { CampaignId, SubmissionId, TransferId } from "../../domain/Ids.ts"
import { Amount } from "../../domain/Money.ts"
import type { StoredCampaign } from "../../domain/Rewards.ts"
import { defaultRules } from "../../domain/Verification.ts"
import type { CampaignEscrowStore } from "../../services/CampaignEscrowStore.ts"
import type { RewardStore } from "../../services/RewardStore.ts"
import { after, named, type Uses } from "./NamedQuery.ts"
import type { Samples } from "./Samples.ts"

const currency = "USD"
const amount = Amount.make(1n)
const fresh = <A>(schema: { readonly make: (value: string) => A }) => schema.make(SecureRandom.uuidV7Unsafe())

type Rewards = RewardStore["Service"]

export const rewardQueries = (
  store: Rewards,
  escrows: CampaignEscrowStore["Service"],
  real: Samples,
  now: DateTime.Utc
) => {
  const campaign: StoredCampaign = {
    id: fresh(CampaignId),
    sponsorId: real.userId,
    title: "doctor",
    brief: "doctor",
    reward: { amount, currency },
    slots: 10,
    perMember: 1,
    rules: defaultRules,
    status: "draft",
    opensAt: Option.none(),
    closesAt: Option.none(),
    createdAt: now
  }
  const slot = {
    submissionId: fresh(SubmissionId),
    campaignId: campaign.id,
    userId: real.userId,
    rewardAmount: amount,
    currency,
    status: "reserving"
  } as const
  const insert = store.insert(campaign)
  const intend = store.intend(slot, campaign)
  const taken = Effect.andThen(insert, intend)
  const page = { viewer: real.userId, q: Option.none(), before: Option.none(), limit: 20 }
  const before = Option.some({ at: DateTime.formatIso(now), id: campaign.id })
  const uses: Uses<Rewards> = {
    insert,
    find: store.find(real.campaignId),
    list: [store.list(page), store.list({ ...page, q: Option.some("doctor"), before })],
    setStatus: after(insert, store.setStatus(campaign.id, "draft", "active")),
    edit: after(insert, store.edit(campaign.id, { title: "doctor", brief: "doctor", closesAt: Option.none() })),
    intend: after(insert, intend),
    taken: store.taken([real.campaignId, campaign.id]),
    slot: store.slot(real.slotId),
    keep: after(taken, store.keep(slot.submissionId)),
    claim: after(taken, store.claim(slot.submissionId)),
    claimUnfinished: store.claimUnfinished,
    released: after(taken, store.released(slot.submissionId)),
    paid: after(taken, store.paid(slot.submissionId, { transferId: fresh(TransferId), reference: {} })),
    isInvolved: store.isInvolved(real.userId)
  }
  const ofEscrows: Uses<CampaignEscrowStore["Service"]> = {
    closed: after(Effect.andThen(insert, store.setStatus(campaign.id, "draft", "closed")), escrows.closed),
    emptied: after(insert, escrows.emptied(campaign.id))
  }
  return [...named("RewardStore", uses), ...named("CampaignEscrowStore", ofEscrows)]
}
