-- The tables of both HTTP peers: a small double-entry ledger with the same contract as ours. A transfer happens once per user
-- and key, its row is what a repetition is answered with, no wallet falls below zero.
CREATE TABLE accounts (
  id uuid PRIMARY KEY,
  owner uuid NOT NULL,
  currency char(3) NOT NULL,
  balance bigint NOT NULL CHECK (balance >= 0),
  held bigint NOT NULL DEFAULT 0 CHECK (held >= 0),
  UNIQUE (owner, currency)
);

CREATE TABLE transfers (
  id uuid PRIMARY KEY DEFAULT uuidv7(),
  user_id uuid NOT NULL,
  key text NOT NULL,
  request_hash bytea NOT NULL,
  to_user_id uuid NOT NULL,
  amount bigint NOT NULL CHECK (amount > 0),
  currency char(3) NOT NULL,
  memo text,
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (user_id, key)
);

CREATE TABLE entries (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  transfer_id uuid NOT NULL,
  account_id uuid NOT NULL,
  amount bigint NOT NULL,
  balance_after bigint NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX entries_account ON entries (account_id, id);

-- One wallet per user, under the user's own id, so that a request need not look it up first.
INSERT INTO accounts (id, owner, currency, balance)
SELECT id, id, 'NGN', 1000000000
  FROM (SELECT ('018f0000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid AS id FROM generate_series(0, 9999) n) u
