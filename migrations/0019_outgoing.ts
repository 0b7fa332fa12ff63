import { statements } from "./statements.ts"

/**
 * Refunds and payouts: money on its way out of a wallet through a provider. What was asked cannot be changed by the server's
 * role. What is refunded of a payment, or about to be, is counted on the payment, where a CHECK keeps it below what was paid.
 */
export const outgoing = statements([
  `ALTER TABLE payments.payments ADD COLUMN refund_reserved bigint NOT NULL DEFAULT 0`,
  `ALTER TABLE payments.payments ADD CONSTRAINT payments_refunds_within_amount
     CHECK (refund_reserved BETWEEN amount_refunded AND amount)`,
  `GRANT UPDATE (refund_reserved) ON payments.payments TO midnight_payments`,
  `CREATE TABLE payments.outgoing (
     id uuid PRIMARY KEY,
     kind text NOT NULL CHECK (kind IN ('refund', 'payout')),
     user_id uuid NOT NULL,
     payment_id uuid REFERENCES payments.payments,
     provider text NOT NULL CHECK (provider IN ('stripe', 'paystack', 'sandbox')),
     amount bigint NOT NULL CHECK (amount BETWEEN 1 AND 1000000000000),
     currency char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
     status text NOT NULL CHECK (status IN
       ('reserving', 'refused', 'pending_approval', 'processing', 'done', 'failed', 'canceled')),
     needs_approval boolean NOT NULL,
     reason text CHECK (length(reason) BETWEEN 1 AND 280),
     destination_type text CHECK (destination_type IN ('bank', 'mobile_money')),
     last4 text CHECK (length(last4) = 4),
     destination bytea CHECK (length(destination) BETWEEN 1 AND 2048),
     recipient text CHECK (length(recipient) BETWEEN 1 AND 255),
     provider_reference text CHECK (length(provider_reference) BETWEEN 1 AND 255),
     needs_action boolean NOT NULL DEFAULT false,
     failure_reason text CHECK (length(failure_reason) BETWEEN 1 AND 500),
     flag text CHECK (flag IN
       ('amount_mismatch', 'currency_mismatch', 'done_after_end', 'balance_limit', 'hold_lost')),
     begun_at timestamptz,
     sending_until timestamptz,
     done_at timestamptz,
     decided_by uuid,
     decision_reason text CHECK (length(decision_reason) BETWEEN 3 AND 280),
     settled boolean NOT NULL DEFAULT false,
     created_at timestamptz NOT NULL DEFAULT now(),
     updated_at timestamptz NOT NULL DEFAULT now(),
     UNIQUE (provider, kind, provider_reference),
     CHECK ((kind = 'refund') = (payment_id IS NOT NULL)),
     CHECK ((kind = 'payout') = (destination IS NOT NULL)),
     CHECK ((destination IS NULL) = (last4 IS NULL) AND (destination IS NULL) = (destination_type IS NULL)),
     CHECK (kind = 'payout' OR NOT needs_approval),
     CHECK (provider_reference IS NULL OR begun_at IS NOT NULL),
     CHECK (done_at IS NULL OR (begun_at IS NOT NULL AND status IN ('done', 'failed'))),
     CHECK (status <> 'done' OR done_at IS NOT NULL),
     CHECK (status NOT IN ('canceled', 'refused', 'pending_approval', 'reserving') OR begun_at IS NULL),
     CHECK (NOT settled OR status IN ('done', 'failed', 'canceled', 'refused'))
   )`,
  `CREATE INDEX outgoing_of_user ON payments.outgoing (user_id, id DESC)
     WHERE kind = 'payout' AND status NOT IN ('reserving', 'refused')`,
  `CREATE INDEX outgoing_in_status ON payments.outgoing (status, id DESC) WHERE kind = 'payout'`,
  `CREATE INDEX outgoing_lately ON payments.outgoing (user_id, created_at)`,
  `CREATE INDEX outgoing_of_payment ON payments.outgoing (payment_id) WHERE kind = 'refund'`,
  // What somebody still has to ask about, or the ledger to do.
  `CREATE INDEX outgoing_unfinished ON payments.outgoing (updated_at)
     WHERE NOT settled AND status <> 'pending_approval' AND flag IS NULL`,
  `GRANT SELECT, INSERT ON payments.outgoing TO midnight_payments`,
  `GRANT UPDATE (status, recipient, provider_reference, needs_action, failure_reason, flag, begun_at, sending_until, done_at,
     decided_by, decision_reason, settled, updated_at) ON payments.outgoing TO midnight_payments`,
  // What a member asks for in a day is counted under a lock of that member: a row, since whoever may take advisory locks could
  // take the ledger's.
  `CREATE TABLE payments.payout_members (user_id uuid PRIMARY KEY)`,
  `GRANT SELECT, INSERT, UPDATE (user_id) ON payments.payout_members TO midnight_payments`
])
