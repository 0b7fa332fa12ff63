import { statements } from "./statements.ts"

/**
 * Payments and the inbox of provider events. What was asked (user, provider, amount, currency, mode) can be inserted but
 * never updated by the server's role: a fault of the app cannot make a payment agree with what a provider says.
 */
export const payments = statements([
  `CREATE TABLE payments.payments (
     id uuid PRIMARY KEY,
     user_id uuid NOT NULL,
     provider text NOT NULL CHECK (provider IN ('stripe', 'paystack', 'sandbox')),
     amount bigint NOT NULL CHECK (amount BETWEEN 1 AND 1000000000000),
     currency char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
     livemode boolean NOT NULL,
     status text NOT NULL CHECK (status IN ('requires_action', 'processing', 'succeeded', 'failed', 'canceled')),
     provider_reference text CHECK (length(provider_reference) BETWEEN 1 AND 255),
     next_action_url text CHECK (length(next_action_url) BETWEEN 1 AND 2048),
     return_url text CHECK (length(return_url) BETWEEN 1 AND 2048),
     amount_refunded bigint NOT NULL DEFAULT 0 CHECK (amount_refunded BETWEEN 0 AND amount),
     disputed boolean NOT NULL DEFAULT false,
     flag text CHECK (flag IN ('amount_mismatch', 'currency_mismatch', 'mode_mismatch', 'balance_limit')),
     transfer_id uuid UNIQUE,
     created_at timestamptz NOT NULL DEFAULT now(),
     updated_at timestamptz NOT NULL DEFAULT now(),
     UNIQUE (provider, provider_reference),
     CHECK ((status = 'succeeded') = (transfer_id IS NOT NULL)),
     CHECK (amount_refunded = 0 OR status = 'succeeded'),
     CHECK (flag IS NULL OR status <> 'succeeded')
   )`,
  `CREATE INDEX payments_of_user ON payments.payments (user_id, id DESC)`,
  // One row per event of a provider, for good: its primary key is what makes a duplicate a duplicate.
  `CREATE TABLE payments.webhook_inbox (
     provider text NOT NULL CHECK (provider IN ('stripe', 'paystack', 'sandbox')),
     event_id text NOT NULL CHECK (length(event_id) BETWEEN 1 AND 255),
     type text NOT NULL CHECK (length(type) BETWEEN 1 AND 255),
     payment_id uuid,
     body text NOT NULL CHECK (octet_length(body) <= 1048576),
     received_at timestamptz NOT NULL DEFAULT now(),
     PRIMARY KEY (provider, event_id)
   )`,
  `GRANT SELECT, INSERT ON payments.payments TO midnight_payments`,
  `GRANT UPDATE (status, provider_reference, next_action_url, amount_refunded, disputed, flag, transfer_id, updated_at)
     ON payments.payments TO midnight_payments`,
  `GRANT SELECT, INSERT ON payments.webhook_inbox TO midnight_payments`
])
