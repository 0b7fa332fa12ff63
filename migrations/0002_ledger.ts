import { postFunctions } from "./0002_ledger_post.ts"
import { statements } from "./statements.ts"

/**
 * The double-entry ledger. Nothing writes these tables but `wallet.post` and `wallet.expire_holds`, which belong to a
 * role that cannot log in; server processes may read, and execute those two.
 */
const tables = [
  // Half-full pages: a balance changes in place, without touching an index (HOT), as long as its page has room.
  `CREATE TABLE wallet.accounts (
     id uuid PRIMARY KEY,
     kind text NOT NULL CHECK (kind IN ('wallet', 'escrow', 'clearing', 'fees', 'transit')),
     owner text NOT NULL CHECK (length(owner) BETWEEN 1 AND 64),
     currency char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
     balance bigint NOT NULL DEFAULT 0 CHECK (balance BETWEEN -9007199254740991 AND 9007199254740991),
     held bigint NOT NULL DEFAULT 0 CHECK (held >= 0),
     floor bigint,
     created_at timestamptz NOT NULL,
     UNIQUE (kind, owner, currency),
     CHECK (floor IS NULL OR balance - held >= floor),
     CHECK (floor IS NOT NULL OR kind IN ('clearing', 'fees'))
   ) WITH (fillfactor = 50)`,
  `CREATE TABLE wallet.transfers (
     id uuid PRIMARY KEY,
     key text NOT NULL UNIQUE CHECK (length(key) BETWEEN 3 AND 200),
     digest bytea NOT NULL CHECK (length(digest) = 32),
     kind text NOT NULL CHECK (kind IN
       ('charge', 'reward', 'transfer', 'payout', 'refund', 'fee', 'escrow', 'reversal', 'adjustment')),
     memo text CHECK (length(memo) <= 280),
     reference jsonb NOT NULL DEFAULT '{}',
     reverses uuid REFERENCES wallet.transfers CHECK ((kind = 'reversal') = (reverses IS NOT NULL)),
     CHECK (kind NOT IN ('reversal', 'adjustment') OR reference ?& ARRAY['by', 'reason']),
     created_at timestamptz NOT NULL,
     seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE
   )`,
  // The currency of an entry is that of its account, and so cannot disagree with it. The order of an account's entries
  // is (created_at, seq): both are taken under the ledger's lock and only grow. That account and transfer exist is checked
  // by \`balanced\` for a whole statement at once, and neither can be deleted: two foreign keys would ask 500 single
  // questions per batch of 127 for the same certainty.
  `CREATE TABLE wallet.entries (
     account_id uuid NOT NULL,
     created_at timestamptz NOT NULL,
     seq bigint GENERATED ALWAYS AS IDENTITY,
     id uuid NOT NULL,
     transfer_id uuid NOT NULL,
     amount bigint NOT NULL CHECK (amount <> 0 AND amount BETWEEN -9007199254740991 AND 9007199254740991),
     balance_after bigint NOT NULL,
     PRIMARY KEY (account_id, created_at, seq)
   )`,
  `CREATE INDEX transfers_reversals ON wallet.transfers (reverses) WHERE reverses IS NOT NULL`,
  // The money acts of administrators, newest first: the ledger is its own audit log.
  `CREATE INDEX transfers_administered ON wallet.transfers (seq DESC) WHERE kind IN ('adjustment', 'reversal')`,
  `CREATE INDEX entries_transfer ON wallet.entries (transfer_id)`,
  `CREATE TABLE wallet.holds (
     id uuid PRIMARY KEY,
     key text NOT NULL UNIQUE CHECK (length(key) BETWEEN 3 AND 200),
     digest bytea NOT NULL CHECK (length(digest) = 32),
     account_id uuid NOT NULL REFERENCES wallet.accounts,
     amount bigint NOT NULL CHECK (amount BETWEEN 1 AND 1000000000000),
     captured bigint NOT NULL DEFAULT 0 CHECK (captured BETWEEN 0 AND amount),
     status text NOT NULL CHECK (status IN ('open', 'captured', 'voided', 'expired')),
     expires_at timestamptz,
     created_at timestamptz NOT NULL,
     updated_at timestamptz NOT NULL,
     CHECK ((status = 'captured') = (captured = amount) OR status IN ('voided', 'expired'))
   )`,
  `CREATE INDEX holds_open ON wallet.holds (account_id) WHERE status = 'open'`,
  `CREATE INDEX holds_ended ON wallet.holds (account_id, updated_at) WHERE status <> 'open'`,
  `CREATE INDEX holds_expiring ON wallet.holds (expires_at) WHERE status = 'open' AND expires_at IS NOT NULL`
]

// ENABLE ALWAYS: session_replication_role does not switch them off, and they bind the owner as much as anyone.
const immutable = ["transfers", "entries"].flatMap((table) => [
  `CREATE TRIGGER immutable_rows BEFORE UPDATE OR DELETE ON wallet.${table}
     FOR EACH ROW EXECUTE FUNCTION wallet.refuse_change()`,
  `CREATE TRIGGER immutable_table BEFORE TRUNCATE ON wallet.${table}
     FOR EACH STATEMENT EXECUTE FUNCTION wallet.refuse_change()`,
  `ALTER TABLE wallet.${table} ENABLE ALWAYS TRIGGER immutable_rows`,
  `ALTER TABLE wallet.${table} ENABLE ALWAYS TRIGGER immutable_table`
]).concat([
  `CREATE TRIGGER kept_rows BEFORE DELETE ON wallet.accounts FOR EACH ROW EXECUTE FUNCTION wallet.refuse_change()`,
  `CREATE TRIGGER kept_table BEFORE TRUNCATE ON wallet.accounts
     FOR EACH STATEMENT EXECUTE FUNCTION wallet.refuse_change()`,
  `ALTER TABLE wallet.accounts ENABLE ALWAYS TRIGGER kept_rows`,
  `ALTER TABLE wallet.accounts ENABLE ALWAYS TRIGGER kept_table`
])

