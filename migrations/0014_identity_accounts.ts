import { Effect } from "effect"
import { PersistedQueue } from "effect/persistence"
import { SqlClient } from "effect/sql"
import { statements } from "./statements.ts"

/** The queue of mail: its table is the library's, made as in 0003. Identity both fills and works it. */
const mail = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql.unsafe("SET LOCAL search_path = queue").unprepared
  yield* Effect.scoped(PersistedQueue.makeStoreSql({ tableName: "mail_commands" }))
  yield* statements([
    `GRANT SELECT, INSERT, UPDATE, DELETE ON queue.mail_commands TO midnight_identity`,
    `GRANT USAGE ON SEQUENCE queue.mail_commands_sequence_seq TO midnight_identity`,
    `GRANT SELECT, UPDATE ON queue.mail_commands_migrations TO midnight_identity`,
    `SET LOCAL search_path = public`
  ])
})

/**
 * An erased account keeps its id, which is all that the ledger knows of a person, and nothing else. What a session was
 * opened with is kept for its owner's list and leaves with the session.
 */
const accounts = statements([
  `ALTER TABLE identity.users ADD COLUMN erased_at timestamptz`,
  `ALTER TABLE identity.users ALTER COLUMN email DROP NOT NULL, ALTER COLUMN password_hash DROP NOT NULL`,
  `ALTER TABLE identity.users ADD CONSTRAINT users_erased CHECK (
     (erased_at IS NULL AND email IS NOT NULL AND password_hash IS NOT NULL)
     OR (erased_at IS NOT NULL AND email IS NULL AND password_hash IS NULL AND display_name IS NULL
         AND disabled_at IS NOT NULL))`,
  `ALTER TABLE identity.sessions
     ADD COLUMN user_agent text CHECK (length(user_agent) BETWEEN 1 AND 256),
     ADD COLUMN address text CHECK (length(address) BETWEEN 1 AND 64),
     ADD CONSTRAINT sessions_impersonal CHECK (revoked_at IS NULL OR (user_agent IS NULL AND address IS NULL))`,
  `CREATE INDEX sessions_of_user ON identity.sessions (user_id, id DESC)`,
  `DROP INDEX identity.sessions_user`,
  // Sent by mail, good for one use. The mail is composed by whoever sends it, so only the hash is ever stored.
  `CREATE TABLE identity.one_time_tokens (
     hash bytea PRIMARY KEY CHECK (length(hash) = 32),
     user_id uuid NOT NULL REFERENCES identity.users (id) ON DELETE CASCADE,
     purpose text NOT NULL CHECK (purpose IN ('verify_email', 'reset_password')),
     issued_at timestamptz NOT NULL,
     expires_at timestamptz NOT NULL CHECK (expires_at > issued_at),
     used_at timestamptz
   )`,
  `CREATE INDEX one_time_tokens_user ON identity.one_time_tokens (user_id, purpose, issued_at)`,
  `CREATE INDEX one_time_tokens_issued ON identity.one_time_tokens (issued_at)`,
  `GRANT SELECT, INSERT, UPDATE, DELETE ON identity.one_time_tokens TO midnight_identity`
])

/**
 * What access tokens that are still within their life must no longer do, for every process to read. Triggers write it, so
 * that an operator's UPDATE counts as much as the application's. Its clock is the database's: readers compare with that.
 */
const revocations = statements([
  `CREATE TABLE identity.revocations (
     id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
     at timestamptz NOT NULL DEFAULT clock_timestamp(),
     session_id uuid,
     user_id uuid,
     roles text[],
     CHECK (num_nonnulls(session_id, user_id) = 1 AND (user_id IS NOT NULL OR roles IS NULL))
   )`,
  `CREATE INDEX revocations_at ON identity.revocations (at)`,
  `CREATE FUNCTION identity.note_ended_session() RETURNS trigger LANGUAGE plpgsql AS $$
   BEGIN
     INSERT INTO identity.revocations (session_id) VALUES (NEW.id);
     RETURN NULL;
   END $$`,
  `CREATE TRIGGER ended AFTER UPDATE OF revoked_at ON identity.sessions FOR EACH ROW
     WHEN (OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL)
     EXECUTE FUNCTION identity.note_ended_session()`,
  // No roles: the account may do nothing. Roles: tokens that name others are out of date.
  `CREATE FUNCTION identity.note_standing() RETURNS trigger LANGUAGE plpgsql AS $$
   BEGIN
     INSERT INTO identity.revocations (user_id, roles)
     VALUES (NEW.id, CASE WHEN NEW.disabled_at IS NULL THEN NEW.roles END);
     RETURN NULL;
   END $$`,
  `CREATE TRIGGER standing AFTER UPDATE OF roles, disabled_at ON identity.users FOR EACH ROW
     WHEN (OLD.roles IS DISTINCT FROM NEW.roles OR (OLD.disabled_at IS NULL) <> (NEW.disabled_at IS NULL))
     EXECUTE FUNCTION identity.note_standing()`,
  `GRANT SELECT, INSERT, DELETE ON identity.revocations TO midnight_identity`
])

/** What an account must not leave behind when it is erased: campaigns that only their sponsor can close, and rewards to come. */
const involvement = statements([
  `CREATE INDEX campaigns_open ON rewards.campaigns (sponsor_id) WHERE status <> 'closed'`,
  `CREATE INDEX slots_pending ON rewards.slots (user_id) WHERE status IN ('reserving', 'reserved')`
])

export const identityAccounts = Effect.all([accounts, revocations, involvement, mail], { discard: true })
