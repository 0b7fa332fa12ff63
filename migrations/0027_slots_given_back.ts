import { statements } from "./statements.ts"

/**
 * What must come back to a sponsor comes back, wherever a process died.
 *
 * A slot that is being given back says so before its hold is touched: whoever is taking it at the same moment learns it,
 * and the sweeper finishes what a crash left between the two.
 *
 * The escrow of a closed campaign is looked at until it is empty for good. Those that were closed before this are looked at too.
 */
export const slotsGivenBack = statements([
  `ALTER TABLE rewards.slots DROP CONSTRAINT slots_status_check, ADD CONSTRAINT slots_status_check
     CHECK (status IN ('reserving', 'reserved', 'paid', 'releasing', 'released'))`,
  `DROP INDEX rewards.slots_unfinished`,
  `CREATE INDEX slots_unfinished ON rewards.slots (updated_at) WHERE status IN ('reserving', 'releasing')`,
  `ALTER TABLE rewards.campaigns ADD COLUMN closed_at timestamptz,
     ADD COLUMN escrow_seen_at timestamptz NOT NULL DEFAULT now(),
     ADD COLUMN escrow_emptied boolean NOT NULL DEFAULT false CHECK (status = 'closed' OR NOT escrow_emptied)`,
  `UPDATE rewards.campaigns SET closed_at = now() WHERE status = 'closed'`,
  `ALTER TABLE rewards.campaigns ADD CHECK ((status = 'closed') = (closed_at IS NOT NULL))`,
  `CREATE INDEX campaigns_escrow ON rewards.campaigns (escrow_seen_at) WHERE status = 'closed' AND NOT escrow_emptied`
])
