import { Context, DateTime, Effect, Layer, Option, Schema } from "effect"
import { CampaignId } from "../domain/Ids.ts"
import { type Currency, UnsupportedCurrency } from "../domain/Money.ts"
import { MoneyRequest } from "../domain/MoneyRequest.ts"
import { cursorOf, cut, PositionInstant } from "../domain/Page.ts"
import type { Principal } from "../domain/Principal.ts"
import { type InvalidRequest, NotFound, type Unavailable } from "../domain/Problem.ts"
import {
  type Campaign,
  CampaignDatesInvalid,
  type CampaignStatus,
  closedToMoney,
  type CreateCampaign,
  CurrencyMismatch,
  EscrowTooSmall,
  fullEscrow,
  type FundCampaign,
  IllegalCampaignTransition,
  isVisibleTo,
  type PatchCampaign,
  type StoredCampaign,
  transition
} from "../domain/Rewards.ts"
import { defaultRules } from "../domain/Verification.ts"
import { between, escrowOf, walletOf } from "../domain/Wallet.ts"
import { bringHome } from "./BringHome.ts"
import { withDatabase } from "./Database.ts"
import { Ledger, type PostError } from "./Ledger.ts"
import { newId } from "./NewId.ts"
import { RewardStore } from "./RewardStore.ts"

const position = cursorOf(Schema.Struct({ at: PositionInstant, id: CampaignId }))

type ActError = NotFound | IllegalCampaignTransition | Unavailable

/** What sponsors do with their campaigns, and what everybody may read of them. */
export class Campaigns extends Context.Service<Campaigns, {
  create(
    sponsor: Principal,
    request: CreateCampaign
  ): Effect.Effect<Campaign, UnsupportedCurrency | CampaignDatesInvalid | Unavailable>
  find(id: CampaignId, viewer: Principal): Effect.Effect<Campaign, NotFound | Unavailable>
  list(query: {
    readonly viewer: Principal
    readonly q: Option.Option<string>
    readonly cursor: string | undefined
    readonly limit: number
  }): Effect.Effect<
    { readonly items: ReadonlyArray<Campaign>; readonly nextCursor: string | null },
    InvalidRequest | Unavailable
  >
  edit(id: CampaignId, sponsor: Principal, change: PatchCampaign): Effect.Effect<
    Campaign,
    NotFound | CampaignDatesInvalid | Unavailable
  >
  /** Moves money from the sponsor's wallet into the campaign's escrow. */
  fund(id: CampaignId, sponsor: Principal, request: FundCampaign): Effect.Effect<
    Campaign,
    NotFound | IllegalCampaignTransition | CurrencyMismatch | PostError,
    MoneyRequest
  >
  activate(id: CampaignId, sponsor: Principal): Effect.Effect<Campaign, ActError | EscrowTooSmall>
  pause(id: CampaignId, sponsor: Principal): Effect.Effect<Campaign, ActError>
  /** Closes for good and returns what no submission holds; what is still held returns when its verdict comes. */
  close(id: CampaignId, sponsor: Principal): Effect.Effect<Campaign, ActError | PostError, MoneyRequest>
}>()("midnight/services/rewards/Campaigns") {
  static readonly layer = (currencies: ReadonlyArray<Currency>) => Layer.effect(Campaigns, make(currencies))
}

