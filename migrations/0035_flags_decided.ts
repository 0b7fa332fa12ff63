import { statements } from "./statements.ts"

/**
 * What a person decided about a payment, refund or payout that was flagged. Settled, it is from then on what its provider says
 * that it is: an amount and a currency that can be accepted only where there is a flag, so that no other fault of the app makes
 * a payment agree with what a provider says. Released, it keeps its flag, which keeps it from ever being moved again.
 */
const accepted = (table: string) => [
  `ALTER TABLE payments.${table}
     ADD COLUMN accepted_amount bigint CHECK (accepted_amount BETWEEN 1 AND 1000000000000),
     ADD COLUMN accepted_currency char(3) CHECK (accepted_currency ~ '^[A-Z]{3}$'),
     ADD COLUMN flag_decision text CHECK (flag_decision IN ('settle', 'release')),
     ADD CHECK ((accepted_amount IS NULL) = (accepted_currency IS NULL)),
     ADD CHECK (flag IS NULL OR flag_decision IS DISTINCT FROM 'settle')`,
  `CREATE TRIGGER accepted_where_flagged BEFORE UPDATE OF accepted_amount, accepted_currency ON payments.${table}
     FOR EACH ROW WHEN (OLD.flag IS NULL AND (OLD.accepted_amount, OLD.accepted_currency)
       IS DISTINCT FROM (NEW.accepted_amount, NEW.accepted_currency))
     EXECUTE FUNCTION payments.refuse_acceptance()`,
  `GRANT UPDATE (accepted_amount, accepted_currency, flag_decision) ON payments.${table} TO midnight_payments`
]

const iso = (time: string) => `to_char(${time} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`

/** The events of 0024, with the amount that was booked. */
const published = (name: string, publishes: string) =>
  `CREATE OR REPLACE FUNCTION webhooks.${name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
     SET search_path = pg_catalog, pg_temp AS $$
   BEGIN
     ${publishes}
     RETURN NULL;
   END $$`

/** Of what was accepted in the currency of the hold, no more than the hold is booked; of another currency, the hold. */
const booked =
  `CASE WHEN NEW.accepted_currency = NEW.currency THEN least(NEW.accepted_amount, NEW.amount) ELSE NEW.amount END`

const events = [
  published(
    "of_payment",
    `PERFORM webhooks.publish('payment.' || NEW.status, NEW.id, NEW.user_id, json_build_object(
       'id', NEW.id, 'userId', NEW.user_id, 'status', NEW.status, 'amount', coalesce(NEW.accepted_amount, NEW.amount),
       'currency', coalesce(NEW.accepted_currency, NEW.currency), 'provider', NEW.provider,
       'providerReference', NEW.provider_reference, 'createdAt', ${iso("NEW.created_at")}));`
  ),
  published(
    "of_outgoing",
    `IF NEW.kind = 'refund' THEN
       PERFORM webhooks.publish(
         'refund.' || CASE NEW.status WHEN 'done' THEN 'succeeded' ELSE 'failed' END, NEW.id, NEW.user_id,
         json_build_object('id', NEW.id, 'paymentId', NEW.payment_id, 'userId', NEW.user_id, 'amount', ${booked},
           'currency', NEW.currency, 'status', CASE NEW.status WHEN 'done' THEN 'succeeded' ELSE 'failed' END,
           'reason', NEW.reason, 'failureReason', NEW.failure_reason, 'createdAt', ${iso("NEW.created_at")}));
     ELSE
       PERFORM webhooks.publish(
         'payout.' || CASE NEW.status WHEN 'done' THEN 'paid' ELSE NEW.status END, NEW.id, NEW.user_id,
         json_build_object('id', NEW.id, 'userId', NEW.user_id, 'amount', ${booked}, 'currency', NEW.currency,
           'status', CASE NEW.status WHEN 'done' THEN 'paid' ELSE NEW.status END,
           'destination', json_build_object('type', NEW.destination_type, 'last4', NEW.last4),
           'failureReason', NEW.failure_reason, 'createdAt', ${iso("NEW.created_at")}));
     END IF;`
  )
]

export const flagsDecided = statements([
  `CREATE FUNCTION payments.refuse_acceptance() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
   BEGIN RAISE EXCEPTION 'only what is flagged can be accepted as its provider has it'; END $$`,
  ...accepted("payments"),
  ...accepted("outgoing"),
  // A payment was paid with what was accepted of it, and that is what can be refunded.
  `DO $do$ DECLARE c record; BEGIN
     FOR c IN SELECT conname FROM pg_constraint WHERE conrelid = 'payments.payments'::regclass AND contype = 'c'
        AND pg_get_constraintdef(oid) ~ 'amount_refunded >= 0.*amount_refunded <= amount|refund_reserved <= amount' LOOP
       EXECUTE format('ALTER TABLE payments.payments DROP CONSTRAINT %I', c.conname);
     END LOOP;
   END $do$`,
  `ALTER TABLE payments.payments ADD CONSTRAINT payments_refunds_within_amount CHECK (amount_refunded >= 0
     AND refund_reserved BETWEEN amount_refunded AND coalesce(accepted_amount, amount))`,
  `CREATE INDEX payments_flagged ON payments.payments (id DESC) WHERE flag IS NOT NULL AND flag_decision IS NULL`,
  `CREATE INDEX outgoing_flagged ON payments.outgoing (kind, id DESC) WHERE flag IS NOT NULL AND flag_decision IS NULL`,
  ...events,
  `ALTER POLICY writes_payments ON identity.security_events WITH CHECK (kind IN ('payout_approved', 'payout_rejected',
     'webhook_replayed', 'reconciliation_run', 'flag_settled', 'flag_released', 'dead_letter_requeued'))`,
  `ALTER POLICY writes_identity ON identity.security_events WITH CHECK (kind NOT IN ('payout_approved', 'payout_rejected',
     'webhook_replayed', 'reconciliation_run', 'flag_settled', 'flag_released', 'webhook_endpoint_created',
     'webhook_endpoint_changed', 'webhook_endpoint_rotated', 'webhook_endpoint_deleted'))`
])