const judgement = [
  `CREATE FUNCTION wallet.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
   BEGIN
     RAISE EXCEPTION '% of wallet.% is refused: the ledger only grows', TG_OP, TG_TABLE_NAME USING ERRCODE = '23001';
   END $$`,
  ...immutable,
  // All entries of a transfer come in one statement and sum to zero in each currency. Once per statement over its
  // transition table: cheaper than a deferred trigger per entry, and it sees the transfer as a whole.
  `CREATE FUNCTION wallet.refuse_unbalanced() RETURNS trigger LANGUAGE plpgsql
     SET plan_cache_mode = force_generic_plan AS $$
   DECLARE bad uuid;
   BEGIN
     SELECT e.transfer_id INTO bad FROM added e LEFT JOIN wallet.accounts a ON a.id = e.account_id
      GROUP BY e.transfer_id, a.currency HAVING sum(e.amount) <> 0 OR count(*) < 2 OR count(a.id) < count(*) LIMIT 1;
     IF bad IS NULL THEN
       SELECT d.transfer_id INTO bad FROM (SELECT transfer_id, count(*) AS n FROM added GROUP BY transfer_id) d
        WHERE d.n <> (SELECT count(*) FROM wallet.entries e WHERE e.transfer_id = d.transfer_id)
           OR (SELECT count(*) FROM wallet.transfers t WHERE t.id = d.transfer_id) = 0 LIMIT 1;
     END IF;
     IF bad IS NOT NULL THEN
       RAISE EXCEPTION 'transfer % does not balance', bad USING ERRCODE = '23514';
     END IF;
     RETURN NULL;
   END $$`,
  `CREATE TRIGGER balanced AFTER INSERT ON wallet.entries REFERENCING NEW TABLE AS added
     FOR EACH STATEMENT EXECUTE FUNCTION wallet.refuse_unbalanced()`,
  `ALTER TABLE wallet.entries ENABLE ALWAYS TRIGGER balanced`,
  `CREATE FUNCTION wallet.refuse_empty() RETURNS trigger LANGUAGE plpgsql AS $$
   BEGIN
     IF NOT EXISTS (SELECT 1 FROM wallet.entries WHERE transfer_id = NEW.id) THEN
       RAISE EXCEPTION 'transfer % has no entries', NEW.id USING ERRCODE = '23514';
     END IF;
     RETURN NULL;
   END $$`,
  `CREATE CONSTRAINT TRIGGER has_entries AFTER INSERT ON wallet.transfers DEFERRABLE INITIALLY DEFERRED
     FOR EACH ROW EXECUTE FUNCTION wallet.refuse_empty()`,
  `ALTER TABLE wallet.transfers ENABLE ALWAYS TRIGGER has_entries`
]

// PostgreSQL's own uuidv7() exists from version 18 on; before that it is made of the clock and gen_random_uuid().
const uuidv7 = `DO $do$ BEGIN
    IF current_setting('server_version_num')::int >= 180000 THEN
      CREATE FUNCTION wallet.uuid7() RETURNS uuid LANGUAGE sql VOLATILE AS 'SELECT uuidv7()';
    ELSE
      CREATE FUNCTION wallet.uuid7() RETURNS uuid LANGUAGE sql VOLATILE AS $$
        SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
          PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
          52, 1), 53, 1), 'hex')::uuid
      $$;
    END IF;
  END $do$`

const expire = `CREATE FUNCTION wallet.expire_holds(most integer) RETURNS integer
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = wallet, pg_temp AS $$
  DECLARE h wallet.holds; n integer := 0;
  BEGIN
    PERFORM pg_advisory_xact_lock(6148914691236517204);
    FOR h IN SELECT * FROM holds WHERE status = 'open' AND expires_at <= clock_timestamp()
              ORDER BY expires_at LIMIT most FOR UPDATE LOOP
      UPDATE holds SET status = 'expired', updated_at = clock_timestamp() WHERE id = h.id;
      UPDATE accounts SET held = held - (h.amount - h.captured) WHERE id = h.account_id;
      n := n + 1;
    END LOOP;
    RETURN n;
  END $$`

const ownership = [
  `GRANT USAGE, CREATE ON SCHEMA wallet TO midnight_ledger`,
  ...["accounts", "transfers", "entries", "holds"].map((t) => `ALTER TABLE wallet.${t} OWNER TO midnight_ledger`),
  ...[
    "refuse_change()",
    "refuse_unbalanced()",
    "refuse_empty()",
    "uuid7()",
    "post_exact(jsonb, timestamptz)",
    "post_all(jsonb, timestamptz)",
    "post(jsonb)",
    "expire_holds(integer)"
  ]
    .flatMap((f) => [
      `ALTER FUNCTION wallet.${f} OWNER TO midnight_ledger`,
      `REVOKE ALL ON FUNCTION wallet.${f} FROM PUBLIC`
    ]),
  `REVOKE CREATE ON SCHEMA wallet FROM midnight_ledger`,
  `GRANT SELECT ON wallet.accounts, wallet.transfers, wallet.entries, wallet.holds TO midnight_wallet`,
  `GRANT EXECUTE ON FUNCTION wallet.post(jsonb), wallet.expire_holds(integer) TO midnight_wallet`
]

export const ledger = statements([...tables, ...judgement, uuidv7, ...postFunctions, expire, ...ownership])
