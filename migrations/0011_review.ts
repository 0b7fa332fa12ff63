import { statements } from "./statements.ts"

/**
 * Who may decide what. The worker decides what it verifies, in its own name, and nothing that waits for a person or for a
 * slot; the API writes a reviewer's decision, and never one on a reviewer's own submission. A video process that was taken
 * over holds the worker's role, so these rules stand here and not only in its code.
 */
const verdicts = [
  `CREATE INDEX submissions_in_review ON video.submissions (status, created_at, id) WHERE status <> 'reserving'`,
  `ALTER TABLE video.submissions
     ADD CONSTRAINT decided_by_whom CHECK (decided_by = 'worker'
       OR decided_by ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'),
     ADD CONSTRAINT decided_by_another CHECK (decided_by <> user_id::text)`,
  `CREATE FUNCTION video.keep_to_role() RETURNS trigger LANGUAGE plpgsql AS $$
   BEGIN
     IF current_user = 'midnight_video_worker' THEN
       IF OLD.status NOT IN ('queued', 'verifying', 'failed') OR (NEW.verdict IS NOT NULL AND OLD.status = 'queued') THEN
         RAISE EXCEPTION 'the worker decides what it verifies, and nothing else' USING ERRCODE = 'insufficient_privilege';
       END IF;
       IF NEW.decided_by <> 'worker' THEN
         RAISE EXCEPTION 'the worker decides in its own name' USING ERRCODE = 'insufficient_privilege';
       END IF;
     ELSIF current_user = 'midnight_video_api' AND NEW.verdict IS NOT NULL AND NEW.decided_by = 'worker' THEN
       RAISE EXCEPTION 'only the worker decides in the name of the worker' USING ERRCODE = 'insufficient_privilege';
     END IF;
     RETURN NEW;
   END $$`,
  `CREATE TRIGGER kept_to_role BEFORE UPDATE ON video.submissions FOR EACH ROW EXECUTE FUNCTION video.keep_to_role()`
]

/**
 * A verdict on a campaign's submission and the command that settles it are one transaction: neither comes without the
 * other. What the worker offers is a fresh command whatever it says, or a hidden one would stand in the real one's place.
 */
const settlements = [
  `CREATE FUNCTION video.verdict_is_settled() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
     SET search_path = pg_catalog, pg_temp AS $$
   BEGIN
     IF NOT EXISTS (SELECT FROM queue.settlement_commands
                     WHERE id = NEW.id::text AND queue_name = 'settlement_commands') THEN
       RAISE EXCEPTION 'a verdict comes with its settlement' USING ERRCODE = 'restrict_violation';
     END IF;
     RETURN NULL;
   END $$`,
  `REVOKE EXECUTE ON FUNCTION video.verdict_is_settled() FROM PUBLIC`,
  `CREATE CONSTRAINT TRIGGER verdict_settled AFTER UPDATE ON video.submissions DEFERRABLE INITIALLY DEFERRED
     FOR EACH ROW WHEN (OLD.verdict IS NULL AND NEW.verdict IS NOT NULL AND NEW.campaign_id IS NOT NULL)
     EXECUTE FUNCTION video.verdict_is_settled()`,
  `CREATE FUNCTION video.settlement_of_verdict() RETURNS trigger LANGUAGE plpgsql AS $$
   BEGIN
     IF NEW.queue_name <> 'settlement_commands' OR NEW.element::jsonb ->> 'submissionId' IS DISTINCT FROM NEW.id::text
        OR NOT EXISTS (SELECT FROM video.submissions s
                        WHERE s.id = NEW.id::uuid AND s.verdict IS NOT NULL AND s.campaign_id IS NOT NULL) THEN
       RAISE EXCEPTION 'a settlement is of a verdict' USING ERRCODE = 'insufficient_privilege';
     END IF;
     NEW.state := 'pending';
     NEW.attempts := 0;
     NEW.acquired_at := NULL;
     NEW.acquired_by := NULL;
     NEW.visible_at := now() AT TIME ZONE 'UTC';
     RETURN NEW;
   END $$`,
  `CREATE TRIGGER of_verdict BEFORE INSERT ON queue.settlement_commands FOR EACH ROW
     WHEN (current_user = 'midnight_video_worker') EXECUTE FUNCTION video.settlement_of_verdict()`,
  // A reviewer's decision offers its settlement from the API.
  `GRANT SELECT, INSERT ON queue.settlement_commands TO midnight_video_api`,
  `GRANT USAGE ON SEQUENCE queue.settlement_commands_sequence_seq TO midnight_video_api`,
  `GRANT SELECT, UPDATE ON queue.settlement_commands_migrations TO midnight_video_api`
]

const queues = ["payment_commands", "settlement_commands", "verification_commands"]

/** Dead letters in the order in which they died, and what is long done in the order in which it is purged. */
const letters = [
  ...queues.map((table) => `CREATE INDEX ${table}_ended ON queue.${table} (state, updated_at, sequence)`),
  `CREATE TABLE queue.requeues (
     id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
     queue_name text NOT NULL,
     command_id text NOT NULL,
     requeued_by text NOT NULL,
     last_failure text,
     requeued_at timestamptz NOT NULL DEFAULT now()
   )`,
  `GRANT INSERT ON queue.requeues TO midnight_payments, midnight_rewards, midnight_video_api`,
  `GRANT UPDATE (state, attempts, visible_at, acquired_at, acquired_by, updated_at)
     ON queue.verification_commands TO midnight_video_api`
]

export const review = statements([...verdicts, ...settlements, ...letters])
