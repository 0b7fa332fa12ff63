-- Ten million entries as a year of business would leave them: 5,000 pairs of members who paid one another in turns. Every
-- balance, every running balance and every sum is as if `wallet.post` had written it; that alone would take an hour.
ALTER TABLE wallet.transfers DISABLE TRIGGER USER;

ALTER TABLE wallet.entries DISABLE TRIGGER USER;

-- The openings come before everything else.
UPDATE wallet.transfers SET created_at = created_at - interval '1 year';

UPDATE wallet.entries SET created_at = created_at - interval '1 year';

DROP INDEX wallet.entries_transfer;

ALTER TABLE wallet.entries DROP CONSTRAINT entries_pkey;

INSERT INTO wallet.transfers (id, key, digest, kind, created_at)
SELECT ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'bench:growth:' || n, sha256(int8send(n)), 'transfer',
       now() - interval '360 days' + n * interval '6 seconds'
  FROM generate_series(0, 4999999) n;

CREATE UNLOGGED TABLE public.member AS
SELECT row_number() OVER (ORDER BY owner) - 1 AS m, id FROM wallet.accounts WHERE kind = 'wallet';

CREATE INDEX ON public.member (m);

INSERT INTO wallet.entries (account_id, created_at, id, transfer_id, amount, balance_after)
SELECT a.id, now() - interval '360 days' + n * interval '6 seconds', gen_random_uuid(),
       ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, sign,
       1000000000 + CASE WHEN (n / 5000) % 2 = 0 THEN sign ELSE 0 END
  FROM generate_series(0, 4999999) n
 CROSS JOIN (VALUES (0, -1), (1, 1)) AS payer (first, sign)
  JOIN public.member a ON a.m = 2 * (n % 5000) + (first + n / 5000) % 2;

DROP TABLE public.member;

ALTER TABLE wallet.entries ADD CONSTRAINT entries_pkey PRIMARY KEY (account_id, created_at, seq);

CREATE INDEX entries_transfer ON wallet.entries (transfer_id);

DO $$
DECLARE t record;
BEGIN
  FOR t IN SELECT tgname, tgrelid::regclass AS rel FROM pg_trigger
            WHERE NOT tgisinternal AND tgrelid IN ('wallet.transfers'::regclass, 'wallet.entries'::regclass) LOOP
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', t.rel, t.tgname);
  END LOOP;
END $$;

-- The hash chain begins after what was generated: hashing five million transfers is not what is measured here.
INSERT INTO wallet.chain (n, first_seq, last_seq, transfers, prev, leaves, hash, chained_at)
SELECT 1, 1, max(seq), 1, sha256(''), sha256(''), sha256(''), now() FROM wallet.transfers;

VACUUM (ANALYZE) wallet.transfers;

VACUUM (ANALYZE) wallet.entries;
