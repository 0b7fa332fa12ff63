import { exactPath } from "./0002_ledger_exact.ts"
import { leaf } from "./0008_chain.ts"
import { statements } from "./statements.ts"

/**
 * The path of nearly every posting: a batch of transfers, as arrays, in one set-based statement. Each account is found once, by
 * the name it is known under, and its balance, its entries and the transfers are written together. Debits are held
 * against the floor without counting the batch's own credits, so that any order of its transfers would have been allowed.
 *
 * What may not be so (a key posted before or twice in the batch, money missing, an account unknown) is found by counting, and
 * nothing of the batch stays. It is tried once more with the accounts that a first credit opens; else the answer
 * has no ids but `suspects`, the numbers of the transfers that `wallet.post` has to decide one by one.
 *
 * A transfer without a digest of its own has that of its content. An empty digest, content or memo stands for none.
 */
const main = `
    WITH legs AS MATERIALIZED (
      SELECT l.kind, l.owner, l.currency, l.amount, l.of, l.n,
             sum(l.amount) OVER (PARTITION BY l.kind, l.owner, l.currency ORDER BY l.n) AS running
        FROM unnest(leg_kinds, leg_owners, leg_currencies, leg_amounts, leg_transfers) WITH ORDINALITY
             AS l (kind, owner, currency, amount, of, n)
    ), moved AS (
      UPDATE accounts a SET balance = a.balance + p.delta
        FROM (SELECT kind, owner, currency, sum(amount)::bigint AS delta, sum(least(amount, 0))::bigint AS debits,
                     sum(greatest(amount, 0))::bigint AS credits, array_agg(n) AS ns, array_agg(of) AS ofs,
                     array_agg(amount) AS amounts, array_agg(running) AS runnings
                FROM legs GROUP BY kind, owner, currency) p
       WHERE a.kind = p.kind AND a.owner = p.owner AND a.currency = p.currency::char(3)
         AND (a.floor IS NULL OR a.balance - a.held + p.debits >= a.floor)
         AND a.balance + p.debits >= -9007199254740991 AND a.balance + p.credits <= 9007199254740991
      RETURNING a.id, a.balance - p.delta AS before, p.ns, p.ofs, p.amounts, p.runnings
    ), booked AS (
      INSERT INTO transfers (id, key, digest, kind, memo, reference, created_at)
        SELECT t.id, t.key,
               CASE t.digest WHEN '' THEN
                 sha256(convert_to((t.content::jsonb - 'reference' - 'expiresAt')::text, 'UTF8'))
               ELSE decode(t.digest, 'hex') END,
               t.kind, nullif(t.memo, ''), t.reference::jsonb, at
          FROM unnest(ids, keys, digests, contents, kinds, memos, refs)
               AS t (id, key, digest, content, kind, memo, reference)
      ON CONFLICT (key) DO NOTHING RETURNING 1
    ), entered AS (
      INSERT INTO entries (account_id, created_at, id, transfer_id, amount, balance_after)
        SELECT m.id, at, uuid7(), ids[l.of], l.amount, m.before + l.running
          FROM moved m, unnest(m.ns, m.ofs, m.amounts, m.runnings) AS l (n, of, amount, running)
         ORDER BY l.n
      RETURNING 1
    )
    SELECT (SELECT count(*) FROM booked), (SELECT count(*) FROM entered) INTO booked_count, entered_count;`

