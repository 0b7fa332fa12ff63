import { PgConnection } from "@effect/sql-pg"
import { Context, Effect, Layer, Logger, Option, Ref } from "effect"
import { SubmissionId, type UserId } from "../../src/domain/Ids.ts"
import type { Unavailable } from "../../src/domain/Problem.ts"
import { IdentityLive } from "../../src/layers/IdentityLive.ts"
import { pool } from "../../src/layers/Pools.ts"
import { WalletLive } from "../../src/layers/WalletLive.ts"
import { CampaignEscrowStore } from "../../src/services/CampaignEscrowStore.ts"
import { Campaigns } from "../../src/services/Campaigns.ts"
import { Health } from "../../src/services/Health.ts"
import { Ledger } from "../../src/services/Ledger.ts"
import { Rewards } from "../../src/services/Rewards.ts"
import { RewardStore } from "../../src/services/RewardStore.ts"
import { Verdicts } from "../../src/services/Verdicts.ts"
import { identityEnvironment } from "./IdentityGround.ts"
import { PgTest } from "./PgTest.ts"
import { testConfig } from "./TestConfig.ts"

type Moment = `${"before" | "after"} ${"authorise" | "void" | "post" | "balance"}`
type Meanwhile = Effect.Effect<unknown, Unavailable>

/** What happens elsewhere at a moment of the next call of the ledger; once. An error ends the caller there, as a crash would. */
export class Steps extends Context.Service<Steps, {
  at(moment: Moment, meanwhile: Meanwhile): Effect.Effect<void>
  now(moment: Moment): Effect.Effect<void, Unavailable>
}>()("midnight/test/Steps") {
  static readonly layer = Layer.effect(
    Steps,
    Effect.map(Ref.make<ReadonlyMap<Moment, Meanwhile>>(new Map()), (planned) =>
      Steps.of({
        at: (moment, meanwhile) => Ref.update(planned, (all) => new Map(all).set(moment, meanwhile)),
        now: (moment) =>
          Ref.modify(planned, (all) => {
            const rest = new Map(all)
            rest.delete(moment)
            return [all.get(moment) ?? Effect.void, rest]
          }).pipe(Effect.flatten, Effect.asVoid)
      }))
  )
}

/** The real ledger, at whose calls a test can let others go first. */
const steered = Layer.effect(
  Ledger,
  Effect.gen(function*() {
    const ledger = yield* Ledger
    const steps = yield* Steps
    const around = <A, E>(name: "authorise" | "void" | "post" | "balance", call: Effect.Effect<A, E>) =>
      Effect.andThen(steps.now(`before ${name}`), call).pipe(Effect.tap(() => steps.now(`after ${name}`)))
    return Ledger.of({
      ...ledger,
      authorise: (hold) => around("authorise", ledger.authorise(hold)),
      void: (hold) => around("void", ledger.void(hold)),
      post: (posting) => around("post", ledger.post(posting)),
      balance: (account, currency) => around("balance", ledger.balance(account, currency))
    })
  })
)

/** The verdict of every submission, by whoever submitted it: what the video bulkhead would answer. */
const verdicts = Layer.effect(
  Verdicts,
  Effect.map(RewardStore, (store) =>
    Verdicts.of({
      of: Effect.fnUntraced(function*(id) {
        const slot = yield* Effect.orDie(store.slot(id))
        const outcome = approves(id) ? "approved" as const : "rejected" as const
        return Option.map(slot, ({ campaignId, userId }) => ({
          outcome,
          campaignId,
          userId,
          reference: { verdict: outcome, decidedBy: "test", videoSha256: "none", rulesVersion: "none" }
        }))
      })
    }))
)
const rejected = new Set<string>()
const approves = (id: SubmissionId) => !rejected.has(id)
export const reject = (id: SubmissionId) => Effect.sync(() => rejected.add(id))

/** Rewards on the real wallet and database, with no task of its own in the background. */
export const SlotsBench = Layer.mergeAll(Rewards.layer, Campaigns.layer(["NGN"])).pipe(
  Layer.provideMerge(verdicts),
  Layer.provideMerge(Layer.merge(RewardStore.layer, CampaignEscrowStore.layer).pipe(Layer.provide(pool("rewards")))),
  Layer.provideMerge(Layer.fresh(steered)),
  Layer.provideMerge(Steps.layer),
  Layer.provide(WalletLive),
  Layer.provide(IdentityLive),
  Layer.provide(Health.layer),
  Layer.provide(testConfig({ ...identityEnvironment, CURRENCIES: "NGN" })),
  Layer.provideMerge(PgTest.layer),
  Layer.provideMerge(Logger.layer([]))
)

/** A statement by the owner of the database. */
export const owner = Effect.fnUntraced(function*(statement: string) {
  const { ownerUrl } = yield* PgTest
  const connection = yield* PgConnection.make({ url: ownerUrl })
  return yield* connection.queryValues(statement, [])
}, Effect.scoped)

/** Makes the sweepers take the slot for one that a process left behind. */
export const age = (id: SubmissionId) =>
  owner(`UPDATE rewards.slots SET updated_at = now() - interval '3 minutes' WHERE submission_id = '${id}'`)

/** The slot's status, its hold's, and what the escrow of its campaign and the member have. */
export const standing = Effect.fnUntraced(function*(id: SubmissionId, member: UserId) {
  const [row = []] = yield* owner(
    `SELECT s.status, coalesce(h.status, 'none'), coalesce(e.balance, 0)::int, coalesce(e.held, 0)::int, coalesce(m.balance, 0)::int
       FROM rewards.slots s
       LEFT JOIN wallet.holds h ON h.key = 'slot:' || s.submission_id
       LEFT JOIN wallet.accounts e ON e.kind = 'escrow' AND e.owner = s.campaign_id::text
       LEFT JOIN wallet.accounts m ON m.kind = 'wallet' AND m.owner = '${member}'
      WHERE s.submission_id = '${id}'`
  )
  const [slot, hold, escrow, held, wallet] = row
  return { slot, hold, escrow, held, wallet }
})
