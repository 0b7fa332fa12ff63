-- The bare rival: no tokens, no HTTP, numbers for ids.
CREATE TABLE accounts (id bigint PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0));

CREATE TABLE transfers (
  id uuid PRIMARY KEY DEFAULT uuidv7(),
  key text NOT NULL UNIQUE,
  from_id bigint NOT NULL,
  to_id bigint NOT NULL,
  amount bigint NOT NULL CHECK (amount > 0),
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE entries (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  transfer_id uuid NOT NULL,
  account_id bigint NOT NULL,
  amount bigint NOT NULL,
  balance_after bigint NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX entries_account ON entries (account_id, id);

INSERT INTO accounts SELECT n, 1000000000 FROM generate_series(0, 9999) n;

-- One call per transfer: what is left when every round trip between application and database is taken away.
CREATE FUNCTION transfer(k text, a bigint, b bigint, m bigint) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE t uuid; a_after bigint; b_after bigint;
BEGIN
  INSERT INTO transfers (key, from_id, to_id, amount) VALUES (k, a, b, m) ON CONFLICT (key) DO NOTHING RETURNING id INTO t;
  IF t IS NULL THEN RETURN (SELECT id FROM transfers WHERE key = k); END IF;
  IF a < b THEN
    UPDATE accounts SET balance = balance - m WHERE id = a RETURNING balance INTO a_after;
    UPDATE accounts SET balance = balance + m WHERE id = b RETURNING balance INTO b_after;
  ELSE
    UPDATE accounts SET balance = balance + m WHERE id = b RETURNING balance INTO b_after;
    UPDATE accounts SET balance = balance - m WHERE id = a RETURNING balance INTO a_after;
  END IF;
  INSERT INTO entries (transfer_id, account_id, amount, balance_after) VALUES (t, a, -m, a_after), (t, b, m, b_after);
  RETURN t;
END $$
