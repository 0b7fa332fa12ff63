import { statements } from "./statements.ts"

/**
 * Disputes: a payer wants the money back, and the provider decides. One that was lost stays unsettled until the wallet has
 * paid all of it; what it did not cover is a receivable in the ledger.
 */
export const disputes = statements([
  `ALTER TABLE payments.payments ADD COLUMN fee bigint CHECK (fee BETWEEN 0 AND 9007199254740991)`,
  `ALTER TABLE payments.payments ADD COLUMN asked_at timestamptz NOT NULL DEFAULT now()`,
  `CREATE INDEX payments_open ON payments.payments (asked_at)
     WHERE status IN ('requires_action', 'processing') AND flag IS NULL`,
  `GRANT UPDATE (fee, asked_at) ON payments.payments TO midnight_payments`,
  `CREATE TABLE payments.disputes (
     id uuid PRIMARY KEY,
     provider text NOT NULL CHECK (provider IN ('stripe', 'paystack', 'sandbox')),
     reference text NOT NULL CHECK (length(reference) BETWEEN 1 AND 255),
     payment_id uuid NOT NULL REFERENCES payments.payments,
     user_id uuid NOT NULL,
     amount bigint NOT NULL CHECK (amount BETWEEN 1 AND 1000000000000),
     currency char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
     status text NOT NULL CHECK (status IN ('open', 'won', 'lost')),
     settled boolean NOT NULL DEFAULT false,
     created_at timestamptz NOT NULL DEFAULT now(),
     updated_at timestamptz NOT NULL DEFAULT now(),
     UNIQUE (provider, reference),
     CHECK (NOT settled OR status <> 'open')
   )`,
  `CREATE INDEX disputes_of_payment ON payments.disputes (payment_id)`,
  `CREATE INDEX disputes_unfinished ON payments.disputes (updated_at) WHERE NOT settled`,
  `GRANT SELECT, INSERT ON payments.disputes TO midnight_payments`,
  `GRANT UPDATE (status, settled, updated_at) ON payments.disputes TO midnight_payments`
])