/** The batch as this migration left it. */
export const postTransfers = `
CREATE FUNCTION wallet.post_transfers(
  keys text[], digests text[], contents text[], kinds text[], memos text[], refs text[], leg_transfers integer[],
  leg_kinds text[], leg_owners text[], leg_currencies text[], leg_amounts bigint[],
  OUT at timestamptz, OUT ids uuid[], OUT suspects integer[]
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = wallet, pg_temp SET plan_cache_mode = force_generic_plan AS $fn$
DECLARE booked_count bigint; entered_count bigint;
BEGIN
  PERFORM pg_advisory_xact_lock(6148914691236517204);
  at := clock_timestamp();
  SELECT array_agg(uuid7()) INTO ids FROM generate_series(1, cardinality(keys));
  FOR attempt IN 1..2 LOOP
    BEGIN
      IF attempt = 2 THEN
        INSERT INTO accounts (id, kind, owner, currency, floor, created_at)
          SELECT uuid7(), o.kind, o.owner, o.currency, CASE WHEN o.kind IN ('clearing', 'fees') THEN NULL ELSE 0 END, at
            FROM (SELECT DISTINCT l.kind, l.owner, l.currency
                    FROM unnest(leg_kinds, leg_owners, leg_currencies, leg_amounts) AS l (kind, owner, currency, amount)
                   WHERE l.amount > 0 OR l.kind IN ('clearing', 'fees')) o
          ON CONFLICT (kind, owner, currency) DO NOTHING;
        IF NOT FOUND THEN EXIT; END IF;
      END IF;
      ${main.trim()}
      IF booked_count = cardinality(keys) AND entered_count = cardinality(leg_transfers) THEN RETURN; END IF;
      RAISE EXCEPTION 'not every transfer can be posted' USING ERRCODE = 'MN001';
    EXCEPTION WHEN SQLSTATE 'MN001' OR check_violation OR numeric_value_out_of_range THEN
      -- Nothing of it stays, and no account that was opened for it.
    END;
  END LOOP;
  ids := NULL;
  SELECT array_agg(DISTINCT s.n) INTO suspects FROM (
    SELECT k.n FROM unnest(keys) WITH ORDINALITY AS k (key, n)
     WHERE EXISTS (SELECT FROM transfers t WHERE t.key = k.key OFFSET 0)
        OR k.n <> array_position(keys, k.key)
    UNION ALL
    SELECT l.of FROM unnest(leg_kinds, leg_owners, leg_currencies, leg_transfers) AS l (kind, owner, currency, of)
      JOIN (SELECT g.kind, g.owner, g.currency, sum(least(g.amount, 0)) AS debits, sum(greatest(g.amount, 0)) AS credits
              FROM unnest(leg_kinds, leg_owners, leg_currencies, leg_amounts) AS g (kind, owner, currency, amount)
             GROUP BY g.kind, g.owner, g.currency) p USING (kind, owner, currency)
      LEFT JOIN accounts a ON a.kind = p.kind AND a.owner = p.owner AND a.currency = p.currency::char(3)
     WHERE CASE WHEN a.id IS NULL THEN p.debits < 0 AND p.kind NOT IN ('clearing', 'fees')
           ELSE a.balance - a.held + p.debits < a.floor OR a.balance + p.debits < -9007199254740991
             OR a.balance + p.credits > 9007199254740991 END
  ) s;
END $fn$`

/** Decides commands one by one: holds, reversals, and the transfers that a batch could not take. */
const post = `
CREATE OR REPLACE FUNCTION wallet.post(commands jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = wallet, pg_temp AS $fn$
BEGIN
  PERFORM pg_advisory_xact_lock(6148914691236517204);
  RETURN jsonb_build_object('outcomes', post_exact(commands, clock_timestamp()));
END $fn$`

// A transfer and its entries in one statement, so that the judges of both see the whole of it.
const together = (source: string) => {
  const edited = source
    .replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
    .replace(
      /INSERT INTO transfers \(id[^;]*\);\s*INSERT INTO entries/,
      (both) =>
        both.replace("INSERT INTO transfers", "WITH booked AS (INSERT INTO transfers").replace(
          /;\s*INSERT/,
          ")\n    INSERT"
        )
    )
  if (!edited.includes("WITH booked AS")) throw new Error("post_exact is not what this migration changes")
  return edited
}

/** The exact path as this migration left it. */
export const exactInOneStatement = together(exactPath)

