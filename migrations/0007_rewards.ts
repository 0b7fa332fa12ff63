import { statements } from "./statements.ts"

/**
 * Campaigns and the slots taken in them. The money of both is the ledger's: an escrow account per campaign, a hold per
 * slot. A slot row is the intent that is written before its hold is asked for, so that a crash in between leaves something
 * to finish or undo.
 */
export const rewards = statements([
  `CREATE TABLE rewards.campaigns (
     id uuid PRIMARY KEY,
     sponsor_id uuid NOT NULL,
     title text NOT NULL CHECK (length(title) BETWEEN 1 AND 120),
     brief text NOT NULL CHECK (length(brief) BETWEEN 1 AND 4000),
     reward_amount bigint NOT NULL CHECK (reward_amount BETWEEN 1 AND 1000000000000),
     currency char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
     slots integer NOT NULL CHECK (slots BETWEEN 1 AND 1000000),
     per_member integer NOT NULL CHECK (per_member BETWEEN 1 AND 1000),
     rules jsonb NOT NULL,
     status text NOT NULL DEFAULT 'draft' CHECK (status IN ('draft', 'active', 'paused', 'closed')),
     opens_at timestamptz,
     closes_at timestamptz,
     created_at timestamptz NOT NULL,
     search tsvector GENERATED ALWAYS AS
       (setweight(to_tsvector('simple', title), 'A') || setweight(to_tsvector('simple', brief), 'B')) STORED,
     CHECK (closes_at IS NULL OR opens_at IS NULL OR closes_at > opens_at)
   )`,
  `CREATE INDEX campaigns_listed ON rewards.campaigns (created_at DESC, id DESC)`,
  `CREATE INDEX campaigns_search ON rewards.campaigns USING gin (search)`,
  `CREATE TABLE rewards.slots (
     submission_id uuid PRIMARY KEY,
     campaign_id uuid NOT NULL REFERENCES rewards.campaigns,
     user_id uuid NOT NULL,
     reward_amount bigint NOT NULL CHECK (reward_amount BETWEEN 1 AND 1000000000000),
     currency char(3) NOT NULL,
     status text NOT NULL CHECK (status IN ('reserving', 'reserved', 'paid', 'released')),
     transfer_id uuid,
     reference jsonb NOT NULL DEFAULT '{}',
     created_at timestamptz NOT NULL DEFAULT now(),
     updated_at timestamptz NOT NULL DEFAULT now(),
     CHECK ((status = 'paid') = (transfer_id IS NOT NULL))
   )`,
  // Counts a member's submissions to a campaign, and those that hold a slot of it.
  `CREATE INDEX slots_member ON rewards.slots (campaign_id, user_id) WHERE status <> 'released'`,
  `CREATE INDEX slots_unfinished ON rewards.slots (updated_at) WHERE status = 'reserving'`,
  `GRANT SELECT, INSERT, UPDATE ON rewards.campaigns, rewards.slots TO midnight_rewards`
])
