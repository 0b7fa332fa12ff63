-- Reconciles what clients were told with what the books say. Shares nothing with the code that posts.
--
--   psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -f test/chaos/reconcile.sql < journal.tsv
--
-- The journal is what `npm run test:chaos` wrote, one line per event: event, key, sender, recipient, amount, detail. The
-- key is the memo of the transfer; the detail of an acknowledgement is the id that the client was given. Ends with an error
-- when anything is broken. The harness runs the same statements over its own connection, without the lines of psql.

CREATE TEMP TABLE journal (
  event text NOT NULL CHECK (event IN ('sent', 'acknowledged', 'refused', 'unexpected')),
  key text NOT NULL,
  sender text NOT NULL,
  recipient text NOT NULL,
  amount bigint NOT NULL,
  detail text NOT NULL
);

\copy journal FROM pstdin

CREATE TEMP TABLE finding (claim text NOT NULL, broken text NOT NULL);

CREATE INDEX ON journal (key);

CREATE TEMP TABLE posted AS
  SELECT t.id, t.memo, t.created_at, count(e.id) AS legs, coalesce(sum(e.amount), 0) AS total,
         min(a.owner) FILTER (WHERE e.amount < 0) AS sender, min(a.owner) FILTER (WHERE e.amount > 0) AS recipient,
         coalesce(sum(e.amount) FILTER (WHERE e.amount > 0), 0) AS amount
    FROM wallet.transfers t
    LEFT JOIN wallet.entries e ON e.transfer_id = t.id
    LEFT JOIN wallet.accounts a ON a.id = e.account_id
   WHERE t.kind = 'transfer'
   GROUP BY t.id;

CREATE INDEX ON posted (memo);

ANALYZE journal;

ANALYZE posted;

INSERT INTO finding
  SELECT 'I4: what was acknowledged exists exactly once, under the id and with the amount that was told',
         j.key || ' acknowledged as ' || j.detail || ' of ' || j.amount || ', found '
           || coalesce(string_agg(p.id || ' of ' || p.amount, ', '), 'nothing')
    FROM (SELECT DISTINCT key, sender, recipient, amount, detail FROM journal WHERE event = 'acknowledged') j
    LEFT JOIN posted p ON p.memo = j.key
   GROUP BY j.key, j.sender, j.recipient, j.amount, j.detail
  HAVING count(p.id) <> 1
      OR bool_or(p.id::text <> j.detail OR p.amount <> j.amount OR p.sender <> j.sender OR p.recipient <> j.recipient
                 OR p.legs <> 2);

INSERT INTO finding
  SELECT 'I5: what was sent and retried exists once at most, and what nobody answered is not there twice',
         j.key || ' exists ' || count(*) || ' times'
    FROM (SELECT DISTINCT key FROM journal) j JOIN posted p ON p.memo = j.key GROUP BY j.key HAVING count(*) > 1;

INSERT INTO finding
  SELECT 'what was refused for want of money does not exist', j.key || ' exists as ' || p.id
    FROM journal j JOIN posted p ON p.memo = j.key WHERE j.event = 'refused';

INSERT INTO finding
  SELECT 'no transfer exists that nobody sent', p.id || ' with memo ' || coalesce(p.memo, '(none)')
    FROM posted p WHERE NOT EXISTS (SELECT 1 FROM journal j WHERE j.key = p.memo);

INSERT INTO finding
  SELECT 'every transfer that was sent had its answer in the end', j.key
    FROM journal j GROUP BY j.key HAVING count(*) FILTER (WHERE j.event <> 'sent') = 0;

INSERT INTO finding
  SELECT 'no client got an answer that it should not get', key || ': ' || detail FROM journal WHERE event = 'unexpected';

INSERT INTO finding
  SELECT 'I1: entries of a transfer are two or more and sum to zero per currency',
         'transfer ' || t.id || ': ' || count(e.id) || ' entries, sum ' || coalesce(sum(e.amount), 0)
    FROM wallet.transfers t LEFT JOIN wallet.entries e ON e.transfer_id = t.id
    LEFT JOIN wallet.accounts a ON a.id = e.account_id
   GROUP BY t.id, a.currency HAVING coalesce(sum(e.amount), 0) <> 0 OR count(e.id) < 2;

INSERT INTO finding
  SELECT 'I1: every entry belongs to a transfer and an account', 'entry ' || e.id
    FROM wallet.entries e
   WHERE NOT EXISTS (SELECT 1 FROM wallet.transfers t WHERE t.id = e.transfer_id)
      OR NOT EXISTS (SELECT 1 FROM wallet.accounts a WHERE a.id = e.account_id);

