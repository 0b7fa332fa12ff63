import { statements } from "./statements.ts"

const flags = "'amount_mismatch', 'currency_mismatch', 'done_after_failure'"

/**
 * Refunds and payouts. As with payments, what was asked can be inserted but never updated by the server's role, and nothing
 * can be deleted. Whoever asks the provider has the row to itself until `worked_until`: two requests for one movement at once
 * can look to a provider like a fault of the second. `held` says that the ledger holds the money: a row is written first, so that no hold is ever without one.
 */
export const moneyOut = statements([
  `CREATE TABLE payments.refunds (
     id uuid PRIMARY KEY,
     payment_id uuid NOT NULL REFERENCES payments.payments,
     amount bigint NOT NULL CHECK (amount BETWEEN 1 AND 1000000000000),
     reason text CHECK (length(reason) BETWEEN 1 AND 280),
     status text NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed')),
     provider_reference text CHECK (length(provider_reference) BETWEEN 1 AND 255),
     failure_reason text CHECK (length(failure_reason) BETWEEN 1 AND 500),
     flag text CHECK (flag IN (${flags})),
     worked_until timestamptz,
     transfer_id uuid UNIQUE,
     return_transfer_id uuid UNIQUE,
     created_at timestamptz NOT NULL DEFAULT now(),
     updated_at timestamptz NOT NULL DEFAULT now(),
     CHECK (status <> 'succeeded' OR transfer_id IS NOT NULL),
     CHECK (status <> 'pending' OR transfer_id IS NULL),
     CHECK ((return_transfer_id IS NOT NULL) = (status = 'failed' AND transfer_id IS NOT NULL))
   )`,
  `CREATE INDEX refunds_of_payment ON payments.refunds (payment_id, id)`,
  `CREATE INDEX refunds_pending ON payments.refunds (updated_at) WHERE status = 'pending' AND flag IS NULL`,
  `CREATE TABLE payments.payouts (
     id uuid PRIMARY KEY,
     user_id uuid NOT NULL,
     provider text NOT NULL CHECK (provider IN ('stripe', 'paystack', 'sandbox')),
     amount bigint NOT NULL CHECK (amount BETWEEN 1 AND 1000000000000),
     currency char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
     destination bytea NOT NULL CHECK (octet_length(destination) BETWEEN 34 AND 2048),
     destination_type text NOT NULL CHECK (destination_type IN ('bank', 'mobile_money')),
     last4 text NOT NULL CHECK (length(last4) = 4),
     status text NOT NULL CHECK (status IN ('pending_approval', 'processing', 'paid', 'failed', 'canceled')),
     held boolean NOT NULL DEFAULT false,
     recipient text CHECK (length(recipient) BETWEEN 1 AND 255),
     provider_reference text CHECK (length(provider_reference) BETWEEN 1 AND 255),
     failure_reason text CHECK (length(failure_reason) BETWEEN 1 AND 500),
     flag text CHECK (flag IN (${flags})),
     decided_by uuid,
     decision_reason text CHECK (length(decision_reason) BETWEEN 1 AND 500),
     worked_until timestamptz,
     transfer_id uuid UNIQUE,
     return_transfer_id uuid UNIQUE,
     created_at timestamptz NOT NULL DEFAULT now(),
     updated_at timestamptz NOT NULL DEFAULT now(),
     CHECK (decided_by <> user_id),
     CHECK ((decided_by IS NULL) = (decision_reason IS NULL)),
     CHECK (status <> 'paid' OR (held AND transfer_id IS NOT NULL)),
     CHECK (transfer_id IS NULL OR status IN ('paid', 'failed')),
     CHECK ((return_transfer_id IS NOT NULL) = (status = 'failed' AND transfer_id IS NOT NULL))
   )`,
  `CREATE INDEX payouts_of_user ON payments.payouts (user_id, id DESC)`,
  `CREATE INDEX payouts_waiting ON payments.payouts (id) WHERE status = 'pending_approval'`,
  `CREATE INDEX payouts_open ON payments.payouts (updated_at)
     WHERE (status = 'processing' OR (status = 'pending_approval' AND NOT held)) AND flag IS NULL`,
  `GRANT SELECT, INSERT ON payments.refunds, payments.payouts TO midnight_payments`,
  `GRANT UPDATE (status, provider_reference, failure_reason, flag, worked_until, transfer_id, return_transfer_id, updated_at)
     ON payments.refunds TO midnight_payments`,
  `GRANT UPDATE (status, held, recipient, provider_reference, failure_reason, flag, worked_until, decided_by, decision_reason, transfer_id,
     return_transfer_id, updated_at) ON payments.payouts TO midnight_payments`,
  // What a member asks for in a day is counted under a lock of that member.
  `GRANT EXECUTE ON FUNCTION pg_catalog.pg_advisory_xact_lock(bigint) TO midnight_payments`
])
