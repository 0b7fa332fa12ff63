import { postTransfers } from "./0016_ledger_batches.ts"
import { postExact } from "./0026_ledger_sets.ts"
import { statements } from "./statements.ts"

// The entries of a batch are dated by the clock, but never before those that are there: a clock that is set back, or that of a
// standby that took over, would put them between older ones. A time beyond the next hour is not believed, lest the ledger's
// time stand still for as long.
const moment =
  `CREATE FUNCTION wallet.moment() RETURNS timestamptz LANGUAGE sql VOLATILE SET search_path = wallet, pg_temp AS $$
     SELECT greatest(now.at, (SELECT t.created_at FROM (SELECT created_at FROM transfers ORDER BY seq DESC LIMIT 1) t
                               WHERE t.created_at < now.at + interval '1 hour'))
       FROM (SELECT clock_timestamp() AS at) now
   $$`

const edited = (source: string, edits: ReadonlyArray<readonly [from: string, to: string]>) =>
  edits.reduce((text, [from, to]) => {
    if (text.split(from).length !== 2) {
      throw new Error(`the ledger's function is not what this migration changes: ${from}`)
    }
    return text.replace(from, () => to)
  }, source)

const columns = "INSERT INTO entries (account_id, created_at, id, transfer_id, amount, balance_after)"
const columnsAndKind = "INSERT INTO entries (account_id, created_at, id, transfer_id, amount, balance_after, kind)"

const exact = edited(postExact, [
  [columns, columnsAndKind],
  [
    "SELECT x.account_id, moment, uuid7(), tid, x.amount, x.after",
    `SELECT x.account_id, moment, uuid7(), tid, x.amount, x.after,
             nullif(CASE op WHEN 'reverse' THEN 'reversal' ELSE c->>'kind' END, 'transfer')`
  ]
])

const batch = edited(postTransfers, [
  ["CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"],
  ["at := clock_timestamp();", "at := moment();"],
  [columns, columnsAndKind],
  [
    "ids[l.of], l.amount, m.before + l.running",
    "ids[l.of], l.amount, m.before + l.running, nullif(kinds[l.of], 'transfer')"
  ]
])

const post = `CREATE OR REPLACE FUNCTION wallet.post(commands jsonb) RETURNS jsonb
   LANGUAGE plpgsql SECURITY DEFINER SET search_path = wallet, pg_temp AS $fn$
   BEGIN
     PERFORM pg_advisory_xact_lock(6148914691236517204);
     RETURN jsonb_build_object('outcomes', post_exact(commands, moment()));
   END $fn$`

/**
 * The entries of a kind are found by an index of their own. A plain transfer's have no kind and are not in it: they are most of
 * what is posted, and pay nothing for it.
 */
export const entriesOfAKind = statements([
  `ALTER TABLE wallet.entries ADD COLUMN kind text CHECK (kind <> 'transfer')`,
  `ALTER TABLE wallet.entries DISABLE TRIGGER immutable_rows`,
  `UPDATE wallet.entries e SET kind = t.kind FROM wallet.transfers t WHERE t.id = e.transfer_id AND t.kind <> 'transfer'`,
  `ALTER TABLE wallet.entries ENABLE ALWAYS TRIGGER immutable_rows`,
  `CREATE INDEX entries_of_kind ON wallet.entries (account_id, kind, created_at, seq) WHERE kind IS NOT NULL`,
  // By the average of accounts the planner takes the entries of one for few, and would read and sort all of a busy one's for a
  // page. They are in order in their index. It is the role's, since a pooler such as PgBouncer refuses what it does not know
  // when a connection starts. The ledger's own functions find rows by unique keys and pay nothing for it.
  `ALTER ROLE midnight_wallet SET enable_bitmapscan = off`,
  moment,
  exact,
  batch,
  post,
  `GRANT CREATE ON SCHEMA wallet TO midnight_ledger`,
  `ALTER FUNCTION wallet.moment() OWNER TO midnight_ledger`,
  `REVOKE CREATE ON SCHEMA wallet FROM midnight_ledger`,
  `REVOKE ALL ON FUNCTION wallet.moment() FROM PUBLIC`
])
