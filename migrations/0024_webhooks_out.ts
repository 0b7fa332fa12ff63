import { statements } from "./statements.ts"

/**
 * Events out. What happened is written down by triggers of the tables where it happened, in the transaction that made it
 * so: no change can go without its event, and no event can come without its change. No login role may insert one, so a
 * process that was taken over can announce nothing but what it may do anyway. Nobody listening: nothing is written.
 */
const tables = [
  `CREATE TABLE webhooks.endpoints (
     id uuid PRIMARY KEY,
     user_id uuid NOT NULL,
     slot smallint NOT NULL CHECK (slot BETWEEN 1 AND 10),
     scope text NOT NULL CHECK (scope IN ('own', 'all')),
     url text NOT NULL CHECK (length(url) BETWEEN 8 AND 2048),
     description text CHECK (length(description) BETWEEN 1 AND 280),
     events text[] NOT NULL CHECK (cardinality(events) BETWEEN 1 AND 20),
     status text NOT NULL DEFAULT 'enabled' CHECK (status IN ('enabled', 'disabled')),
     disabled_reason text CHECK (disabled_reason IN ('by_user', 'gone', 'failing', 'owner_gone')),
     secret bytea NOT NULL CHECK (length(secret) BETWEEN 1 AND 512),
     previous_secret bytea CHECK (length(previous_secret) BETWEEN 1 AND 512),
     previous_until timestamptz,
     failing_since timestamptz,
     failures integer NOT NULL DEFAULT 0 CHECK (failures >= 0),
     due_at timestamptz,
     leased_until timestamptz,
     deleted_at timestamptz,
     created_at timestamptz NOT NULL,
     updated_at timestamptz NOT NULL,
     CHECK ((status = 'disabled') = (disabled_reason IS NOT NULL)),
     CHECK ((previous_secret IS NULL) = (previous_until IS NULL)),
     CHECK ((failures = 0) = (failing_since IS NULL))
   )`,
  // Ten places for each owner: two requests at once cannot take one twice.
  `CREATE UNIQUE INDEX endpoints_of_user ON webhooks.endpoints (user_id, slot) WHERE deleted_at IS NULL`,
  `CREATE INDEX endpoints_of_all ON webhooks.endpoints (id)
     WHERE scope = 'all' AND status = 'enabled' AND deleted_at IS NULL`,
  `CREATE INDEX endpoints_due ON webhooks.endpoints (due_at)
     WHERE status = 'enabled' AND deleted_at IS NULL AND failing_since IS NULL`,
  `CREATE INDEX endpoints_failing ON webhooks.endpoints (due_at)
     WHERE status = 'enabled' AND deleted_at IS NULL AND failing_since IS NOT NULL`,
  `CREATE INDEX endpoints_deleted ON webhooks.endpoints (deleted_at) WHERE deleted_at IS NOT NULL`,
  `CREATE TABLE webhooks.events (
     seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
     id text NOT NULL UNIQUE CHECK (length(id) BETWEEN 40 AND 100),
     type text NOT NULL CHECK (type IN (
       'payment.succeeded', 'payment.failed', 'payment.canceled', 'refund.succeeded', 'refund.failed', 'payout.paid',
       'payout.failed', 'payout.canceled', 'reward.paid', 'transfer.received', 'submission.approved',
       'submission.rejected', 'submission.needs_review')),
     user_id uuid NOT NULL,
     body text NOT NULL CHECK (length(body) BETWEEN 2 AND 8192),
     routed_at timestamptz,
     created_at timestamptz NOT NULL DEFAULT now()
   )`,
  `CREATE INDEX events_unrouted ON webhooks.events (seq) WHERE routed_at IS NULL`,
  `CREATE INDEX events_created ON webhooks.events (created_at)`,
  `CREATE TABLE webhooks.deliveries (
     seq bigint NOT NULL REFERENCES webhooks.events ON DELETE CASCADE,
     endpoint_id uuid NOT NULL REFERENCES webhooks.endpoints,
     number bigint GENERATED ALWAYS AS IDENTITY,
     state text NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')),
     attempts smallint NOT NULL DEFAULT 0 CHECK (attempts >= 0),
     log jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(log) = 'array'),
     next_at timestamptz,
     give_up_at timestamptz NOT NULL,
     last_failure text CHECK (length(last_failure) BETWEEN 1 AND 280),
     created_at timestamptz NOT NULL,
     updated_at timestamptz NOT NULL,
     PRIMARY KEY (seq, endpoint_id),
     CHECK ((state = 'pending') = (next_at IS NOT NULL))
   )`,
  `CREATE INDEX deliveries_of_endpoint ON webhooks.deliveries (endpoint_id, seq DESC)`,
  `CREATE INDEX deliveries_due ON webhooks.deliveries (endpoint_id, next_at) WHERE state = 'pending'`,
  `CREATE INDEX deliveries_dead ON webhooks.deliveries (updated_at, number) WHERE state = 'failed'`,
  // How far the ledger's transfers have been followed: one row for good.
  `CREATE TABLE webhooks.followed (seq bigint NOT NULL)`,
  `INSERT INTO webhooks.followed SELECT coalesce(max(seq), 0) FROM wallet.transfers`
]

