/**
 * The exact path: decides the commands of a batch one by one, in their order, and answers one outcome for each; a command
 * that is refused leaves no trace and never fails its neighbours.
 *
 *   transfer  {op, key, digest?, kind, memo?, reference?, legs: [{kind, owner, currency, amount}]}   sum to zero
 *   authorise {op, key, kind, owner, currency, amount, expiresAt?}                          a hold on that account
 *   capture   {op, key, kind, hold, amount, memo?, reference?, to: {kind, owner}}           from the hold's account
 *   void      {op, hold}                                                                    releases what is left
 *   reverse   {op, key, transfer, amount?, memo?, reference?}    gives back a transfer, or a part of one between two
 *
 * `digest` is what a repetition of the key must bring again; without one it is that of the command itself.
 */
export const exactPath = `
CREATE FUNCTION wallet.post_exact(commands jsonb, moment timestamptz) RETURNS jsonb
LANGUAGE plpgsql SET search_path = wallet, pg_temp AS $fn$
DECLARE
  c jsonb; leg jsonb; outcomes jsonb := '[]'; outcome jsonb;
  op text; dig bytea; t transfers; h holds; a accounts;
  tid uuid; legs jsonb; total bigint; n integer; opened boolean;
  ids uuid[]; amounts bigint[]; afters bigint[]; rest bigint; released bigint; original uuid;
BEGIN
  FOR c IN SELECT value FROM jsonb_array_elements(commands) LOOP
    op := c->>'op';
    dig := coalesce(decode(c->>'digest', 'hex'), sha256(convert_to((c - 'reference' - 'expiresAt')::text, 'UTF8')));
    outcome := NULL; released := 0; h := NULL; original := NULL;

    IF op IN ('transfer', 'capture', 'reverse') THEN
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

    IF op = 'reverse' THEN
      SELECT * INTO t FROM transfers WHERE id = (c->>'transfer')::uuid;
      IF NOT FOUND OR t.kind = 'reversal' THEN
        outcomes := outcomes || jsonb_build_object('outcome', 'transfer_unknown'); CONTINUE;
      END IF;
      SELECT sum(e.amount) FILTER (WHERE e.amount > 0), count(*) INTO total, n FROM entries e WHERE e.transfer_id = t.id;
      SELECT coalesce(sum(e.amount), 0) INTO rest FROM transfers r JOIN entries e ON e.transfer_id = r.id AND e.amount > 0
       WHERE r.reverses = t.id;
      rest := total - rest;
      released := coalesce((c->>'amount')::bigint, rest);
      -- A part of a transfer between more than two accounts has no one meaning: such a transfer is reversed as a whole.
      IF released > rest OR rest = 0 OR (n > 2 AND released <> total) THEN
        outcomes := outcomes || jsonb_build_object('outcome', 'reversal_exceeded', 'available', rest); CONTINUE;
      END IF;
      SELECT jsonb_agg(jsonb_build_object('kind', a2.kind, 'owner', a2.owner, 'currency', a2.currency, 'amount',
               CASE WHEN n > 2 THEN -e.amount ELSE -sign(e.amount)::bigint * released END)) INTO legs
        FROM entries e JOIN accounts a2 ON a2.id = e.account_id WHERE e.transfer_id = t.id;
      original := t.id; released := 0;
    END IF;

    -- A transfer from here on; a capture is one between the hold's account and \`to\`, with its part of the hold released.
    IF op = 'transfer' THEN legs := c->'legs'; END IF;
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
    INSERT INTO transfers (id, key, digest, kind, memo, reference, reverses, created_at)
      VALUES (tid, c->>'key', dig, CASE op WHEN 'reverse' THEN 'reversal' ELSE c->>'kind' END, c->>'memo',
              coalesce(c->'reference', '{}'), original, moment);
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