INSERT INTO finding
  SELECT 'an entry is found under the kind of its transfer', 'entry ' || e.id || ': ' || coalesce(e.kind, 'none')
    FROM wallet.entries e JOIN wallet.transfers t ON t.id = e.transfer_id
   WHERE coalesce(e.kind, 'transfer') <> t.kind;

INSERT INTO finding
  SELECT 'I2: balance is the sum of entries, held the sum of open holds',
         'account ' || a.id || ': balance ' || a.balance || ' against ' || coalesce(e.total, 0)
           || ', held ' || a.held || ' against ' || coalesce(h.total, 0)
    FROM wallet.accounts a
    LEFT JOIN (SELECT account_id, sum(amount) AS total FROM wallet.entries GROUP BY 1) e ON e.account_id = a.id
    LEFT JOIN (SELECT account_id, sum(amount - captured) AS total FROM wallet.holds WHERE status = 'open' GROUP BY 1) h
      ON h.account_id = a.id
   WHERE a.balance <> coalesce(e.total, 0) OR a.held <> coalesce(h.total, 0);

INSERT INTO finding
  SELECT 'I3: available is at or above the floor', 'account ' || id || ': ' || (balance::numeric - held)
    FROM wallet.accounts WHERE balance::numeric - held < floor OR (floor IS NULL AND kind NOT IN ('clearing', 'fees'));

INSERT INTO finding
  SELECT 'I3: no entry left its account below zero', 'entry ' || e.id || ': ' || e.balance_after
    FROM wallet.entries e JOIN wallet.accounts a ON a.id = e.account_id
   WHERE a.kind NOT IN ('clearing', 'fees') AND e.balance_after < 0;

INSERT INTO finding
  SELECT 'I4: a key was posted once', key || ': ' || count(*) FROM wallet.transfers GROUP BY key HAVING count(*) > 1;

INSERT INTO finding
  SELECT 'I6: all accounts of a currency hold zero together', currency || ': ' || sum(balance)
    FROM wallet.accounts GROUP BY currency HAVING sum(balance) <> 0;

INSERT INTO finding
  SELECT 'every balance after an entry is the one before plus its amount',
         'entry ' || id || ': ' || balance_after || ' after ' || before || ' and ' || amount
    FROM (SELECT *, coalesce(lag(balance_after) OVER (PARTITION BY account_id ORDER BY created_at, seq), 0) AS before
            FROM wallet.entries) e
   WHERE balance_after <> before::numeric + amount;

INSERT INTO finding
  SELECT 'what was held after a change of a hold is the sum of the changes until then', 'account ' || account_id || ': ' || held_after || ' at ' || at
    FROM (SELECT *, sum(change) OVER (PARTITION BY account_id ORDER BY at, seq) AS total FROM wallet.hold_changes) c
   WHERE held_after <> total;

INSERT INTO finding
  SELECT 'the changes of a hold are what is left of it, and those of an account what it holds',
         'hold ' || h.id || ': ' || h.status || ', ' || h.captured || ' of ' || h.amount
    FROM wallet.holds h
   WHERE (SELECT coalesce(sum(change), 0) FROM wallet.hold_changes c WHERE c.hold_id = h.id AND c.account_id = h.account_id)
         <> CASE h.status WHEN 'open' THEN h.amount - h.captured ELSE 0 END
  UNION ALL
  SELECT 'the changes of a hold are what is left of it, and those of an account what it holds', 'account ' || a.id || ': ' || a.held
    FROM wallet.accounts a
   WHERE a.held <> coalesce((SELECT held_after FROM wallet.hold_changes c WHERE c.account_id = a.id
                              ORDER BY at DESC, seq DESC LIMIT 1), 0);

INSERT INTO finding
  SELECT 'no transfer is given back more than it moved, or to anybody else',
         'transfer ' || coalesce(r.reverses::text, 'without a name') || ': ' || r.back || ' back to account ' || r.account_id || ' of ' || coalesce(o.moved, 0)
    FROM (SELECT t.reverses, e.account_id, sum(e.amount) AS back
            FROM wallet.transfers t JOIN wallet.entries e ON e.transfer_id = t.id
           WHERE t.kind = 'reversal' OR t.reverses IS NOT NULL GROUP BY 1, 2) r
    LEFT JOIN (SELECT transfer_id, account_id, sum(amount) AS moved FROM wallet.entries GROUP BY 1, 2) o
      ON o.transfer_id = r.reverses AND o.account_id = r.account_id
   WHERE o.moved IS NULL OR sign(o.moved) = sign(r.back) OR abs(r.back) > abs(o.moved);

