import { statements } from "./statements.ts"

/**
 * What was begun and not ended can be seen, so that it is finished or counted.
 *
 * A slot that is being given back says so before its hold is touched: whoever is taking it at the same moment learns it,
 * and the sweeper finishes what a crash left between the two.
 *
 * The escrow of a closed campaign is looked at until it is empty for good. Those that were closed before this are looked at too.
 *
 * An upload of which bytes came can be resumed after its URL's end, and is one of its member's two until then.
 */
export const whatWasBegun = statements([
  `ALTER TABLE rewards.slots DROP CONSTRAINT slots_status_check, ADD CONSTRAINT slots_status_check
     CHECK (status IN ('reserving', 'reserved', 'paid', 'releasing', 'released'))`,
  `DROP INDEX rewards.slots_unfinished`,
  `CREATE INDEX slots_unfinished ON rewards.slots (updated_at) WHERE status IN ('reserving', 'releasing')`,
  `ALTER TABLE rewards.campaigns ADD COLUMN closed_at timestamptz,
     ADD COLUMN escrow_seen_at timestamptz NOT NULL DEFAULT now(),
     ADD COLUMN escrow_emptied boolean NOT NULL DEFAULT false CHECK (status = 'closed' OR NOT escrow_emptied)`,
  `UPDATE rewards.campaigns SET closed_at = now() WHERE status = 'closed'`,
  `ALTER TABLE rewards.campaigns ADD CHECK ((status = 'closed') = (closed_at IS NOT NULL))`,
  `CREATE INDEX campaigns_escrow ON rewards.campaigns (escrow_seen_at) WHERE status = 'closed' AND NOT escrow_emptied`,
  `ALTER TABLE video.uploads ADD COLUMN resumable_until timestamptz(3) CHECK (resumable_until >= expires_at)`,
  `DROP INDEX video.uploads_unfinished`,
  `CREATE INDEX uploads_unfinished ON video.uploads (user_id, coalesce(resumable_until, expires_at))
     WHERE status = 'pending'`,
  `GRANT UPDATE (resumable_until) ON video.uploads TO midnight_video_worker`
])