const iso = (at: string) => `to_char(${at} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`

/** Keeps an event if somebody listens to it. The id is made of what it says, so saying it again is saying it once. */
const publish = `
  CREATE FUNCTION webhooks.publish(kind text, subject uuid, concerns uuid, data json) RETURNS void LANGUAGE plpgsql AS $$
  BEGIN
    IF NOT EXISTS (SELECT FROM webhooks.endpoints WHERE user_id = concerns AND deleted_at IS NULL
                      AND status = 'enabled' AND events && ARRAY[kind, '*'])
       AND NOT EXISTS (SELECT FROM webhooks.endpoints WHERE scope = 'all' AND status = 'enabled'
                          AND deleted_at IS NULL AND events && ARRAY[kind, '*']) THEN
      RETURN;
    END IF;
    INSERT INTO webhooks.events (id, type, user_id, body)
    VALUES ('evt_' || replace(kind, '.', '_') || '_' || subject, kind, concerns,
            json_build_object('type', kind, 'timestamp', ${iso("now()")}, 'data', data)::text)
    ON CONFLICT (id) DO NOTHING;
  END $$`

const trigger = (name: string, publishes: string) =>
  `CREATE FUNCTION webhooks.${name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
     SET search_path = pg_catalog, pg_temp AS $$
   BEGIN
     ${publishes}
     RETURN NULL;
   END $$`

const money = [
  trigger(
    "of_payment",
    `PERFORM webhooks.publish('payment.' || NEW.status, NEW.id, NEW.user_id, json_build_object(
       'id', NEW.id, 'userId', NEW.user_id, 'status', NEW.status, 'amount', NEW.amount, 'currency', NEW.currency,
       'provider', NEW.provider, 'providerReference', NEW.provider_reference, 'createdAt', ${iso("NEW.created_at")}));`
  ),
  `CREATE TRIGGER published AFTER UPDATE OF status ON payments.payments FOR EACH ROW
     WHEN (OLD.status <> NEW.status AND NEW.status IN ('succeeded', 'failed', 'canceled'))
     EXECUTE FUNCTION webhooks.of_payment()`,
  trigger(
    "of_outgoing",
    `IF NEW.kind = 'refund' THEN
       PERFORM webhooks.publish(
         'refund.' || CASE NEW.status WHEN 'done' THEN 'succeeded' ELSE 'failed' END, NEW.id, NEW.user_id,
         json_build_object('id', NEW.id, 'paymentId', NEW.payment_id, 'userId', NEW.user_id, 'amount', NEW.amount,
           'currency', NEW.currency, 'status', CASE NEW.status WHEN 'done' THEN 'succeeded' ELSE 'failed' END,
           'reason', NEW.reason, 'failureReason', NEW.failure_reason, 'createdAt', ${iso("NEW.created_at")}));
     ELSE
       PERFORM webhooks.publish(
         'payout.' || CASE NEW.status WHEN 'done' THEN 'paid' ELSE NEW.status END, NEW.id, NEW.user_id,
         json_build_object('id', NEW.id, 'userId', NEW.user_id, 'amount', NEW.amount, 'currency', NEW.currency,
           'status', CASE NEW.status WHEN 'done' THEN 'paid' ELSE NEW.status END,
           'destination', json_build_object('type', NEW.destination_type, 'last4', NEW.last4),
           'failureReason', NEW.failure_reason, 'createdAt', ${iso("NEW.created_at")}));
     END IF;`
  ),
  // Once the ledger has followed: who hears of a payout that failed finds the money in the wallet again.
  `CREATE TRIGGER published AFTER UPDATE OF settled ON payments.outgoing FOR EACH ROW
     WHEN (NOT OLD.settled AND NEW.settled AND NEW.status IN ('done', 'failed', 'canceled'))
     EXECUTE FUNCTION webhooks.of_outgoing()`,
  trigger(
    "of_slot",
    `PERFORM webhooks.publish('reward.paid', NEW.submission_id, NEW.user_id, json_build_object(
       'submissionId', NEW.submission_id, 'campaignId', NEW.campaign_id, 'userId', NEW.user_id,
       'reward', json_build_object('amount', NEW.reward_amount, 'currency', NEW.currency),
       'transferId', NEW.transfer_id));`
  ),
  `CREATE TRIGGER published AFTER UPDATE OF status ON rewards.slots FOR EACH ROW
     WHEN (OLD.status <> NEW.status AND NEW.status = 'paid') EXECUTE FUNCTION webhooks.of_slot()`
]

