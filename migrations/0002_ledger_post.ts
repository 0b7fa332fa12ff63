/**
 * The exact path: decides the commands of a batch one by one, in their order, and answers one outcome for each; a command
 * that is refused leaves no trace and never fails its neighbours.
 *
 *   transfer  {op, key, digest?, kind, memo?, reference?, legs: [{kind, owner, currency, amount}]}   sum to zero
 *   authorise {op, key, kind, owner, currency, amount, expiresAt?}                          a hold on that account
 *   capture   {op, key, kind, hold, amount, memo?, reference?, to: {kind, owner}}           from the hold's account
 *   void      {op, hold}                                                                    releases what is left
 *
 * `digest` is what a repetition of the key must bring again; without one it is that of the command itself.
 */
const exactPath = `
CREATE FUNCTION wallet.post_exact(commands jsonb, moment timestamptz) RETURNS jsonb
LANGUAGE plpgsql SET search_path = wallet, pg_temp AS $fn$
DECLARE
  c jsonb; leg jsonb; outcomes jsonb := '[]'; outcome jsonb;
  op text; dig bytea; t transfers; h holds; a accounts;
  tid uuid; legs jsonb; total bigint; n integer; opened boolean;
  ids uuid[]; amounts bigint[]; afters bigint[]; rest bigint; released bigint;
BEGIN
  FOR c IN SELECT value FROM jsonb_array_elements(commands) LOOP
    op := c->>'op';
    dig := coalesce(decode(c->>'digest', 'hex'), sha256(convert_to((c - 'reference' - 'expiresAt')::text, 'UTF8')));
    outcome := NULL; released := 0; h := NULL;

    IF op IN ('transfer', 'capture') THEN
      SELECT * INTO t FROM transfers WHERE key = c->>'key';
      IF FOUND THEN
        outcomes := outcomes || CASE WHEN t.digest = dig
          THEN jsonb_build_object('outcome', 'replayed', 'id', t.id, 'at', t.created_at)
          ELSE jsonb_build_object('outcome', 'key_reused') END;
        CONTINUE;
      END IF;
    END IF;

    IF op IN ('capture', 'void') THEN
      SELECT * INTO h FROM holds WHERE key = c->>'hold' FOR UPDATE;
      IF NOT FOUND THEN
        outcomes := outcomes || jsonb_build_object('outcome', 'hold_unknown'); CONTINUE;
      END IF;
      IF h.status <> 'open' OR (op = 'capture' AND h.expires_at <= moment) THEN
        outcomes := outcomes || CASE WHEN op = 'void' AND h.status <> 'captured'
          THEN jsonb_build_object('outcome', 'replayed', 'id', h.id, 'at', h.updated_at)
          ELSE jsonb_build_object('outcome', 'hold_closed', 'status',
                 CASE WHEN h.status = 'open' THEN 'expired' ELSE h.status END) END;
        CONTINUE;
      END IF;
    END IF;

    IF op = 'authorise' THEN
      SELECT * INTO h FROM holds WHERE key = c->>'key';
      IF FOUND THEN
        outcomes := outcomes || CASE WHEN h.digest = dig
          THEN jsonb_build_object('outcome', 'replayed', 'id', h.id, 'at', h.created_at)
          ELSE jsonb_build_object('outcome', 'key_reused') END;
        CONTINUE;
      END IF;
      SELECT * INTO a FROM accounts
       WHERE kind = c->>'kind' AND owner = c->>'owner' AND currency = c->>'currency' FOR UPDATE;
      IF NOT FOUND OR a.balance - a.held - (c->>'amount')::bigint < a.floor THEN
        outcomes := outcomes || jsonb_build_object('outcome', 'insufficient_funds',
          'available', CASE WHEN a.id IS NULL THEN 0 ELSE a.balance - a.held END);
        CONTINUE;
      END IF;
      tid := uuid7();
      UPDATE accounts SET held = held + (c->>'amount')::bigint WHERE id = a.id;
      INSERT INTO holds (id, key, digest, account_id, amount, status, expires_at, created_at, updated_at)
        VALUES (tid, c->>'key', dig, a.id, (c->>'amount')::bigint, 'open',
                (c->>'expiresAt')::timestamptz, moment, moment);
      outcomes := outcomes || jsonb_build_object('outcome', 'posted', 'id', tid, 'at', moment);
      CONTINUE;
    END IF;

    IF op = 'void' THEN
      UPDATE accounts SET held = held - (h.amount - h.captured) WHERE id = h.account_id;
      UPDATE holds SET status = 'voided', updated_at = moment WHERE id = h.id;
      outcomes := outcomes || jsonb_build_object('outcome', 'posted', 'id', h.id, 'at', moment);
      CONTINUE;
    END IF;

    -- A transfer from here on; a capture is one between the hold's account and \`to\`, with its part of the hold released.
    legs := c->'legs';
    IF op = 'capture' THEN
      rest := h.amount - h.captured;
      IF (c->>'amount')::bigint > rest THEN
        outcomes := outcomes || jsonb_build_object('outcome', 'hold_exceeded', 'available', rest); CONTINUE;
      END IF;
      released := (c->>'amount')::bigint;
      SELECT * INTO a FROM accounts WHERE id = h.account_id;
      legs := jsonb_build_array(
        jsonb_build_object('kind', a.kind, 'owner', a.owner, 'currency', a.currency, 'amount', -released),
        jsonb_build_object('kind', c->'to'->>'kind', 'owner', c->'to'->>'owner', 'currency', a.currency,
                           'amount', released));
    END IF;

    SELECT count(*), count(DISTINCT (l->>'kind', l->>'owner', l->>'currency'))::bigint INTO n, total
      FROM jsonb_array_elements(legs) l;
    IF n < 2 OR total <> n OR EXISTS (SELECT 1 FROM jsonb_array_elements(legs) l
         GROUP BY l->>'currency' HAVING sum((l->>'amount')::bigint) <> 0) THEN
      outcomes := outcomes || jsonb_build_object('outcome', 'unbalanced'); CONTINUE;
    END IF;

    -- Decide before anything is written. Rows are locked in the order of their ids.
    PERFORM 1 FROM accounts x JOIN jsonb_array_elements(legs) l
        ON x.kind = l->>'kind' AND x.owner = l->>'owner' AND x.currency = l->>'currency'
      ORDER BY x.id FOR UPDATE OF x;
    FOR leg IN SELECT value FROM jsonb_array_elements(legs) LOOP
      SELECT * INTO a FROM accounts
       WHERE kind = leg->>'kind' AND owner = leg->>'owner' AND currency = leg->>'currency';
      opened := FOUND;
      total := coalesce(a.balance, 0) + (leg->>'amount')::bigint;
      IF (leg->>'amount')::bigint < 0 AND leg->>'kind' NOT IN ('clearing', 'fees')
         AND (NOT opened OR total - a.held + (CASE WHEN a.id = h.account_id THEN released ELSE 0 END) < a.floor) THEN
        outcome := jsonb_build_object('outcome', 'insufficient_funds',
          'available', CASE WHEN opened THEN a.balance - a.held ELSE 0 END);
        EXIT;
      END IF;
      IF abs(total) > 9007199254740991 THEN
        outcome := jsonb_build_object('outcome', 'balance_limit'); EXIT;
      END IF;
    END LOOP;
    IF outcome IS NOT NULL THEN outcomes := outcomes || outcome; CONTINUE; END IF;

    ids := '{}'; amounts := '{}'; afters := '{}';
    FOR leg IN SELECT value FROM jsonb_array_elements(legs) LOOP
      INSERT INTO accounts (id, kind, owner, currency, floor, created_at)
        VALUES (uuid7(), leg->>'kind', leg->>'owner', leg->>'currency',
                CASE WHEN leg->>'kind' IN ('clearing', 'fees') THEN NULL ELSE 0 END, moment)
        ON CONFLICT (kind, owner, currency) DO NOTHING;
      UPDATE accounts SET balance = balance + (leg->>'amount')::bigint,
             held = held - CASE WHEN id = h.account_id THEN released ELSE 0 END
       WHERE kind = leg->>'kind' AND owner = leg->>'owner' AND currency = leg->>'currency'
       RETURNING * INTO a;
      ids := ids || a.id; amounts := amounts || (leg->>'amount')::bigint; afters := afters || a.balance;
    END LOOP;
    tid := uuid7();
    INSERT INTO transfers (id, key, digest, kind, memo, reference, created_at)
      VALUES (tid, c->>'key', dig, c->>'kind', c->>'memo', coalesce(c->'reference', '{}'), moment);
    INSERT INTO entries (account_id, created_at, id, transfer_id, amount, balance_after)
      SELECT x.account_id, moment, uuid7(), tid, x.amount, x.after
        FROM unnest(ids, amounts, afters) AS x (account_id, amount, after);
    IF op = 'capture' THEN
      UPDATE holds SET captured = captured + released, updated_at = moment,
             status = CASE WHEN captured + released = amount THEN 'captured' ELSE 'open' END
       WHERE id = h.id;
    END IF;
    outcomes := outcomes || jsonb_build_object('outcome', 'posted', 'id', tid, 'at', moment);
  END LOOP;
  RETURN outcomes;
END $fn$`

