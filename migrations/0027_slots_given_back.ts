import { statements } from "./statements.ts"

/**
 * A slot that is being given back says so before its hold is touched: whoever is taking it at the same moment learns it,
 * and the sweeper finishes what a crash left between the two.
 */
export const slotsGivenBack = statements([
  `ALTER TABLE rewards.slots DROP CONSTRAINT slots_status_check, ADD CONSTRAINT slots_status_check
     CHECK (status IN ('reserving', 'reserved', 'paid', 'releasing', 'released'))`,
  `DROP INDEX rewards.slots_unfinished`,
  `CREATE INDEX slots_unfinished ON rewards.slots (updated_at) WHERE status IN ('reserving', 'releasing')`
])
