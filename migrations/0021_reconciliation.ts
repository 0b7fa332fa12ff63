import { statements } from "./statements.ts"

/** What an event was about, so that it can be followed again without its signature; and what each reconciliation found. */
export const reconciliation = statements([
  `ALTER TABLE payments.webhook_inbox
     ADD COLUMN about text NOT NULL DEFAULT 'charge' CHECK (about IN ('charge', 'refund', 'payout', 'dispute', 'other')),
     ADD COLUMN reference text CHECK (length(reference) BETWEEN 1 AND 1024),
     ADD COLUMN operation_id text CHECK (length(operation_id) BETWEEN 1 AND 255)`,
  `ALTER TABLE payments.webhook_inbox ALTER COLUMN about DROP DEFAULT`,
  `CREATE INDEX webhook_inbox_newest ON payments.webhook_inbox (received_at, provider, event_id)`,
  `CREATE TABLE payments.reconciliations (
     id uuid PRIMARY KEY,
     since timestamptz NOT NULL,
     report jsonb NOT NULL,
     created_at timestamptz NOT NULL DEFAULT now()
   )`,
  `GRANT SELECT, INSERT ON payments.reconciliations TO midnight_payments`
])
