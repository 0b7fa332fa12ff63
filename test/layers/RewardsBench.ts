import { Effect, Layer, Logger } from "effect"
import { type CampaignId, OperationId, SessionId, UserId } from "../../src/domain/Ids.ts"
import { Amount } from "../../src/domain/Money.ts"
import { MoneyRequest } from "../../src/domain/MoneyRequest.ts"
import type { Principal, Role } from "../../src/domain/Principal.ts"
import { defaultRules } from "../../src/domain/Verification.ts"
import { between, clearingOf, walletOf } from "../../src/domain/Wallet.ts"
import { Bulkheads } from "../../src/layers/ApiLive.ts"
import { pool } from "../../src/layers/Pools.ts"
import { Campaigns } from "../../src/services/Campaigns.ts"
import { settlementCommands } from "../../src/services/Commands.ts"
import { withDatabase } from "../../src/services/Database.ts"
import { Ledger } from "../../src/services/Ledger.ts"
import { newId } from "../../src/services/NewId.ts"
import { UploadStore } from "../../src/services/UploadStore.ts"
import { VerificationStore } from "../../src/services/VerificationStore.ts"
import { Videos } from "../../src/services/Videos.ts"
import { identityEnvironment } from "./IdentityGround.ts"
import { moneyRequest } from "./moneyRequest.ts"
import { PgTest } from "./PgTest.ts"
import { testConfig } from "./TestConfig.ts"

export const currency = "NGN" as const
export const reward = 2_500
export const uploadSecret = "a secret for upload URLs, where rewards are tested"

/** The worker's own store, under its own role: what a video process does to the database, at the moment a test chooses. */
const worker = Layer.merge(VerificationStore.layer, UploadStore.layer).pipe(
  Layer.provide(settlementCommands()),
  Layer.provide(pool("videoWorker"))
)

/** All bulkheads of the API process, settling by themselves, and the worker's hand; no video process and no HTTP. */
export const RewardsBench = (environment: Readonly<Record<string, string>> = {}) =>
  Layer.merge(Bulkheads, worker).pipe(
    Layer.provide(
      testConfig({ ...identityEnvironment, UPLOAD_SECRET: uploadSecret, CURRENCIES: "NGN", ...environment })
    ),
    Layer.provideMerge(PgTest.layer),
    Layer.provideMerge(Logger.layer([]))
  )

/** Somebody signed in, with the roles given. */
export const person = (...roles: ReadonlyArray<Role>) =>
  Effect.gen(function*() {
    const principal: Principal = {
      userId: yield* newId(UserId),
      sessionId: yield* newId(SessionId),
      roles: ["member", ...roles]
    }
    return principal
  })

/** As the route does for somebody with an Idempotency-Key. */
export const asked = (user: UserId, operation?: OperationId) =>
  Effect.provideServiceEffect(
    MoneyRequest,
    Effect.map(newId(OperationId), (fresh) => moneyRequest(user, operation ?? fresh))
  )

/** Money in somebody's wallet that came from outside. */
export const give = Effect.fnUntraced(function*(user: UserId, amount: number) {
  const ledger = yield* Ledger
  const key = yield* newId(OperationId)
  yield* ledger.post(between({
    key: `charge:${key}`,
    kind: "charge",
    from: clearingOf("sandbox"),
    to: walletOf(user),
    amount: Amount.make(BigInt(amount)),
    currency
  }))
})

/** A funded, active campaign with this many slots. */
export const openCampaign = Effect.fnUntraced(function*(slots: number, rules = defaultRules) {
  const campaigns = yield* Campaigns
  const sponsor = yield* person("sponsor")
  const total = Amount.make(BigInt(reward * slots))
  yield* give(sponsor.userId, reward * slots)
  const { id } = yield* campaigns.create(sponsor, {
    title: "A race",
    brief: "Whoever comes first.",
    reward: { amount: Amount.make(BigInt(reward)), currency },
    slots,
    perMember: 1_000,
    rules
  })
  yield* campaigns.fund(id, sponsor, { amount: total, currency }).pipe(asked(sponsor.userId))
  yield* campaigns.activate(id, sponsor)
  return { id, sponsor }
})

export const digest = "5e".repeat(32)

/** A submission to the campaign whose bytes have arrived: it waits for the worker. */
export const submitted = Effect.fnUntraced(function*(campaignId: CampaignId | undefined, member: UserId) {
  const videos = yield* Videos
  const uploads = yield* UploadStore
  const { videoId } = yield* videos.createUpload(member, { bytes: 1, contentType: "video/mp4" })
  yield* withDatabase(uploads.complete(videoId, digest))
  return yield* videos.verify({ videoId, ...(campaignId === undefined ? {} : { campaignId }) }).pipe(asked(member))
})

export const balanceOf = (user: UserId) =>
  Effect.flatMap(Ledger, (ledger) => Effect.map(ledger.balance(walletOf(user), currency), (b) => Number(b.balance)))
