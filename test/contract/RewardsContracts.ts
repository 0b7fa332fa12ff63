import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { randomUUID } from "node:crypto"
import { CampaignId } from "../../src/domain/Ids.ts"
import { Amount } from "../../src/domain/Money.ts"
import { ApiTest, as, keyed } from "../layers/ApiTest.ts"
import { Cast, type Contracts } from "./RouteContract.ts"
import { badAmounts } from "./WalletContracts.ts"

const currency = "NGN" as const
const campaign = [
  "id",
  "title",
  "brief",
  "reward",
  "slots",
  "perMember",
  "rules",
  "status",
  "escrow",
  "slotsLeft",
  "opensAt",
  "closesAt",
  "createdAt"
]
const money = ["amount", "currency"]
const shape = { "": campaign, reward: money, escrow: money }
const wrongMoney = badAmounts.map((amount) => [{ amount }, "/body/amount"] as const)

const create = (title = "Show us your morning") =>
  Effect.gen(function*() {
    const { client } = yield* ApiTest
    const { sponsor } = yield* Cast
    const reward = { amount: Amount.make(500n), currency }
    return yield* client.rewards.create({ payload: { title, brief: "Ten seconds.", reward, slots: 2 } }).pipe(
      as(sponsor)
    )
  })
const fund = Effect.fnUntraced(function*(id: CampaignId) {
  const { client } = yield* ApiTest
  const payload = { amount: Amount.make(1_000n), currency }
  return yield* client.rewards.fund({ params: { id }, payload }).pipe(keyed, as((yield* Cast).sponsor))
})
const activate = Effect.fnUntraced(function*(id: CampaignId) {
  const { client } = yield* ApiTest
  return yield* client.rewards.activate({ params: { id } }).pipe(as((yield* Cast).sponsor))
})
const funded = Effect.flatMap(create(), ({ id }) => fund(id))
export const active = Effect.flatMap(funded, ({ id }) => activate(id))
const byTheSponsor = (path: string) => Effect.map(Cast, ({ sponsor: { token } }) => ({ path, token }))

