import { statements } from "./statements.ts"

/**
 * What a lost dispute takes is what was decided, not what was first heard. And one that does not fit its payment is kept for a
 * person, with why.
 */
export const disputesDecided = statements([
  `ALTER TABLE payments.disputes
     ADD COLUMN decided_amount bigint CHECK (decided_amount BETWEEN 1 AND 1000000000000),
     ADD COLUMN flag text CHECK (flag IN ('amount_mismatch', 'currency_mismatch')),
     ADD CHECK (decided_amount IS NULL OR status = 'lost')`,
  `GRANT UPDATE (decided_amount, flag) ON payments.disputes TO midnight_payments`
])
