import { statements } from "./statements.ts"

const heard = `status = 'enabled' AND deleted_at IS NULL AND events && ARRAY['transfer.received', '*']`

const iso = (at: string) => `to_char(${at} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`

/**
 * Transfers are looked at only for those who hear of them. Until now an event was made of each and then dropped, since nobody
 * listened: a third of what PostgreSQL did for a transfer.
 */
export const followedWhenHeard = statements([
  `CREATE INDEX endpoints_of_transfers ON webhooks.endpoints (user_id) WHERE ${heard}`,
  `CREATE OR REPLACE FUNCTION webhooks.follow_transfers(most integer) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
     SET search_path = pg_catalog, pg_temp AS $$
   DECLARE
     here bigint;
     there bigint;
     passed integer;
     by_all boolean;
   BEGIN
     SELECT seq INTO here FROM webhooks.followed FOR UPDATE SKIP LOCKED;
     IF NOT FOUND THEN RETURN 0; END IF;
     SELECT max(n.seq), count(*) INTO there, passed
       FROM (SELECT seq FROM wallet.transfers WHERE seq > here ORDER BY seq LIMIT most) n;
     IF there IS NULL THEN RETURN 0; END IF;
     IF EXISTS (SELECT FROM webhooks.endpoints WHERE ${heard}) THEN
       by_all := EXISTS (SELECT FROM webhooks.endpoints WHERE scope = 'all' AND ${heard});
       PERFORM webhooks.publish('transfer.received', t.id, receiver.owner::uuid, json_build_object(
                 'id', t.id, 'kind', t.kind, 'amount', credit.amount, 'currency', receiver.currency,
                 'fromUserId', sender.owner, 'toUserId', receiver.owner, 'memo', t.memo,
                 'createdAt', ${iso("t.created_at")}))
          FROM wallet.transfers t
          JOIN wallet.entries credit ON credit.transfer_id = t.id AND credit.amount > 0
          JOIN wallet.accounts receiver ON receiver.id = credit.account_id AND receiver.kind = 'wallet'
          JOIN wallet.entries debit ON debit.transfer_id = t.id AND debit.amount < 0
          JOIN wallet.accounts sender ON sender.id = debit.account_id AND sender.kind = 'wallet'
         WHERE t.seq > here AND t.seq <= there AND t.kind = 'transfer'
           AND (by_all OR EXISTS (
             SELECT FROM webhooks.endpoints WHERE user_id = receiver.owner::uuid AND ${heard}));
     END IF;
     UPDATE webhooks.followed SET seq = there;
     RETURN passed;
   END $$`
])
