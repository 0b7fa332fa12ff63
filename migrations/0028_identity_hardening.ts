import { statements } from "./statements.ts"

/**
 * Where a payout goes (a name, an account number, a telephone number) is needed until the provider was told. It is cleared
 * once the payout has ended, by a trigger, so that no way to an end can forget it; the kind and the last four digits stay.
 * An account is erased only while nothing of its money moves, so an erased one has no destination left.
 */
const destinations = [
  // By what it says: PostgreSQL has named it itself.
  `DO $$ DECLARE old name; BEGIN
     SELECT conname INTO STRICT old FROM pg_constraint
      WHERE conrelid = 'payments.outgoing'::regclass AND contype = 'c'
        AND pg_get_constraintdef(oid) = 'CHECK (((kind = ''payout''::text) = (destination IS NOT NULL)))';
     EXECUTE format('ALTER TABLE payments.outgoing DROP CONSTRAINT %I', old);
     SELECT conname INTO STRICT old FROM pg_constraint
      WHERE conrelid = 'payments.outgoing'::regclass AND contype = 'c'
        AND pg_get_constraintdef(oid) LIKE '%(destination IS NULL) = (last4 IS NULL)%';
     EXECUTE format('ALTER TABLE payments.outgoing DROP CONSTRAINT %I', old);
   END $$`,
  `UPDATE payments.outgoing SET destination = NULL
    WHERE destination IS NOT NULL AND status IN ('done', 'failed', 'canceled', 'refused')`,
  `ALTER TABLE payments.outgoing
     ADD CONSTRAINT outgoing_payout_leads_somewhere CHECK (
       (kind = 'payout') = (last4 IS NOT NULL) AND (last4 IS NULL) = (destination_type IS NULL)),
     ADD CONSTRAINT outgoing_destination_while_needed CHECK (
       (destination IS NOT NULL) = (kind = 'payout' AND status IN ('reserving', 'pending_approval', 'processing')))`,
  `CREATE FUNCTION payments.forget_destination() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
   BEGIN
     NEW.destination := NULL;
     RETURN NEW;
   END $$`,
  `CREATE TRIGGER ended BEFORE UPDATE OF status ON payments.outgoing FOR EACH ROW
     WHEN (NEW.status IN ('done', 'failed', 'canceled', 'refused') AND NEW.destination IS NOT NULL)
     EXECUTE FUNCTION payments.forget_destination()`
]

/**
 * An attempt to log in is counted before it runs, as one that may fail until `runs_until`. Those that look at one limit follow
 * one another by a row each for accounts and addresses, of which there are 256 of either kind: advisory locks could be the ledger's.
 */
const attempts = [
  `ALTER TABLE identity.login_failures ADD COLUMN runs_until timestamptz`,
  `GRANT UPDATE (runs_until) ON identity.login_failures TO midnight_identity`,
  `CREATE TABLE identity.login_turns (slot integer PRIMARY KEY CHECK (slot BETWEEN 0 AND 511))`,
  `GRANT SELECT, INSERT, UPDATE (slot) ON identity.login_turns TO midnight_identity`
]

/** Mail that was given up, to be seen and tried again as other queues' dead letters are. */
const mail = [
  `CREATE INDEX mail_commands_ended ON queue.mail_commands (state, updated_at, sequence)`,
  `GRANT INSERT ON queue.requeues TO midnight_identity`
]

/** Readers follow revocations by the transaction that wrote them: the time of a row is not that of its commit. */
const revocations = [
  `ALTER TABLE identity.revocations ADD COLUMN xid xid8 NOT NULL DEFAULT pg_current_xact_id()`,
  `CREATE INDEX revocations_xid ON identity.revocations (xid)`
]

export const identityHardening = statements([...destinations, ...attempts, ...mail, ...revocations])
