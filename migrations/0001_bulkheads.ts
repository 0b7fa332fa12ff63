import { statements } from "./statements.ts"

/**
 * One schema and one login role per bulkhead (video has two). The roles are created without a password, and so cannot
 * log in, until the migrate command sets the passwords derived from DATABASE_ROLES_SECRET. `midnight_ledger` owns the
 * ledger's tables and functions and can never log in: what it owns, no server process can alter.
 */
const roles = [
  ["midnight_identity", "identity", 12],
  ["midnight_wallet", "wallet", 14],
  ["midnight_payments", "payments", 12],
  ["midnight_rewards", "rewards", 12],
  ["midnight_video_api", "video", 8],
  ["midnight_video_worker", "video", 14]
] as const

const role = (name: string, options: string) =>
  `DO $$ BEGIN
     IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '${name}') THEN CREATE ROLE ${name} ${options}; END IF;
   EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
   END $$`

// A connection limit counts over the whole server, and several servers of one database share it: three API processes'
// pools and a migration fit below each.
export const bulkheads = statements([
  role("midnight_ledger", "NOLOGIN"),
  // Handing tables to a role takes membership in it, where the migrating owner is not a superuser.
  `GRANT midnight_ledger TO CURRENT_USER`,
  ...roles.map(([name, , limit]) => role(name, `LOGIN CONNECTION LIMIT ${limit * 4}`)),
  `DO $$ BEGIN EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database()); END $$`,
  `REVOKE ALL ON SCHEMA public FROM PUBLIC`,
  ...["identity", "wallet", "payments", "rewards", "video", "queue", "idempotency"].map((s) => `CREATE SCHEMA ${s}`),
  ...roles.flatMap(([name, schema]) => [
    `DO $$ BEGIN EXECUTE format('GRANT CONNECT ON DATABASE %I TO ${name}', current_database()); END $$`,
    `GRANT USAGE ON SCHEMA ${schema} TO ${name}`,
    `GRANT USAGE ON SCHEMA queue TO ${name}`,
    `GRANT USAGE ON SCHEMA idempotency TO ${name}`,
    `ALTER ROLE ${name} SET search_path = ${schema}, queue`
  ]),
  // Keys of the HTTP perimeter, one table per bulkhead that keeps any, so that a claim is made in the pool of the bulkhead it is for.
  ...([
    ["payments", "midnight_payments"],
    ["rewards", "midnight_rewards"],
    ["video", "midnight_video_api"]
  ] as const).flatMap(([name, owner]) => [
    `CREATE TABLE idempotency.${name} (
       user_id uuid NOT NULL,
       scope text NOT NULL,
       key text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
       operation_id uuid NOT NULL,
       request_hash bytea NOT NULL CHECK (length(request_hash) = 32),
       claimed_until timestamptz NOT NULL,
       status smallint CHECK (status BETWEEN 200 AND 299),
       body text,
       location text,
       created_at timestamptz NOT NULL DEFAULT now(),
       PRIMARY KEY (user_id, scope, key)
     )`,
    `GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency.${name} TO ${owner}`
  ])
])
