\set a random(0, 2047)
\set b random(0, 2046)
\if :b >= :a
\set b :b + 1
\endif
\set m random(1, 100)
SELECT transfer(gen_random_uuid()::text, :a, :b, :m);