/**
 * The optimistic path, for a batch of transfers that all succeed, which is nearly every batch: one statement opens what is
 * credited for the first time, writes transfers and entries and moves balances. Debits are held against the floor without
 * counting the batch's own credits, so that any order of its transfers would have been allowed. A count that differs from
 * what was expected (a key posted before, money missing, an unknown sender) undoes the block, and the exact path decides.
 */
const optimisticPath = `
CREATE FUNCTION wallet.post_all(commands jsonb, moment timestamptz) RETURNS uuid[]
LANGUAGE plpgsql SET search_path = wallet, pg_temp AS $fn$
DECLARE transfers_wanted integer; legs_wanted integer; accounts_wanted integer; posted integer; entered integer;
  moved integer; unbalanced integer; ids uuid[];
BEGIN
  INSERT INTO accounts (id, kind, owner, currency, floor, created_at)
  SELECT uuid7(), n.kind, n.owner, n.currency, CASE WHEN n.kind IN ('clearing', 'fees') THEN NULL ELSE 0 END, moment
    FROM (SELECT DISTINCT l->>'kind' AS kind, l->>'owner' AS owner, l->>'currency' AS currency
            FROM jsonb_array_elements(commands) c, jsonb_array_elements(c->'legs') l
           WHERE (l->>'amount')::bigint > 0 OR l->>'kind' IN ('clearing', 'fees')) n
   WHERE NOT EXISTS (SELECT 1 FROM accounts a
                      WHERE a.kind = n.kind AND a.owner = n.owner AND a.currency = n.currency);

  WITH c AS MATERIALIZED (
    SELECT uuid7() AS id, ord, value->>'key' AS key, value->>'kind' AS kind, value->>'memo' AS memo, value->'legs' AS legs,
           coalesce(value->'reference', '{}') AS reference,
           coalesce(decode(value->>'digest', 'hex'),
                    sha256(convert_to((value - 'reference' - 'expiresAt')::text, 'UTF8'))) AS digest
      FROM jsonb_array_elements(commands) WITH ORDINALITY AS x (value, ord)
  ), raw AS MATERIALIZED (
    SELECT c.id, c.ord, n, l->>'kind' AS kind, l->>'owner' AS owner, l->>'currency' AS currency,
           (l->>'amount')::bigint AS amount
      FROM c, jsonb_array_elements(c.legs) WITH ORDINALITY AS y (l, n)
  ), legs AS MATERIALIZED (
    SELECT raw.id, raw.ord, raw.n, raw.amount, a.id AS account_id
      FROM raw JOIN accounts a ON a.kind = raw.kind AND a.owner = raw.owner AND a.currency = raw.currency
  ), per_account AS (
    SELECT account_id, sum(amount) AS delta, sum(least(amount, 0)) AS debits, sum(greatest(amount, 0)) AS credits
      FROM legs GROUP BY account_id
  ), t AS (
    INSERT INTO transfers (id, key, digest, kind, memo, reference, created_at)
    SELECT id, key, digest, kind, memo, reference, moment FROM c ORDER BY ord
    ON CONFLICT (key) DO NOTHING RETURNING 1
  ), u AS (
    UPDATE accounts a SET balance = a.balance + p.delta FROM per_account p
     WHERE a.id = p.account_id AND (a.floor IS NULL OR a.balance - a.held + p.debits >= a.floor)
       AND a.balance + p.debits >= -9007199254740991 AND a.balance + p.credits <= 9007199254740991
    RETURNING a.id, a.balance - p.delta AS before
  ), e AS (
    INSERT INTO entries (account_id, created_at, id, transfer_id, amount, balance_after)
    SELECT l.account_id, moment, uuid7(), l.id, l.amount,
           u.before + sum(l.amount) OVER (PARTITION BY l.account_id ORDER BY l.ord, l.n)
      FROM legs l JOIN u ON u.id = l.account_id ORDER BY l.ord, l.n
    RETURNING 1
  )
  SELECT (SELECT count(*) FROM c), (SELECT count(*) FROM raw), (SELECT count(*) FROM per_account),
         (SELECT count(*) FROM t), (SELECT count(*) FROM e), (SELECT count(*) FROM u),
         (SELECT count(*) FROM (SELECT 1 FROM raw GROUP BY ord, currency
                                HAVING sum(amount) <> 0 OR count(*) < 2
                                    OR count(*) <> count(DISTINCT (kind, owner))) b),
         (SELECT array_agg(id ORDER BY ord) FROM c)
    INTO transfers_wanted, legs_wanted, accounts_wanted, posted, entered, moved, unbalanced, ids;
  IF posted <> transfers_wanted OR entered <> legs_wanted OR moved <> accounts_wanted OR unbalanced > 0 THEN
    RAISE EXCEPTION 'not all of this batch can be posted' USING ERRCODE = 'MN001';
  END IF;
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
    EXCEPTION WHEN SQLSTATE 'MN001' OR foreign_key_violation OR check_violation
              OR numeric_value_out_of_range THEN
      -- The exact path says which command it was.
    END;
  END IF;
  RETURN jsonb_build_object('outcomes', post_exact(commands, moment));
END $fn$`

export const postFunctions = [exactPath, optimisticPath, post]
