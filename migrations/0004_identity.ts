import { statements } from "./statements.ts"

/**
 * Accounts, sessions and their refresh tokens, and failed logins. Tokens are stored as SHA-256 only. Times are the
 * application's, so that one clock decides what has expired.
 */
export const identity = statements([
  `CREATE TABLE identity.users (
     id uuid PRIMARY KEY,
     email text NOT NULL UNIQUE
       CHECK (length(email) BETWEEN 3 AND 254 AND email COLLATE "C" !~ '[A-Z[:space:]]' AND position('@' IN email) > 1),
     display_name text CHECK (length(display_name) BETWEEN 1 AND 100),
     roles text[] NOT NULL DEFAULT '{member}'
       CHECK (roles <@ '{member,sponsor,reviewer,admin}' AND cardinality(roles) BETWEEN 1 AND 4),
     password_hash text NOT NULL CHECK (password_hash LIKE '$argon2id$%'),
     email_verified_at timestamptz,
     disabled_at timestamptz,
     created_at timestamptz NOT NULL,
     updated_at timestamptz NOT NULL
   )`,
  `CREATE TABLE identity.sessions (
     id uuid PRIMARY KEY,
     user_id uuid NOT NULL REFERENCES identity.users (id) ON DELETE CASCADE,
     created_at timestamptz NOT NULL,
     last_used_at timestamptz NOT NULL,
     idle_expires_at timestamptz NOT NULL CHECK (idle_expires_at > last_used_at),
     expires_at timestamptz NOT NULL CHECK (expires_at >= idle_expires_at),
     revoked_at timestamptz,
     revoked_because text CHECK (revoked_because IN ('logout', 'reuse', 'owner', 'admin', 'password')),
     CHECK ((revoked_at IS NULL) = (revoked_because IS NULL))
   )`,
  `CREATE INDEX sessions_user ON identity.sessions (user_id)`,
  `CREATE INDEX sessions_idle ON identity.sessions (idle_expires_at)`,
  `CREATE TABLE identity.refresh_tokens (
     hash bytea PRIMARY KEY CHECK (length(hash) = 32),
     session_id uuid NOT NULL REFERENCES identity.sessions (id) ON DELETE CASCADE,
     issued_at timestamptz NOT NULL,
     used_at timestamptz
   )`,
  `CREATE INDEX refresh_tokens_session ON identity.refresh_tokens (session_id)`,
  // A family has one token that was not used yet, and no more.
  `CREATE UNIQUE INDEX refresh_tokens_live ON identity.refresh_tokens (session_id) WHERE used_at IS NULL`,
  // The account is the SHA-256 of its address, which need not belong to anybody: unknown ones are counted alike.
  `CREATE TABLE identity.login_failures (
     id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
     account bytea NOT NULL CHECK (length(account) = 32),
     address text NOT NULL CHECK (length(address) BETWEEN 1 AND 64),
     failed_at timestamptz NOT NULL
   )`,
  `CREATE INDEX login_failures_account ON identity.login_failures (account, failed_at)`,
  `CREATE INDEX login_failures_address ON identity.login_failures (address, failed_at)`,
  `CREATE INDEX login_failures_time ON identity.login_failures (failed_at)`,
  `GRANT SELECT, INSERT, UPDATE ON identity.users, identity.refresh_tokens TO midnight_identity`,
  `GRANT SELECT, INSERT, UPDATE, DELETE ON identity.sessions TO midnight_identity`,
  `GRANT SELECT, INSERT, DELETE ON identity.login_failures TO midnight_identity`
])