const verdicts = [
  trigger(
    "of_submission",
    `PERFORM webhooks.publish('submission.' || NEW.status, NEW.id, NEW.user_id, json_build_object(
       'id', NEW.id, 'userId', NEW.user_id, 'campaignId', NEW.campaign_id, 'videoId', NEW.video_id,
       'status', NEW.status, 'createdAt', ${iso("NEW.created_at")}));`
  ),
  `CREATE TRIGGER published AFTER UPDATE OF status ON video.submissions FOR EACH ROW
     WHEN (OLD.status <> NEW.status AND NEW.status IN ('approved', 'rejected', 'needs_review'))
     EXECUTE FUNCTION webhooks.of_submission()`
]

/**
 * Transfers between members are followed behind the ledger, which is not slowed down by it. Their numbers are given under
 * the ledger's lock, which is held through the commit: a lower one never appears after a higher one. Answers how many it
 * has passed.
 */
const follow = `
  CREATE FUNCTION webhooks.follow_transfers(most integer) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
  DECLARE
    here bigint;
    there bigint;
    passed integer;
  BEGIN
    SELECT seq INTO here FROM webhooks.followed FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN RETURN 0; END IF;
    SELECT max(n.seq), count(*) INTO there, passed
      FROM (SELECT seq FROM wallet.transfers WHERE seq > here ORDER BY seq LIMIT most) n;
    IF there IS NULL THEN RETURN 0; END IF;
    PERFORM webhooks.publish('transfer.received', t.id, receiver.owner::uuid, json_build_object(
              'id', t.id, 'kind', t.kind, 'amount', credit.amount, 'currency', receiver.currency,
              'fromUserId', sender.owner, 'toUserId', receiver.owner, 'memo', t.memo,
              'createdAt', ${iso("t.created_at")}))
       FROM wallet.transfers t
       JOIN wallet.entries credit ON credit.transfer_id = t.id AND credit.amount > 0
       JOIN wallet.accounts receiver ON receiver.id = credit.account_id AND receiver.kind = 'wallet'
       JOIN wallet.entries debit ON debit.transfer_id = t.id AND debit.amount < 0
       JOIN wallet.accounts sender ON sender.id = debit.account_id AND sender.kind = 'wallet'
      WHERE t.seq > here AND t.seq <= there AND t.kind = 'transfer';
    UPDATE webhooks.followed SET seq = there;
    RETURN passed;
  END $$`

const functions = ["publish(text, uuid, uuid, json)", "follow_transfers(integer)"]
  .concat(["of_payment()", "of_outgoing()", "of_slot()", "of_submission()"])

/** `midnight_events` runs the triggers and can never log in; `midnight_webhooks` routes and delivers what they wrote. */
const rights = [
  `GRANT USAGE, CREATE ON SCHEMA webhooks TO midnight_events`,
  ...functions.flatMap((f) => [
    `ALTER FUNCTION webhooks.${f} OWNER TO midnight_events`,
    `REVOKE ALL ON FUNCTION webhooks.${f} FROM PUBLIC`
  ]),
  `REVOKE CREATE ON SCHEMA webhooks FROM midnight_events`,
  `GRANT SELECT, INSERT ON webhooks.events TO midnight_events`,
  `GRANT SELECT ON webhooks.endpoints TO midnight_events`,
  `GRANT SELECT, UPDATE ON webhooks.followed TO midnight_events`,
  `GRANT USAGE ON SCHEMA wallet TO midnight_events`,
  `GRANT SELECT ON wallet.transfers, wallet.entries, wallet.accounts TO midnight_events`,
  `GRANT USAGE ON SCHEMA webhooks, queue TO midnight_webhooks`,
  `GRANT EXECUTE ON FUNCTION webhooks.follow_transfers(integer) TO midnight_webhooks`,
  `GRANT SELECT, DELETE, UPDATE (routed_at) ON webhooks.events TO midnight_webhooks`,
  `GRANT SELECT, INSERT, UPDATE, DELETE ON webhooks.endpoints, webhooks.deliveries TO midnight_webhooks`,
  `GRANT INSERT ON queue.requeues TO midnight_webhooks`
]

const role = (name: string, options: string) =>
  `DO $$ BEGIN
     IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '${name}') THEN CREATE ROLE ${name} ${options}; END IF;
   EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
   END $$`

export const webhooksOut = statements([
  role("midnight_events", "NOLOGIN"),
  `GRANT midnight_events TO CURRENT_USER`,
  role("midnight_webhooks", "LOGIN CONNECTION LIMIT 48"),
  `DO $$ BEGIN EXECUTE format('GRANT CONNECT ON DATABASE %I TO midnight_webhooks', current_database()); END $$`,
  `CREATE SCHEMA webhooks`,
  `ALTER ROLE midnight_webhooks SET search_path = webhooks, queue`,
  ...tables,
  publish,
  ...money,
  ...verdicts,
  follow,
  ...rights
])
