import { PgConnection } from "@effect/sql-pg"
import { Effect, type Redacted, Schema } from "effect"
import { join } from "node:path"

/** A fault that the harness must find, put into the database of a run before its customers come. */
export interface Mutant {
  readonly says: string
  /** How many servers it takes: a fault of locking needs somebody to compete with. */
  readonly servers: number
  /** What is killed in its run, and how often at least. */
  readonly kills: "server" | "postgres" | "none"
  readonly preload?: string
  apply(database: Redacted.Redacted<string>, name: string): Effect.Effect<void>
}

type Edit = readonly [from: string | RegExp, to: string]

/** A mutant that changes nothing would pass for one that was not caught: an edit that finds no place is an error. */
const edited = (source: string, edits: ReadonlyArray<Edit>, what: string): string =>
  edits.reduce((text, [from, to]) => {
    const next = typeof from === "string" ? text.replaceAll(from, to) : text.replace(from, to)
    if (next === text) throw new Error(`the mutant finds no ${String(from)} in ${what} to change`)
    return next
  }, source)

const Definition = Schema.decodeUnknownSync(Schema.Tuple([Schema.Tuple([Schema.String])]))

const inDatabase = <A, E>(
  database: Redacted.Redacted<string>,
  work: (connection: PgConnection.PgConnection) => Effect.Effect<A, E>
): Effect.Effect<void> =>
  Effect.scoped(Effect.flatMap(PgConnection.make({ url: database }), work)).pipe(Effect.orDie, Effect.asVoid)

const definition = (connection: PgConnection.PgConnection, name: string) =>
  Effect.map(
    connection.queryValues("SELECT pg_get_functiondef(oid) FROM pg_proc WHERE oid = to_regproc($1)", [
      `wallet.${name}`
    ]),
    (rows) => Definition(rows)[0][0]
  )

const edit = (connection: PgConnection.PgConnection, name: string, edits: ReadonlyArray<Edit>) =>
  Effect.flatMap(
    definition(connection, name),
    (source) => connection.query(edited(source, edits, `wallet.${name}`), [])
  )

const all = (connection: PgConnection.PgConnection, statements: ReadonlyArray<string>) =>
  Effect.forEach(statements, (statement) => connection.query(statement, []), { discard: true })

const noUniqueKey: Mutant = {
  says: "no unique key: a key that was posted before is posted again",
  servers: 1,
  kills: "server",
  apply: (database) =>
    inDatabase(database, (connection) =>
      Effect.andThen(
        connection.query("ALTER TABLE wallet.transfers DROP CONSTRAINT transfers_key_key", []),
        edit(connection, "post_transfers", [["ON CONFLICT (key) DO NOTHING", ""]])
      ))
}

const noLock: Mutant = {
  says: "no lock: neither the ledger's own nor on rows; a balance is read, then written",
  servers: 2,
  kills: "none",
  apply: (database) =>
    inDatabase(database, (connection) =>
      Effect.all([
        edit(connection, "post", [[/PERFORM pg_advisory_xact_lock\(\d+\);/, ""]]),
        edit(connection, "post_exact", [["FOR UPDATE OF x", ""], ["FOR UPDATE", ""]]),
        edit(connection, "post_transfers", [
          [/PERFORM pg_advisory_xact_lock\(\d+\);/, ""],
          ["SET balance = a.balance + p.delta", "SET balance = p.read + p.delta"],
          [
            "SELECT kind, owner, currency, sum(amount)::bigint AS delta",
            `SELECT kind, owner, currency, (SELECT r.balance FROM accounts r WHERE r.kind = legs.kind AND r.owner = legs.owner
               AND r.currency = legs.currency::char(3)) AS read, sum(amount)::bigint AS delta`
          ]
        ])
      ]))
}

const asynchronousCommit: Mutant = {
  says: "asynchronous commit: an answer is given before the commit is on the disk",
  servers: 1,
  kills: "postgres",
  apply: (database, name) =>
    inDatabase(database, (connection) => connection.query(`ALTER DATABASE ${name} SET synchronous_commit = off`, []))
}

// The debits with the transfer, and its credits later: what a service that opens two transactions does. The database's own
// judge of a statement's entries would refuse half a transfer, and so it is taken away.
const commitBetween: Mutant = {
  says: "a commit between the entries: debits in one transaction, credits in the next",
  servers: 1,
  kills: "server",
  preload: join(import.meta.dirname, "two-commits.ts"),
  apply: (database) =>
    inDatabase(database, (connection) =>
      Effect.gen(function*() {
        yield* all(connection, [
          "ALTER TABLE wallet.entries DISABLE TRIGGER balanced",
          "CREATE TABLE wallet.second_half (transfer uuid, account uuid, amount bigint)",
          "ALTER TABLE wallet.second_half OWNER TO midnight_ledger"
        ])
        yield* edit(connection, "post_transfers", [
          ["SET balance = a.balance + p.delta", "SET balance = a.balance + p.debits"],
          ["a.balance - p.delta AS before", "a.balance - p.debits AS before"],
          ["AS l (n, of, amount, running)", "AS l (n, of, amount, running) WHERE l.amount < 0"],
          [
            "), booked AS (",
            `), halves AS (
               INSERT INTO second_half SELECT ids[l.of], m.id, l.amount
                 FROM moved m, unnest(m.ofs, m.amounts) AS l (of, amount) WHERE l.amount > 0
             ), booked AS (`
          ],
          [
            "entered_count = cardinality(leg_transfers)",
            `entered_count + (SELECT count(*) FROM second_half h WHERE h.transfer = ANY (ids)) = cardinality(leg_transfers)`
          ]
        ])
        yield* all(connection, [
          `CREATE FUNCTION wallet.post_credits(ids uuid[]) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
             SET search_path = wallet, pg_temp AS $fn$
           DECLARE l second_half; after bigint;
           BEGIN
             PERFORM pg_advisory_xact_lock(6148914691236517204);
             FOR l IN DELETE FROM second_half WHERE transfer = ANY (ids) RETURNING * LOOP
               UPDATE accounts SET balance = balance + l.amount WHERE id = l.account RETURNING balance INTO after;
               INSERT INTO entries (account_id, created_at, id, transfer_id, amount, balance_after)
                 VALUES (l.account, clock_timestamp(), uuid7(), l.transfer, l.amount, after);
             END LOOP;
           END $fn$`,
          "ALTER FUNCTION wallet.post_credits(uuid[]) OWNER TO midnight_ledger",
          "GRANT EXECUTE ON FUNCTION wallet.post_credits(uuid[]) TO midnight_wallet"
        ])
      }))
}

export const mutants = {
  "no-unique-key": noUniqueKey,
  "no-lock": noLock,
  "async-commit": asynchronousCommit,
  "commit-between": commitBetween
}
export type MutantName = keyof typeof mutants
