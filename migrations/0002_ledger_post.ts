import { exactPath } from "./0002_ledger_exact.ts"

/**
 * The optimistic path, for a batch of transfers that all succeed, which is nearly every batch. Set-based: accounts are found
 * by one index look-up per leg, and opened where a first credit finds none; then transfers, balances and entries are one
 * statement each. Debits are held against the floor without counting the batch's own credits, so that any order of its
 * transfers would have been allowed. A count that differs from what was expected (a key posted before, money missing, an
 * unknown sender) undoes the block, and the exact path decides.
 *
 * It works on arrays and not in one large statement: PostgreSQL guesses 100 rows for every JSON array, and with two
 * nested ones the guess of 10,000 legs made it read all accounts (15 ms for a batch of one).
 */
const optimisticPath = `
CREATE FUNCTION wallet.post_all(commands jsonb, moment timestamptz) RETURNS uuid[]
LANGUAGE plpgsql SET search_path = wallet, pg_temp SET plan_cache_mode = force_generic_plan AS $fn$
DECLARE
  keys text[]; digests bytea[]; kinds text[]; memos text[]; refs jsonb[]; ids uuid[];
  leg_accounts uuid[]; leg_amounts bigint[]; leg_transfers uuid[]; befores jsonb; wanted integer; done integer;
BEGIN
  SELECT array_agg(c->>'key' ORDER BY n), array_agg(coalesce(decode(c->>'digest', 'hex'),
           sha256(convert_to((c - 'reference' - 'expiresAt')::text, 'UTF8'))) ORDER BY n),
         array_agg(c->>'kind' ORDER BY n), array_agg(c->>'memo' ORDER BY n),
         array_agg(coalesce(c->'reference', '{}') ORDER BY n), array_agg(uuid7() ORDER BY n)
    INTO keys, digests, kinds, memos, refs, ids
    FROM jsonb_array_elements(commands) WITH ORDINALITY AS x (c, n);

  FOR attempt IN 1..2 LOOP
    SELECT array_agg((SELECT a.id FROM accounts a WHERE a.kind = l->>'kind' AND a.owner = l->>'owner'
                         AND a.currency = l->>'currency') ORDER BY n, m),
           array_agg((l->>'amount')::bigint ORDER BY n, m), array_agg(ids[n] ORDER BY n, m)
      INTO leg_accounts, leg_amounts, leg_transfers
      FROM jsonb_array_elements(commands) WITH ORDINALITY AS x (c, n),
           jsonb_array_elements(c->'legs') WITH ORDINALITY AS y (l, m);
    EXIT WHEN array_position(leg_accounts, NULL) IS NULL;
    INSERT INTO accounts (id, kind, owner, currency, floor, created_at)
      SELECT uuid7(), o.kind, o.owner, o.currency, CASE WHEN o.kind IN ('clearing', 'fees') THEN NULL ELSE 0 END, moment
        FROM (SELECT DISTINCT l->>'kind' AS kind, l->>'owner' AS owner, l->>'currency' AS currency
                FROM jsonb_array_elements(commands) c, jsonb_array_elements(c->'legs') l
               WHERE (l->>'amount')::bigint > 0 OR l->>'kind' IN ('clearing', 'fees')) o
      ON CONFLICT (kind, owner, currency) DO NOTHING;
  END LOOP;

  INSERT INTO transfers (id, key, digest, kind, memo, reference, created_at)
    SELECT t.id, t.key, t.digest, t.kind, t.memo, t.reference, moment
      FROM unnest(ids, keys, digests, kinds, memos, refs) AS t (id, key, digest, kind, memo, reference)
    ON CONFLICT (key) DO NOTHING;
  GET DIAGNOSTICS done = ROW_COUNT;
  IF done <> cardinality(ids) THEN RAISE EXCEPTION 'a key was posted before' USING ERRCODE = 'MN001'; END IF;

  WITH u AS (
    UPDATE accounts a SET balance = a.balance + p.delta
      FROM (SELECT l.account, sum(l.amount)::bigint AS delta, sum(least(l.amount, 0))::bigint AS debits,
                   sum(greatest(l.amount, 0))::bigint AS credits
              FROM unnest(leg_accounts, leg_amounts) AS l (account, amount) GROUP BY l.account) p
     WHERE a.id = p.account AND (a.floor IS NULL OR a.balance - a.held + p.debits >= a.floor)
       AND a.balance + p.debits >= -9007199254740991 AND a.balance + p.credits <= 9007199254740991
    RETURNING a.id, a.balance - p.delta AS before
  )
  SELECT jsonb_object_agg(u.id, u.before), count(*) INTO befores, done FROM u;
  SELECT count(DISTINCT account) INTO wanted FROM unnest(leg_accounts) AS l (account);
  IF done <> wanted OR array_position(leg_accounts, NULL) IS NOT NULL THEN
    RAISE EXCEPTION 'an account is missing or does not hold enough' USING ERRCODE = 'MN001';
  END IF;

  INSERT INTO entries (account_id, created_at, id, transfer_id, amount, balance_after)
    SELECT l.account, moment, uuid7(), l.transfer, l.amount,
           (befores->>(l.account::text))::bigint + sum(l.amount) OVER (PARTITION BY l.account ORDER BY l.n)
      FROM unnest(leg_accounts, leg_amounts, leg_transfers) WITH ORDINALITY AS l (account, amount, transfer, n)
     ORDER BY l.n;
  RETURN ids;
END $fn$`

/**
 * The one function that posts. Batches of all processes follow one another by an advisory lock, which is held through the
 * commit: one batch per flush is what group commit is, deadlocks between batches cannot happen, and what is committed is
 * in the order of \`transfers.seq\`. Rows are locked all the same, so that safety does not hang on that lock.
 *
 * Answers {"at", "ids"} when every command was posted by the optimistic path, else {"outcomes"}.
 */
const post = `
CREATE FUNCTION wallet.post(commands jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = wallet, pg_temp AS $fn$
DECLARE moment timestamptz; ids uuid[];
BEGIN
  PERFORM pg_advisory_xact_lock(6148914691236517204);
  moment := clock_timestamp();
  IF NOT jsonb_path_exists(commands, '$[*].op ? (@ != "transfer")') THEN
    BEGIN
      ids := post_all(commands, moment);
      RETURN jsonb_build_object('at', moment, 'ids', to_jsonb(ids));
    EXCEPTION WHEN SQLSTATE 'MN001' OR check_violation OR numeric_value_out_of_range THEN
      -- The exact path says which command it was.
    END;
  END IF;
  RETURN jsonb_build_object('outcomes', post_exact(commands, moment));
END $fn$`

export const postFunctions = [exactPath, optimisticPath, post]
