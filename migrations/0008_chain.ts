import { statements } from "./statements.ts"

/** The hash of one transfer `t` with its entries. */
export const leaf = `sha256(convert_to(
       concat_ws('|', t.seq, t.id, t.key, encode(t.digest, 'hex'), t.kind, coalesce('m' || t.memo, ''), t.reference,
                 (extract(epoch FROM t.created_at) * 1000000)::bigint,
                 (SELECT string_agg(concat_ws(',', e.seq, e.id, e.account_id, e.amount, e.balance_after,
                                              (extract(epoch FROM e.created_at) * 1000000)::bigint), ';' ORDER BY e.seq)
                    FROM entries e WHERE e.transfer_id = t.id)), 'UTF8'))`

/**
 * The hash chain over what was posted. A link covers the transfers of a range of `seq` with their entries: `leaves` has the
 * SHA-256 of each, in order, and `hash` is that of the link before and the leaves. So an edited byte is found, and the
 * transfer it is in can be named. Links are made after the posting's commit, off its critical path; transfers commit in
 * the order of their `seq`, so whatever is visible is a complete beginning.
 */
export const chain = statements([
  `CREATE TABLE wallet.chain (
     n bigint PRIMARY KEY CHECK (n > 0),
     first_seq bigint NOT NULL,
     last_seq bigint NOT NULL UNIQUE CHECK (last_seq >= first_seq),
     transfers integer NOT NULL CHECK (transfers > 0),
     prev bytea NOT NULL CHECK (length(prev) = 32),
     leaves bytea NOT NULL CHECK (length(leaves) = 32 * transfers),
     hash bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
     chained_at timestamptz NOT NULL
   )`,
  `CREATE TRIGGER immutable_rows BEFORE UPDATE OR DELETE ON wallet.chain
     FOR EACH ROW EXECUTE FUNCTION wallet.refuse_change()`,
  `CREATE TRIGGER immutable_table BEFORE TRUNCATE ON wallet.chain
     FOR EACH STATEMENT EXECUTE FUNCTION wallet.refuse_change()`,
  `ALTER TABLE wallet.chain ENABLE ALWAYS TRIGGER immutable_rows`,
  `ALTER TABLE wallet.chain ENABLE ALWAYS TRIGGER immutable_table`,
  // Microseconds as an integer: the text of a timestamp depends on the session's settings.
  `CREATE FUNCTION wallet.leaf(t wallet.transfers) RETURNS bytea LANGUAGE sql STABLE
     SET search_path = wallet, pg_temp AS $$
     SELECT ${leaf}
   $$`,
  `CREATE FUNCTION wallet.chain_next(most integer) RETURNS integer
     LANGUAGE plpgsql SECURITY DEFINER SET search_path = wallet, pg_temp AS $$
     DECLARE before chain; first bigint; last bigint; found integer; hashes bytea;
     BEGIN
       -- Another process is at it.
       IF NOT pg_try_advisory_xact_lock(6148914691236517205) THEN RETURN 0; END IF;
       SELECT * INTO before FROM chain ORDER BY n DESC LIMIT 1;
       SELECT min(seq), max(seq), count(*), string_agg(leaf(t), ''::bytea ORDER BY seq)
         INTO first, last, found, hashes
         FROM (SELECT * FROM transfers WHERE seq > coalesce(before.last_seq, 0) ORDER BY seq LIMIT most) t;
       IF found = 0 THEN RETURN 0; END IF;
       before.hash := coalesce(before.hash, decode(repeat('00', 32), 'hex'));
       INSERT INTO chain (n, first_seq, last_seq, transfers, prev, leaves, hash, chained_at)
         VALUES (coalesce(before.n, 0) + 1, first, last, found, before.hash, hashes, sha256(before.hash || hashes),
                 clock_timestamp());
       RETURN found;
     END $$`,
  `GRANT CREATE ON SCHEMA wallet TO midnight_ledger`,
  `ALTER TABLE wallet.chain OWNER TO midnight_ledger`,
  `ALTER FUNCTION wallet.leaf(wallet.transfers) OWNER TO midnight_ledger`,
  `ALTER FUNCTION wallet.chain_next(integer) OWNER TO midnight_ledger`,
  `REVOKE CREATE ON SCHEMA wallet FROM midnight_ledger`,
  `REVOKE ALL ON FUNCTION wallet.leaf(wallet.transfers), wallet.chain_next(integer) FROM PUBLIC`,
  `GRANT SELECT ON wallet.chain TO midnight_wallet`,
  `GRANT EXECUTE ON FUNCTION wallet.chain_next(integer), wallet.leaf(wallet.transfers) TO midnight_wallet`
])