// Each is asked by an index for every row of the statement: a join made PostgreSQL read all accounts for a batch of 128.
const judges = [
  `CREATE OR REPLACE FUNCTION wallet.refuse_unbalanced() RETURNS trigger LANGUAGE plpgsql
     SET plan_cache_mode = force_generic_plan AS $$
   DECLARE bad uuid;
   BEGIN
     SELECT s.transfer_id INTO bad
       FROM (SELECT e.transfer_id, e.amount,
                    (SELECT a.currency FROM wallet.accounts a WHERE a.id = e.account_id) AS currency FROM added e) s
      GROUP BY s.transfer_id, s.currency HAVING sum(s.amount) <> 0 OR count(*) < 2 OR s.currency IS NULL LIMIT 1;
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
  `DROP TRIGGER has_entries ON wallet.transfers`,
  `CREATE OR REPLACE FUNCTION wallet.refuse_empty() RETURNS trigger LANGUAGE plpgsql
     SET plan_cache_mode = force_generic_plan AS $$
   DECLARE bad uuid;
   BEGIN
     SELECT t.id INTO bad FROM added t
      WHERE (SELECT count(*) FROM wallet.entries e WHERE e.transfer_id = t.id) = 0 LIMIT 1;
     IF bad IS NOT NULL THEN
       RAISE EXCEPTION 'transfer % has no entries', bad USING ERRCODE = '23514';
     END IF;
     RETURN NULL;
   END $$`,
  `CREATE TRIGGER has_entries AFTER INSERT ON wallet.transfers REFERENCING NEW TABLE AS added
     FOR EACH STATEMENT EXECUTE FUNCTION wallet.refuse_empty()`,
  `ALTER TABLE wallet.transfers ENABLE ALWAYS TRIGGER has_entries`
]

// The hashes in the statement itself: a function called for every transfer cost more than all that it did.
const chainNext = `CREATE OR REPLACE FUNCTION wallet.chain_next(most integer) RETURNS integer
   LANGUAGE plpgsql SECURITY DEFINER SET search_path = wallet, pg_temp SET plan_cache_mode = force_generic_plan AS $$
   DECLARE before chain; first bigint; last bigint; found integer; hashes bytea;
   BEGIN
     -- Another process is at it.
     IF NOT pg_try_advisory_xact_lock(6148914691236517205) THEN RETURN 0; END IF;
     SELECT * INTO before FROM chain ORDER BY n DESC LIMIT 1;
     SELECT min(l.seq), max(l.seq), count(*), string_agg(l.hash, ''::bytea ORDER BY l.seq) INTO first, last, found, hashes
       FROM (SELECT t.seq, ${leaf} AS hash
               FROM transfers t WHERE t.seq > coalesce(before.last_seq, 0) ORDER BY t.seq LIMIT most) l;
     IF found = 0 THEN RETURN 0; END IF;
     before.hash := coalesce(before.hash, decode(repeat('00', 32), 'hex'));
     INSERT INTO chain (n, first_seq, last_seq, transfers, prev, leaves, hash, chained_at)
       VALUES (coalesce(before.n, 0) + 1, first, last, found, before.hash, hashes, sha256(before.hash || hashes),
               clock_timestamp());
     RETURN found;
   END $$`

const types = "text[], text[], text[], text[], text[], text[], integer[], text[], text[], text[], bigint[]"

/**
 * Batches of transfers for a quarter of what they cost as JSON, and judged by statement: a transfer without entries is
 * refused at once and no longer at the commit.
 */
export const ledgerBatches = statements([
  ...judges,
  exactInOneStatement,
  post,
  `DROP FUNCTION wallet.post_all(jsonb, timestamptz)`,
  postTransfers,
  chainNext,
  `GRANT CREATE ON SCHEMA wallet TO midnight_ledger`,
  `ALTER FUNCTION wallet.post_transfers(${types}) OWNER TO midnight_ledger`,
  `REVOKE CREATE ON SCHEMA wallet FROM midnight_ledger`,
  `REVOKE ALL ON FUNCTION wallet.post_transfers(${types}) FROM PUBLIC`,
  `GRANT EXECUTE ON FUNCTION wallet.post_transfers(${types}) TO midnight_wallet`
])