const make = Effect.fnUntraced(function*(currencies: ReadonlyArray<Currency>) {
  const store = yield* RewardStore
  const ledger = yield* Ledger

  const views = Effect.fnUntraced(function*(rows: ReadonlyArray<StoredCampaign>) {
    const escrows = yield* ledger.balances(
      "escrow",
      rows.map((row) => ({ owner: row.id, currency: row.reward.currency }))
    )
    const taken = yield* withDatabase(store.taken(rows.map(({ id }) => id)))
    return rows.map((row, i) => viewOf(row, escrows[i] ?? { balance: 0n, available: 0n }, taken[i] ?? 0))
  })
  const view = (row: StoredCampaign): Effect.Effect<Campaign, Unavailable> =>
    Effect.flatMap(views([row]), ([one]) => one === undefined ? Effect.die(new Error("no view")) : Effect.succeed(one))

  const visible = Effect.fnUntraced(function*(id: CampaignId, viewer: Principal) {
    const row = yield* withDatabase(store.find(id))
    return Option.isSome(row) && isVisibleTo(row.value, viewer) ? row.value : yield* new NotFound({})
  })

  const owned = Effect.fnUntraced(function*(id: CampaignId, sponsor: Principal) {
    const row = yield* withDatabase(store.find(id))
    return Option.isSome(row) && row.value.sponsorId === sponsor.userId ? row.value : yield* new NotFound({})
  })

  const create = Effect.fn("Campaigns.create")(function*(sponsor: Principal, request: CreateCampaign) {
    if (!currencies.includes(request.reward.currency)) {
      return yield* new UnsupportedCurrency({ currency: request.reward.currency, allowed: [...currencies] })
    }
    const campaign: StoredCampaign = {
      id: yield* newId(CampaignId),
      sponsorId: sponsor.userId,
      title: request.title,
      brief: request.brief,
      reward: request.reward,
      slots: request.slots,
      perMember: request.perMember ?? 1,
      rules: request.rules ?? defaultRules,
      status: "draft",
      opensAt: Option.fromUndefinedOr(request.opensAt),
      closesAt: Option.fromUndefinedOr(request.closesAt),
      createdAt: yield* DateTime.now
    }
    yield* datesInOrder(campaign)
    yield* withDatabase(store.insert(campaign))
    return yield* view(campaign)
  })

  const edit = Effect.fn("Campaigns.edit")(function*(id: CampaignId, sponsor: Principal, change: PatchCampaign) {
    const before = yield* owned(id, sponsor)
    const after = {
      ...before,
      title: change.title ?? before.title,
      brief: change.brief ?? before.brief,
      closesAt: change.closesAt === undefined ? before.closesAt : Option.some(change.closesAt)
    }
    yield* datesInOrder(after)
    yield* withDatabase(store.edit(id, after))
    return yield* view(after)
  })

  const home = bringHome(ledger)
  const takeHome = ({ id, reward: { currency }, sponsorId }: StoredCampaign) =>
    Effect.flatMap(MoneyRequest, ({ operationId }) => home({ id, sponsorId, currency }, `close:${operationId}`))

  const fund = Effect.fn("Campaigns.fund")(function*(id: CampaignId, sponsor: Principal, request: FundCampaign) {
    const { operationId } = yield* MoneyRequest
    const campaign = yield* owned(id, sponsor)
    if (campaign.status === "closed") return yield* closedToMoney
    if (campaign.reward.currency !== request.currency) {
      return yield* new CurrencyMismatch({ expected: campaign.reward.currency })
    }
    yield* ledger.post(between({
      key: `fund:${operationId}`,
      kind: "escrow",
      from: walletOf(sponsor.userId),
      to: escrowOf(id),
      ...request,
      reference: { campaignId: id }
    }))
    // Whoever closed it in the meantime may have looked into the escrow before this money came.
    const now = yield* owned(id, sponsor)
    if (now.status === "closed") return yield* Effect.andThen(takeHome(now), closedToMoney)
    return yield* view(now)
  })

  const become = Effect.fnUntraced(function*(campaign: StoredCampaign, to: CampaignStatus) {
    if (campaign.status !== to && !(yield* withDatabase(store.setStatus(campaign.id, campaign.status, to)))) {
      return yield* new IllegalCampaignTransition({
        detail: "Another request changed the campaign at the same time. Read it again.",
        campaign_status: campaign.status
      })
    }
    return { ...campaign, status: to }
  })

  const activate = Effect.fn("Campaigns.activate")(function*(id: CampaignId, sponsor: Principal) {
    const campaign = yield* owned(id, sponsor)
    const to = yield* transition(campaign.status, "activate")
    const { balance } = yield* ledger.balance(escrowOf(id), campaign.reward.currency)
    // A paused campaign has paid out of its escrow already; only its first activation must cover every slot.
    if (campaign.status === "draft" && balance < fullEscrow(campaign)) {
      const { currency } = campaign.reward
      return yield* new EscrowTooSmall({
        detail: `Fund the campaign with ${fullEscrow(campaign) - balance} minor units more.`,
        available: { amount: balance, currency },
        required: { amount: fullEscrow(campaign), currency }
      })
    }
    return yield* view(yield* become(campaign, to))
  })

  const pause = Effect.fn("Campaigns.pause")(function*(id: CampaignId, sponsor: Principal) {
    const campaign = yield* owned(id, sponsor)
    return yield* view(yield* become(campaign, yield* transition(campaign.status, "pause")))
  })

  const close = Effect.fn("Campaigns.close")(function*(id: CampaignId, sponsor: Principal) {
    const campaign = yield* owned(id, sponsor)
    const closed = yield* become(campaign, yield* transition(campaign.status, "close"))
    yield* takeHome(closed)
    return yield* view(closed)
  })

  return Campaigns.of({
    create,
    edit,
    fund,
    activate,
    pause,
    close,
    find: Effect.fn("Campaigns.find")(function*(id, viewer) {
      return yield* view(yield* visible(id, viewer))
    }),
    list: Effect.fn("Campaigns.list")(function*(query) {
      const after = yield* position.decode(query.cursor)
      const rows = yield* withDatabase(
        store.list({ viewer: query.viewer.userId, q: query.q, before: after, limit: query.limit + 1 })
      )
      const page = yield* cut(rows, query.limit, (last) => position.encode({ at: last.position, id: last.id }))
      return { items: yield* views(page.items), nextCursor: page.nextCursor }
    })
  })
})

const viewOf = (
  { sponsorId: _, ...campaign }: StoredCampaign,
  escrow: { readonly balance: bigint; readonly available: bigint },
  taken: number
): Campaign => ({
  id: campaign.id,
  title: campaign.title,
  brief: campaign.brief,
  reward: campaign.reward,
  slots: campaign.slots,
  perMember: campaign.perMember,
  rules: campaign.rules,
  status: campaign.status,
  escrow: { amount: escrow.balance, currency: campaign.reward.currency },
  // Who funds more than all slots does not get more of them, and what is not funded is not left.
  slotsLeft: Math.max(0, Math.min(campaign.slots - taken, Number(escrow.available / campaign.reward.amount))),
  opensAt: Option.getOrNull(campaign.opensAt),
  closesAt: Option.getOrNull(campaign.closesAt),
  createdAt: campaign.createdAt
})

const datesInOrder = (campaign: StoredCampaign): Effect.Effect<void, CampaignDatesInvalid> =>
  Option.isSome(campaign.opensAt) && Option.isSome(campaign.closesAt)
    && !DateTime.isGreaterThan(campaign.closesAt.value, campaign.opensAt.value)
    ? Effect.fail(new CampaignDatesInvalid({}))
    : Effect.void
