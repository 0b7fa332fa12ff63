import { statements } from "./statements.ts"

// Microseconds as an integer: the text of a timestamp depends on the session's settings. A time that somebody edited to be
// infinite has a text as well, where a cast to bigint would be an error.
const micros = (instant: string) => `trunc(extract(epoch FROM ${instant}) * 1000000)`

const entries = `(SELECT string_agg(concat_ws(',', e.seq, e.id, e.account_id, e.amount, e.balance_after,
                                              ${micros("e.created_at")}), ';' ORDER BY e.seq)
                    FROM wallet.entries e WHERE e.transfer_id = t.id)`

// What has a fixed form comes first, and what may hold any character comes last, after the lengths of its parts: no two
// transfers are written alike, whatever their keys and memos say.
const leaf = `sha256(convert_to(
       concat_ws('|', t.seq, t.id, coalesce(t.reverses::text, ''), ${micros("t.created_at")}, encode(t.digest, 'hex'),
                 length(t.key), length(t.kind), coalesce(length(t.memo), -1), coalesce(${entries}, ''),
                 t.key || t.kind || coalesce(t.memo, ''), t.reference), 'UTF8'))`

// As migration 0008 has it, which made the leaves of the links that are sealed.
const sealedLeaf = `sha256(convert_to(
       concat_ws('|', t.seq, t.id, t.key, encode(t.digest, 'hex'), t.kind, coalesce('m' || t.memo, ''), t.reference,
                 ${micros("t.created_at")}, ${entries}), 'UTF8'))`

/** What a link says of itself: where it stands, which transfers it has, and when it was made. */
const numbers = (n: string, first: string, last: string, transfers: string, at: string) =>
  `sha256(convert_to(concat_ws('|', ${n}, ${first}, ${last}, ${transfers}, ${micros(at)}), 'UTF8'))`

const zero = `decode(repeat('00', 32), 'hex')`

// Links that stand keep their hashes, since somebody may have written one down. What these leave out is sealed as it is now, by
// a second chain beside the first, with leaves of its own; the next link's `prev` is the last seal. Books that are
// broken already are sealed as well: the first chain goes on telling what is wrong with them.
const seal = `DO $$
  DECLARE c wallet.chain; again bytea; sealed bytea := ${zero}; since bigint := -9223372036854775808;
  BEGIN
    FOR c IN SELECT * FROM wallet.chain ORDER BY n LOOP
      SELECT coalesce(string_agg(${leaf}, ''::bytea ORDER BY t.seq), '') INTO again
        FROM wallet.transfers t WHERE t.seq > since AND t.seq <= c.last_seq;
      sealed := sha256(sealed || ${numbers("c.n", "c.first_seq", "c.last_seq", "c.transfers", "c.chained_at")}
                       || again || c.hash);
      UPDATE wallet.chain SET seal = sealed, seal_leaves = again WHERE n = c.n;
      since := c.last_seq;
    END LOOP;
  END $$`

const chainNext = `CREATE OR REPLACE FUNCTION wallet.chain_next(most integer) RETURNS integer
   LANGUAGE plpgsql SECURITY DEFINER SET search_path = wallet, pg_temp SET plan_cache_mode = force_generic_plan AS $$
   DECLARE before chain; link chain;
   BEGIN
     -- Another process is at it.
     IF NOT pg_try_advisory_xact_lock(6148914691236517205) THEN RETURN 0; END IF;
     SELECT * INTO before FROM chain ORDER BY n DESC LIMIT 1;
     SELECT min(l.seq), max(l.seq), count(*), string_agg(l.hash, ''::bytea ORDER BY l.seq)
       INTO link.first_seq, link.last_seq, link.transfers, link.leaves
       FROM (SELECT t.seq, ${leaf} AS hash
               FROM transfers t WHERE t.seq > coalesce(before.last_seq, 0) ORDER BY t.seq LIMIT most) l;
     IF link.transfers = 0 THEN RETURN 0; END IF;
     link.n := coalesce(before.n, 0) + 1;
     link.prev := coalesce(before.seal, before.hash, ${zero});
     link.chained_at := clock_timestamp();
     INSERT INTO chain (n, first_seq, last_seq, transfers, prev, leaves, hash, chained_at)
       VALUES (link.n, link.first_seq, link.last_seq, link.transfers, link.prev, link.leaves,
               sha256(link.prev
                      || ${numbers("link.n", "link.first_seq", "link.last_seq", "link.transfers", "link.chained_at")}
                      || link.leaves),
               link.chained_at);
     RETURN link.transfers;
   END $$`

const leafFunction = (name: string, hash: string) =>
  `CREATE OR REPLACE FUNCTION wallet.${name}(t wallet.transfers) RETURNS bytea LANGUAGE sql STABLE
     SET search_path = wallet, pg_temp AS $$
     SELECT ${hash}
   $$`

/**
 * The chain covers every column of entries, transfers and of itself. A leaf has the transfer's `reverses` as well, and a link's
 * hash its own number, range, count and time. Links from before are what they were, and
 * have a `seal`.
 */
export const chainCoversAll = statements([
  `ALTER TABLE wallet.chain ADD COLUMN seal bytea CHECK (length(seal) = 32), ADD COLUMN seal_leaves bytea,
     ADD CHECK ((seal IS NULL) = (seal_leaves IS NULL))`,
  `ALTER TABLE wallet.chain DISABLE TRIGGER immutable_rows`,
  seal,
  `ALTER TABLE wallet.chain ENABLE ALWAYS TRIGGER immutable_rows`,
  leafFunction("leaf", leaf),
  leafFunction("sealed_leaf", sealedLeaf),
  chainNext,
  `GRANT CREATE ON SCHEMA wallet TO midnight_ledger`,
  `ALTER FUNCTION wallet.sealed_leaf(wallet.transfers) OWNER TO midnight_ledger`,
  `REVOKE CREATE ON SCHEMA wallet FROM midnight_ledger`,
  `REVOKE ALL ON FUNCTION wallet.sealed_leaf(wallet.transfers) FROM PUBLIC`,
  `GRANT EXECUTE ON FUNCTION wallet.sealed_leaf(wallet.transfers) TO midnight_wallet`
])
