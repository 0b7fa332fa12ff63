import { Context, DateTime, Effect, Layer, Option, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import { CampaignId, SubmissionId, TransferId, UserId } from "../domain/Ids.ts"
import { Currency } from "../domain/Money.ts"
import { CampaignStatus, type StoredCampaign } from "../domain/Rewards.ts"
import { VerificationRules } from "../domain/Verification.ts"
import { decoded } from "./Database.ts"

const CampaignRow = Schema.Struct({
  id: CampaignId,
  sponsorId: UserId,
  title: Schema.String,
  brief: Schema.String,
  rewardAmount: Schema.BigInt.pipe(Schema.brand("Amount")),
  currency: Currency,
  slots: Schema.Int,
  perMember: Schema.Int,
  rules: Schema.fromJsonString(VerificationRules),
  status: CampaignStatus,
  opensAt: Schema.OptionFromNullOr(Schema.DateTimeUtcFromDate),
  closesAt: Schema.OptionFromNullOr(Schema.DateTimeUtcFromDate),
  createdAt: Schema.DateTimeUtcFromDate,
  position: Schema.String
})

export type CampaignRow = StoredCampaign & { readonly position: string }
const SlotRow = Schema.Struct({
  submissionId: SubmissionId,
  campaignId: CampaignId,
  userId: UserId,
  rewardAmount: Schema.BigInt.pipe(Schema.brand("Amount")),
  currency: Currency,
  status: Schema.Literals(["reserving", "reserved", "paid", "releasing", "released"])
})
export type SlotRow = typeof SlotRow.Type
const toCampaign = ({ currency, rewardAmount, ...row }: typeof CampaignRow.Type): CampaignRow => ({
  ...row,
  reward: { amount: rewardAmount, currency }
})

/** The only home of SQL on campaigns and slots. */
export class RewardStore extends Context.Service<RewardStore, {
  insert(campaign: StoredCampaign): Effect.Effect<void, SqlError>
  find(id: CampaignId): Effect.Effect<Option.Option<CampaignRow>, SqlError>
  list(filter: {
    readonly viewer: UserId
    readonly q: Option.Option<string>
    readonly before: Option.Option<{ readonly at: string; readonly id: CampaignId }>
    readonly limit: number
  }): Effect.Effect<ReadonlyArray<CampaignRow>, SqlError>
  /** Changes the status only while it still is `from`: of two acts at once, one is told what the other did. */
  setStatus(id: CampaignId, from: CampaignStatus, to: CampaignStatus): Effect.Effect<boolean, SqlError>
  edit(id: CampaignId, change: {
    readonly title: string
    readonly brief: string
    readonly closesAt: Option.Option<DateTime.Utc>
  }): Effect.Effect<void, SqlError>
  /** Writes the intent to take a slot, unless the campaign's slots or the member's share are used up. */
  intend(slot: SlotRow, campaign: StoredCampaign): Effect.Effect<
    "new" | "known" | "released" | "full" | "capped",
    SqlError
  >
  /** How many slots of each campaign are taken, in their order. */
  taken(ids: ReadonlyArray<CampaignId>): Effect.Effect<ReadonlyArray<number>, SqlError>
  slot(id: SubmissionId): Effect.Effect<Option.Option<SlotRow>, SqlError>
  /** The hold is there. False when somebody gives the slot back or did: then the hold is nobody's. */
  keep(id: SubmissionId): Effect.Effect<boolean, SqlError>
  /** From here on the slot is being given back, whoever took it; none when there is none or it was paid. */
  claim(id: SubmissionId): Effect.Effect<Option.Option<SlotRow>, SqlError>
  /** The same for slots whose taking or giving back was begun long ago and not ended: a process died in between. */
  readonly claimUnfinished: Effect.Effect<ReadonlyArray<SlotRow>, SqlError>
  /** Nothing of a claimed slot is held any more. */
  released(id: SubmissionId): Effect.Effect<void, SqlError>
  paid(id: SubmissionId, by: {
    readonly transferId: TransferId
    readonly reference: Readonly<Record<string, string>>
  }): Effect.Effect<void, SqlError>
  /** Whether somebody has a campaign that is not closed, or a submission whose reward is not decided. */
  isInvolved(userId: UserId): Effect.Effect<boolean, SqlError>
}>()("midnight/services/rewards/RewardStore") {
  static readonly layer = Layer.effect(
    RewardStore,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient

      const columns = sql.literal(
        `c.id, c.sponsor_id AS "sponsorId", c.title, c.brief, c.reward_amount AS "rewardAmount",
        c.currency::text AS currency, c.slots, c.per_member AS "perMember", c.rules::text AS rules, c.status,
        c.opens_at AS "opensAt", c.closes_at AS "closesAt", c.created_at AS "createdAt",
        to_char(c.created_at, 'YYYY-MM-DD"T"HH24:MI:SS.USOF') AS position`
      )
      const slotColumns = sql.literal(
        `submission_id AS "submissionId", campaign_id AS "campaignId", user_id AS "userId",
        reward_amount AS "rewardAmount", currency::text AS currency, status`
      )
      const iso = (at: Option.Option<DateTime.Utc>) => Option.getOrNull(Option.map(at, DateTime.formatIso))

      const insert = (c: StoredCampaign) =>
        sql`INSERT INTO rewards.campaigns (id, sponsor_id, title, brief, reward_amount, currency, slots, per_member,
              rules, opens_at, closes_at, created_at)
            VALUES (${c.id}, ${c.sponsorId}, ${c.title}, ${c.brief}, ${c.reward.amount}, ${c.reward.currency},
              ${c.slots}, ${c.perMember}, ${JSON.stringify(c.rules)}::text::jsonb, ${iso(c.opensAt)}::timestamptz,
              ${iso(c.closesAt)}::timestamptz, ${DateTime.formatIso(c.createdAt)}::timestamptz)`

      const find = SqlSchema.findOneOption({
        Request: CampaignId,
        Result: CampaignRow,
        execute: (id) => sql`SELECT ${columns} FROM rewards.campaigns c WHERE c.id = ${id}`
      })

      const listRows = SqlSchema.findAll({
        Request: Schema.Struct({
          viewer: UserId,
          q: Schema.NullOr(Schema.String),
          at: Schema.NullOr(Schema.String),
          id: Schema.NullOr(CampaignId),
          limit: Schema.Int
        }),
        Result: CampaignRow,
        execute: (f) =>
          sql`
          SELECT ${columns} FROM rewards.campaigns c
          WHERE (c.status <> 'draft' OR c.sponsor_id = ${f.viewer})
            AND (${f.q}::text IS NULL OR c.search @@ websearch_to_tsquery('simple', ${f.q}::text))
            AND (${f.at}::timestamptz IS NULL OR (c.created_at, c.id) < (${f.at}::timestamptz, ${f.id}::uuid))
          ORDER BY c.created_at DESC, c.id DESC LIMIT ${f.limit}`
      })

      const setStatus = (id: CampaignId, from: CampaignStatus, to: CampaignStatus) =>
        Effect.map(
          sql`UPDATE rewards.campaigns
              SET status = ${to}, closed_at = CASE ${to}::text WHEN 'closed' THEN now() END
              WHERE id = ${id} AND status = ${from} RETURNING id`,
          (rows) => rows.length === 1
        )

      const slotRow = SqlSchema.findOneOption({
        Request: SubmissionId,
        Result: SlotRow,
        execute: (id) => sql`SELECT ${slotColumns} FROM rewards.slots WHERE submission_id = ${id}`
      })

      // Takers of one campaign follow one another here, so that neither the count of its slots nor that of a member's
      // submissions can be outrun. The transaction holds no money and waits for nothing else.
      const intend = Effect.fn("RewardStore.intend")(function*(slot: SlotRow, campaign: StoredCampaign) {
        yield* sql`SELECT pg_advisory_xact_lock(hashtextextended(${slot.campaignId}, 0))`
        const known = yield* decoded(slotRow(slot.submissionId))
        if (Option.isSome(known)) {
          return known.value.status === "releasing" || known.value.status === "released" ? "released" : "known"
        }
        const [counts] = yield* sql<{ readonly mine: number; readonly taken: number }>`
          SELECT (SELECT count(*)::int FROM rewards.slots
                   WHERE campaign_id = ${slot.campaignId} AND user_id = ${slot.userId} AND status <> 'released') AS mine,
                 (SELECT count(*)::int FROM rewards.slots
                   WHERE campaign_id = ${slot.campaignId} AND status <> 'released') AS taken`
        if (counts !== undefined && counts.taken >= campaign.slots) return "full" as const
        if (counts !== undefined && counts.mine >= campaign.perMember) return "capped" as const
        yield* sql`
          INSERT INTO rewards.slots (submission_id, campaign_id, user_id, reward_amount, currency, status)
          VALUES (${slot.submissionId}, ${slot.campaignId}, ${slot.userId}, ${slot.rewardAmount}, ${slot.currency},
                  'reserving')`
        return "new" as const
      }, sql.withTransaction)

      const keep: RewardStore["Service"]["keep"] = (id) =>
        Effect.map(
          sql`
          UPDATE rewards.slots
          SET status = CASE status WHEN 'reserving' THEN 'reserved' ELSE status END, updated_at = now()
          WHERE submission_id = ${id} AND status IN ('reserving', 'reserved', 'paid') RETURNING submission_id`,
          (rows) => rows.length === 1
        )

      const claim = SqlSchema.findOneOption({
        Request: SubmissionId,
        Result: SlotRow,
        execute: (id) =>
          sql`
          UPDATE rewards.slots SET status = 'releasing', updated_at = now()
          WHERE submission_id = ${id} AND status <> 'paid' RETURNING ${slotColumns}`
      })

      const claimUnfinished = SqlSchema.findAll({
        Request: Schema.Void,
        Result: SlotRow,
        execute: () =>
          sql`
          UPDATE rewards.slots SET status = 'releasing', updated_at = now()
          WHERE submission_id IN (
            SELECT submission_id FROM rewards.slots
            WHERE status IN ('reserving', 'releasing') AND updated_at < now() - interval '2 minutes'
            ORDER BY updated_at LIMIT 100 FOR UPDATE SKIP LOCKED)
          RETURNING ${slotColumns}`
      })

      // What was captured is paid, whatever the slot was meanwhile said to be.
      const paid: RewardStore["Service"]["paid"] = (id, { reference, transferId }) =>
        Effect.asVoid(sql`
          UPDATE rewards.slots
          SET status = 'paid', updated_at = now(), transfer_id = ${transferId}::uuid,
              reference = ${JSON.stringify(reference)}::text::jsonb
          WHERE submission_id = ${id} AND status <> 'paid'`)

      return RewardStore.of({
        insert: (campaign) => Effect.asVoid(insert(campaign)),
        find: (id) => Effect.map(decoded(find(id)), Option.map(toCampaign)),
        list: (f) =>
          Effect.map(
            decoded(listRows({
              viewer: f.viewer,
              q: Option.getOrNull(f.q),
              at: Option.getOrNull(Option.map(f.before, (p) => p.at)),
              id: Option.getOrNull(Option.map(f.before, (p) => p.id)),
              limit: f.limit
            })),
            (rows) => rows.map(toCampaign)
          ),
        setStatus,
        edit: (id, change) =>
          Effect.asVoid(sql`UPDATE rewards.campaigns SET title = ${change.title}, brief = ${change.brief},
            closes_at = ${iso(change.closesAt)}::timestamptz WHERE id = ${id}`),
        intend,
        taken: (ids) =>
          Effect.map(
            sql<
              { readonly n: number }
            >`SELECT (SELECT count(*)::int FROM rewards.slots WHERE campaign_id = asked.id AND status <> 'released') AS n
            FROM unnest(${ids}::uuid[]) WITH ORDINALITY AS asked (id, at) ORDER BY at`,
            (rows) => rows.map(({ n }) => n)
          ),
        slot: (id) => decoded(slotRow(id)),
        keep,
        claim: (id) => decoded(claim(id)),
        claimUnfinished: decoded(claimUnfinished(undefined)),
        released: (id) =>
          Effect.asVoid(sql`UPDATE rewards.slots SET status = 'released', updated_at = now()
            WHERE submission_id = ${id} AND status = 'releasing'`),
        paid,
        isInvolved: (userId) =>
          Effect.map(
            sql`SELECT 1 WHERE EXISTS (SELECT FROM rewards.campaigns WHERE sponsor_id = ${userId} AND status <> 'closed')
                            OR EXISTS (SELECT FROM rewards.slots
                                        WHERE user_id = ${userId} AND status IN ('reserving', 'reserved'))`,
            (rows) => rows.length > 0
          )
      })
    })
  )
}
