import { statements } from "./statements.ts"

/** What a hold sets aside: nothing any more once it has ended. */
const open = (hold: string) => `CASE ${hold}.status WHEN 'open' THEN ${hold}.amount - ${hold}.captured ELSE 0 END`

/**
 * What was held at an instant is one look at an index, as the balance is: every change of a hold has a row here, with what its
 * account held after it. A trigger writes them, so that no way to change a hold can forget it; transfers pay nothing for it.
 * They are written under the ledger's lock, and their time never goes back within an account.
 *
 * Of a hold from before this, the parts captured earlier are not known apart: they count as captured at its last change, and that
 * is not before its beginning though the clock was set back between them.
 */
export const holdChanges = statements([
  // Servers of the release before may be running. Every posting takes this lock first, so no hold is made or ended between what
  // is copied below and the trigger: its end would be noted without its beginning, and never fit. It is kept to the end of the
  // run, so that none waits with locks on the tables which this and the next migration want.
  `SELECT pg_advisory_xact_lock(6148914691236517204)`,
  // In the order in which the whole audit of such a server takes them.
  `LOCK TABLE wallet.entries, wallet.holds IN ACCESS EXCLUSIVE MODE`,
  `CREATE TABLE wallet.hold_changes (
     account_id uuid NOT NULL,
     at timestamptz NOT NULL,
     seq bigint GENERATED ALWAYS AS IDENTITY,
     hold_id uuid NOT NULL,
     change bigint NOT NULL CHECK (change <> 0),
     held_after bigint NOT NULL CHECK (held_after >= 0),
     PRIMARY KEY (account_id, at, seq)
   )`,
  `INSERT INTO wallet.hold_changes (account_id, at, hold_id, change, held_after)
     SELECT account_id, at, id, change, sum(change) OVER (PARTITION BY account_id ORDER BY at, nth, id)
       FROM (SELECT account_id, created_at AS at, 1 AS nth, id, amount AS change FROM wallet.holds
             UNION ALL
             SELECT account_id, greatest(updated_at, created_at), 2, id, (${open("h")}) - amount FROM wallet.holds h
              WHERE status <> 'open' OR captured > 0) c
      ORDER BY account_id, at, nth, id`,
  `CREATE FUNCTION wallet.note_hold() RETURNS trigger LANGUAGE plpgsql SET search_path = wallet, pg_temp AS $$
   DECLARE moved bigint := ${open("NEW")}; last hold_changes;
   BEGIN
     IF TG_OP = 'UPDATE' THEN moved := moved - ${open("OLD")}; END IF;
     IF moved = 0 THEN RETURN NULL; END IF;
     SELECT * INTO last FROM hold_changes c WHERE c.account_id = NEW.account_id ORDER BY c.at DESC, c.seq DESC LIMIT 1;
     INSERT INTO hold_changes (account_id, at, hold_id, change, held_after)
       VALUES (NEW.account_id, greatest(NEW.updated_at, last.at), NEW.id, moved, coalesce(last.held_after, 0) + moved);
     RETURN NULL;
   END $$`,
  `CREATE TRIGGER noted AFTER INSERT OR UPDATE ON wallet.holds FOR EACH ROW EXECUTE FUNCTION wallet.note_hold()`,
  `ALTER TABLE wallet.holds ENABLE ALWAYS TRIGGER noted`,
  `CREATE TRIGGER immutable_rows BEFORE UPDATE OR DELETE ON wallet.hold_changes
     FOR EACH ROW EXECUTE FUNCTION wallet.refuse_change()`,
  `CREATE TRIGGER immutable_table BEFORE TRUNCATE ON wallet.hold_changes
     FOR EACH STATEMENT EXECUTE FUNCTION wallet.refuse_change()`,
  `ALTER TABLE wallet.hold_changes ENABLE ALWAYS TRIGGER immutable_rows`,
  `ALTER TABLE wallet.hold_changes ENABLE ALWAYS TRIGGER immutable_table`,
  // Nothing else read by it.
  `DROP INDEX wallet.holds_ended`,
  `GRANT CREATE ON SCHEMA wallet TO midnight_ledger`,
  `ALTER TABLE wallet.hold_changes OWNER TO midnight_ledger`,
  `ALTER FUNCTION wallet.note_hold() OWNER TO midnight_ledger`,
  `REVOKE CREATE ON SCHEMA wallet FROM midnight_ledger`,
  `REVOKE ALL ON FUNCTION wallet.note_hold() FROM PUBLIC`,
  `GRANT SELECT ON wallet.hold_changes TO midnight_wallet`
])
