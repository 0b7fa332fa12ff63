import { statements } from "./statements.ts"

/**
 * Who did what to which account. Rows hold ids and no personal data, so that they can stay when an account is erased. They
 * only grow: like the ledger's, their triggers bind the owner too.
 */
export const securityEvents = statements([
  `CREATE TABLE identity.security_events (
     id uuid PRIMARY KEY,
     kind text NOT NULL CHECK (length(kind) BETWEEN 1 AND 64),
     user_id uuid,
     by_id uuid,
     session_id uuid,
     reason text CHECK (length(reason) BETWEEN 1 AND 280),
     roles text[],
     request_id text NOT NULL CHECK (length(request_id) BETWEEN 1 AND 128),
     created_at timestamptz NOT NULL
   )`,
  `CREATE INDEX security_events_user ON identity.security_events (user_id, id DESC)`,
  `CREATE FUNCTION identity.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
   BEGIN
     RAISE EXCEPTION '% of identity.% is refused: the audit log only grows', TG_OP, TG_TABLE_NAME USING ERRCODE = '23001';
   END $$`,
  `CREATE TRIGGER immutable_rows BEFORE UPDATE OR DELETE ON identity.security_events
     FOR EACH ROW EXECUTE FUNCTION identity.refuse_change()`,
  `CREATE TRIGGER immutable_table BEFORE TRUNCATE ON identity.security_events
     FOR EACH STATEMENT EXECUTE FUNCTION identity.refuse_change()`,
  `ALTER TABLE identity.security_events ENABLE ALWAYS TRIGGER immutable_rows`,
  `ALTER TABLE identity.security_events ENABLE ALWAYS TRIGGER immutable_table`,
  `GRANT SELECT, INSERT ON identity.security_events TO midnight_identity`
])
