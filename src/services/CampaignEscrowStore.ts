import { Context, Effect, Layer, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import { CampaignId, UserId } from "../domain/Ids.ts"
import { Currency } from "../domain/Money.ts"
import { decoded } from "./Database.ts"

const ClosedCampaign = Schema.Struct({ id: CampaignId, sponsorId: UserId, currency: Currency })
export type ClosedCampaign = typeof ClosedCampaign.Type

/** Which closed campaigns may still have money in their escrow; how much is the ledger's to tell. */
export class CampaignEscrowStore extends Context.Service<CampaignEscrowStore, {
  /** Those that were looked at longest ago. They count as looked at from now on. */
  readonly closed: Effect.Effect<ReadonlyArray<ClosedCampaign>, SqlError>
  /**
   * The escrow of a closed campaign is empty and needs no more looks. Says nothing of one that was closed within the hour: a
   * funding that began before may yet bring money.
   */
  emptied(id: CampaignId): Effect.Effect<void, SqlError>
}>()("midnight/services/rewards/CampaignEscrowStore") {
  static readonly layer = Layer.effect(
    CampaignEscrowStore,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient

      const closed = SqlSchema.findAll({
        Request: Schema.Void,
        Result: ClosedCampaign,
        execute: () =>
          sql`
          UPDATE rewards.campaigns SET escrow_seen_at = now()
          WHERE id IN (
            SELECT id FROM rewards.campaigns WHERE status = 'closed' AND NOT escrow_emptied
            ORDER BY escrow_seen_at LIMIT 50 FOR UPDATE SKIP LOCKED)
          RETURNING id, sponsor_id AS "sponsorId", currency::text AS currency`
      })

      return CampaignEscrowStore.of({
        closed: decoded(closed(undefined)),
        emptied: (id) =>
          Effect.asVoid(sql`UPDATE rewards.campaigns SET escrow_emptied = true
            WHERE id = ${id} AND status = 'closed' AND closed_at < now() - interval '1 hour'`)
      })
    })
  )
}