export const rewardsContracts: Contracts = {
  "POST /api/campaigns": {
    status: 201,
    signedIn: true,
    keyed: false,
    role: "sponsor",
    shape,
    attempt: Effect.map(Cast, ({ sponsor: { token } }) => ({
      path: "/api/campaigns",
      token,
      body: { title: "Mornings", brief: "Ten seconds.", reward: { amount: 500, currency }, slots: 2, perMember: 1 }
    })),
    typed: Effect.gen(function*() {
      const made = yield* create()
      assert.deepStrictEqual([made.status, made.slotsLeft, made.escrow], ["draft", 0, { amount: 0n, currency }])
      const { client } = yield* ApiTest
      const { alice } = yield* Cast
      const { brief, reward, slots, title } = made
      const refused = client.rewards.create({ payload: { title, brief, reward, slots } }).pipe(as(alice))
      assert.strictEqual((yield* Effect.flip(refused))._tag, "Forbidden")
    }),
    wrong: [
      [{ title: "" }, "/body/title"],
      [{ slots: 0 }, "/body/slots"],
      [{ perMember: 1.5 }, "/body/perMember"],
      [{ reward: { amount: 5, currency, tip: 1 } }, "/body/reward/tip"],
      [{ status: "active" }, "/body/status"],
      [{ opensAt: "soon" }, "/body/opensAt"],
      [{ rules: { minFps: -1 } }, "/body/rules/minFps"],
      ...badAmounts.map((amount) => [{ reward: { amount, currency } }, "/body/reward/amount"] as const)
    ]
  },
  "GET /api/campaigns": {
    status: 200,
    signedIn: true,
    keyed: false,
    shape: { "": ["items", "nextCursor"], "items.0": campaign },
    attempt: Effect.andThen(active, byTheSponsor("/api/campaigns")),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { alice, sponsor } = yield* Cast
      const word = `w${randomUUID().replaceAll("-", "")}`
      const { id } = yield* create(`A ${word} draft`)
      const found = client.rewards.list({ query: { q: word } })
      assert.deepStrictEqual((yield* as(sponsor)(found)).items.map((one) => one.id), [id])
      assert.deepStrictEqual((yield* as(alice)(found)).items, [])
    }),
    wrongQuery: [["limit=0", "/query/limit"], ["q=", "/query/q"], ["cursor=!", "/query/cursor"]]
  },
  "GET /api/campaigns/:id": {
    status: 200,
    signedIn: true,
    keyed: false,
    shape,
    owned: true,
    attempt: Effect.flatMap(create(), ({ id }) => byTheSponsor(`/api/campaigns/${id}`)),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { alice } = yield* Cast
      const open = yield* active
      assert.deepStrictEqual(yield* client.rewards.find({ params: { id: open.id } }).pipe(as(alice)), open)
      const absent = client.rewards.find({ params: { id: CampaignId.make(randomUUID()) } })
      assert.strictEqual((yield* Effect.flip(absent).pipe(as(alice)))._tag, "NotFound")
    })
  },
  "PATCH /api/campaigns/:id": {
    status: 200,
    signedIn: true,
    keyed: false,
    shape,
    owned: true,
    attempt: Effect.map(Effect.all([create(), Cast]), ([{ id }, { sponsor }]) => ({
      path: `/api/campaigns/${id}`,
      token: sponsor.token,
      body: { title: "Evenings" }
    })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { id } = yield* create()
      const edit = client.rewards.edit({ params: { id }, payload: { brief: "Twenty seconds." } })
      assert.strictEqual((yield* as((yield* Cast).sponsor)(edit)).brief, "Twenty seconds.")
    }),
    wrong: [[{ title: 5 }, "/body/title"], [{ reward: { amount: 1, currency } }, "/body/reward"], [
      { slots: 9 },
      "/body/slots"
    ]]
  },
  "POST /api/campaigns/:id/fund": {
    status: 200,
    signedIn: true,
    keyed: true,
    shape,
    owned: true,
    attempt: Effect.map(Effect.all([create(), Cast]), ([{ id }, { sponsor }]) => ({
      path: `/api/campaigns/${id}/fund`,
      token: sponsor.token,
      key: randomUUID(),
      body: { amount: 1_000, currency }
    })),
    typed: Effect.gen(function*() {
      const { escrow, slotsLeft } = yield* funded
      assert.deepStrictEqual([escrow, slotsLeft], [{ amount: 1_000n, currency }, 2])
    }),
    wrong: [...wrongMoney, [{ currency: "XYZ" }, "/body/currency"]],
    counted: "SELECT count(*) FROM wallet.transfers",
    other: { amount: 999 }
  },
  "POST /api/campaigns/:id/activate": {
    status: 200,
    signedIn: true,
    keyed: false,
    shape,
    owned: true,
    attempt: Effect.flatMap(funded, ({ id }) => byTheSponsor(`/api/campaigns/${id}/activate`)),
    typed: Effect.gen(function*() {
      assert.strictEqual((yield* active).status, "active")
      const { id } = yield* create()
      assert.strictEqual((yield* Effect.flip(activate(id)))._tag, "EscrowTooSmall")
    })
  },
  "POST /api/campaigns/:id/pause": {
    status: 200,
    signedIn: true,
    keyed: false,
    shape,
    owned: true,
    attempt: Effect.flatMap(active, ({ id }) => byTheSponsor(`/api/campaigns/${id}/pause`)),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { sponsor } = yield* Cast
      const pause = ({ id }: { readonly id: CampaignId }) => client.rewards.pause({ params: { id } }).pipe(as(sponsor))
      assert.strictEqual((yield* pause(yield* active)).status, "paused")
      assert.strictEqual((yield* Effect.flip(pause(yield* funded)))._tag, "IllegalCampaignTransition")
    })
  },
  "POST /api/campaigns/:id/close": {
    status: 200,
    signedIn: true,
    keyed: true,
    shape,
    owned: true,
    attempt: Effect.flatMap(
      funded,
      ({ id }) => Effect.map(byTheSponsor(`/api/campaigns/${id}/close`), (call) => ({ ...call, key: randomUUID() }))
    ),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { id } = yield* funded
      const { escrow, status } = yield* client.rewards.close({ params: { id } }).pipe(keyed, as((yield* Cast).sponsor))
      assert.deepStrictEqual([status, escrow], ["closed", { amount: 0n, currency }])
    }),
    counted: "SELECT count(*) FROM wallet.transfers"
  }
}
