import { Effect, Layer } from "effect"
import { CampaignEscrowStore } from "../services/CampaignEscrowStore.ts"
import { Campaigns } from "../services/Campaigns.ts"
import { SettlementCommands, settlementCommands } from "../services/Commands.ts"
import { SettlementQueue, settlementQueue } from "../services/CommandStore.ts"
import { rewardsKeys } from "../services/IdempotencyStore.ts"
import { Rewards } from "../services/Rewards.ts"
import { RewardStore } from "../services/RewardStore.ts"
import * as Settings from "./Config.ts"
import { consume } from "./Consumers.ts"
import { pool } from "./Pools.ts"
import { queueMetrics } from "./QueueMetrics.ts"
import { every, supervised } from "./Supervision.ts"

// Settlements run side by side: each waits for the ledger's next group commit, and eight of them share it.
const consumers = 8

const settle = Effect.gen(function*() {
  const rewards = yield* Rewards
  return yield* consume("settlement_commands", yield* SettlementCommands, consumers, rewards.settle)
})

// Without the database there is nothing to sweep, and it is not this task that is broken.
const sweep = Effect.flatMap(
  Rewards,
  (rewards) =>
    every("30 seconds", Effect.catchTag(rewards.sweep, "Unavailable", (error) => Effect.logWarning(error.message)))
)

export const sweeper = supervised("rewards", "sweeper", sweep)

/** The rewards bulkhead: campaigns, slots, settlement. Needs the ledger's public face and Health from outside. */
export const RewardsLive = Layer.unwrap(
  Effect.gen(function*() {
    const currencies = yield* Settings.currencies
    const own = Layer.mergeAll(
      RewardStore.layer,
      CampaignEscrowStore.layer,
      settlementCommands("consumer"),
      settlementQueue(),
      rewardsKeys()
    )
      .pipe(
        Layer.provide(pool("rewards"))
      )
    const background = Layer.mergeAll(
      supervised("rewards", "settlement", settle),
      sweeper,
      queueMetrics("settlement_commands", SettlementQueue)
    )
    return background.pipe(
      Layer.provideMerge(Layer.merge(Rewards.layer, Campaigns.layer(currencies))),
      Layer.provideMerge(own)
    )
  })
)