-- The leaf of a transfer, from the written form of the chain and not by the ledger's own function; `sealed` is the form of
-- links that have a seal, which are older than migration 0025.
CREATE TEMP TABLE leaf AS
  SELECT t.seq,
         sha256(convert_to(concat_ws('|', t.seq, t.id, coalesce(t.reverses::text, ''),
           trunc(extract(epoch FROM t.created_at) * 1000000), encode(t.digest, 'hex'), length(t.key), length(t.kind),
           coalesce(length(t.memo), -1), coalesce(e.written, ''), t.key || t.kind || coalesce(t.memo, ''), t.reference),
           'UTF8')) AS hash,
         sha256(convert_to(concat_ws('|', t.seq, t.id, t.key, encode(t.digest, 'hex'), t.kind, coalesce('m' || t.memo, ''),
           t.reference, trunc(extract(epoch FROM t.created_at) * 1000000), e.written), 'UTF8')) AS sealed
    FROM wallet.transfers t
    LEFT JOIN (
      SELECT transfer_id, string_agg(concat_ws(',', seq, id, account_id, amount, balance_after,
               trunc(extract(epoch FROM created_at) * 1000000)), ';' ORDER BY seq) AS written
        FROM wallet.entries GROUP BY transfer_id
    ) e ON e.transfer_id = t.id;

CREATE UNIQUE INDEX ON leaf (seq);

ANALYZE leaf;

-- Each link with the one before it; before the first one stands nothing, and its range begins with the lowest number.
CREATE TEMP TABLE link AS
  SELECT *, lag(n, 1, 0::bigint) OVER w AS n_before, lag(last_seq, 1, -9223372036854775808) OVER w AS seq_before,
         lag(hash, 1, decode(repeat('00', 32), 'hex')) OVER w AS hash_before,
         lag(seal, 1, decode(repeat('00', 32), 'hex')) OVER w AS seal_before,
         sha256(convert_to(concat_ws('|', n, first_seq, last_seq, transfers,
           trunc(extract(epoch FROM chained_at) * 1000000)), 'UTF8')) AS numbers
    FROM wallet.chain WINDOW w AS (ORDER BY n);

INSERT INTO finding
  SELECT 'I7: the chain has no gap and leaves no transfer out',
         'link ' || n || ' after ' || n_before || ': ' || transfers || ' transfers from ' || first_seq || ' to ' || last_seq
           || ' after ' || seq_before || ', there are ' || l.there || ' from ' || l.first || ' to ' || l.last
    FROM link c CROSS JOIN LATERAL (SELECT count(*) AS there, coalesce(min(seq), 0) AS first, coalesce(max(seq), 0) AS last
                                      FROM leaf l WHERE l.seq > c.seq_before AND l.seq <= c.last_seq) l
   WHERE n <> n_before::numeric + 1 OR first_seq <= seq_before OR transfers <> l.there OR first_seq <> l.first
      OR last_seq <> l.last;

INSERT INTO finding
  SELECT 'I7: what was acknowledged more than ten seconds ago is in the chain', p.id || ' of ' || p.created_at
    FROM posted p JOIN wallet.transfers t ON t.id = p.id
   WHERE p.created_at < now() - interval '10 seconds'
     AND t.seq > coalesce((SELECT max(last_seq) FROM wallet.chain), 0)
     AND EXISTS (SELECT 1 FROM journal j WHERE j.key = p.memo AND j.event = 'acknowledged');

INSERT INTO finding
  SELECT 'I8: the hash chain verifies', 'link ' || n
    FROM link c
   WHERE CASE WHEN seal IS NULL
         THEN prev <> coalesce(seal_before, hash_before) OR hash <> sha256(prev || numbers || leaves) OR seal_leaves IS NOT NULL
         ELSE prev <> hash_before OR hash <> sha256(prev || leaves) END
      OR leaves IS DISTINCT FROM (SELECT string_agg(CASE WHEN c.seal IS NULL THEN l.hash ELSE l.sealed END, ''::bytea ORDER BY l.seq)
                                    FROM leaf l WHERE l.seq > c.seq_before AND l.seq <= c.last_seq);

INSERT INTO finding
  SELECT 'I8: older links are what was sealed', 'link ' || n
    FROM link c
   WHERE seal IS NOT NULL
     AND (seal IS DISTINCT FROM sha256(seal_before || numbers || seal_leaves || hash)
       OR seal_leaves IS DISTINCT FROM (SELECT string_agg(l.hash, ''::bytea ORDER BY l.seq)
                                          FROM leaf l WHERE l.seq > c.seq_before AND l.seq <= c.last_seq));

SELECT claim, count(*)::int AS times, (array_agg(broken ORDER BY broken))[1:5] AS first FROM finding GROUP BY claim ORDER BY claim;

DO $$
BEGIN
  IF EXISTS (SELECT 1 FROM finding) THEN RAISE EXCEPTION 'the books and the journal disagree'; END IF;
END $$;
