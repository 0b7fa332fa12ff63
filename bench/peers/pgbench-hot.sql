\set a random(0, 2046)
\if :a >= 1024
\set a :a + 1
\endif
\set b 1024
\set m random(1, 100)
\set low least(:a, :b)
\set high greatest(:a, :b)
\set low_delta case when :a < :b then - :m else :m end
\set high_delta - :low_delta
BEGIN;
INSERT INTO transfers (key, from_id, to_id, amount) VALUES (gen_random_uuid()::text, :a, :b, :m) RETURNING id AS t \gset
UPDATE accounts SET balance = balance + :low_delta WHERE id = :low RETURNING balance AS low_after \gset
UPDATE accounts SET balance = balance + :high_delta WHERE id = :high RETURNING balance AS high_after \gset
INSERT INTO entries (transfer_id, account_id, amount, balance_after)
  VALUES (:t, :low, :low_delta, :low_after), (:t, :high, :high_delta, :high_after);
COMMIT;
