import { PgClient, PgConnection } from "@effect/sql-pg"
import { Context, Effect, Fiber, Layer, Redacted, Schema } from "effect"
import { Migrator } from "effect/sql"
import { randomBytes } from "node:crypto"
import { inject } from "vitest"
import { migrations } from "../../migrations/index.ts"
import { migrate } from "../../src/layers/Migrations.ts"
import { LedgerAudit } from "../../src/services/LedgerAudit.ts"
import { LedgerPatrolStore, walkNames } from "../../src/services/LedgerPatrolStore.ts"
import { reconcile } from "../chaos/bank/Judge.ts"
import { PgTest } from "./PgTest.ts"

const Text = Schema.decodeUnknownSync(Schema.Tuple([Schema.Tuple([Schema.String])]))

const wallet = (owner: string, amount: number) => ({ kind: "wallet", owner, currency: "NGN", amount: String(amount) })
const clearing = (amount: number) => ({ kind: "clearing", owner: "sandbox", currency: "NGN", amount: String(amount) })

/** Link `n`: two charges, a payment, the reversal of a part of it, and a hold of which a part is captured, with numbers of `seq` before and after that nobody has. */
const link = Effect.fnUntraced(function*(connection: PgConnection.PgConnection, n: number) {
  const post = (command: object) => connection.query("SELECT wallet.post($1::jsonb)", [JSON.stringify([command])])
  const gap = connection.query("SELECT nextval('wallet.transfers_seq_seq') FROM generate_series(1, 3)", [])
  yield* gap
  // The second one's memo is written like the end of another transfer.
  const memo = `cab|${"ab".repeat(32)}|charge|mride`
  for (const [of, owner] of [["first", "anna"], ["second", "bob"]] as const) {
    const legs = [clearing(-500), wallet(owner, 500)]
    yield* post({ op: "transfer", key: `${n}:${of}`, kind: "charge", ...of === "second" ? { memo } : {}, legs })
  }
  yield* post({
    op: "transfer",
    key: `${n}:payment`,
    kind: "fee",
    memo: "rent",
    reference: { trace: "abc" },
    legs: [wallet("anna", -90), wallet("bob", 90)]
  })
  yield* gap
  const payment = Text(
    yield* connection.queryValues("SELECT id::text FROM wallet.transfers WHERE key = $1", [`${n}:payment`])
  )[0][0]
  const reference = { by: "admin", reason: "too much" }
  yield* post({ op: "reverse", key: `${n}:reversal`, transfer: payment, amount: "40", reference })
  yield* post({ op: "authorise", key: `${n}:hold`, ...wallet("bob", 30) })
  const to = { kind: "fees", owner: "fees" }
  yield* post({ op: "capture", key: `${n}:capture`, hold: `${n}:hold`, kind: "fee", amount: "10", to })
  yield* post({ op: "authorise", key: `${n}:voided`, ...wallet("bob", 5) })
  yield* post({ op: "void", hold: `${n}:voided` })
  yield* connection.query("SELECT wallet.chain_next(100)", [])
})

const tables = ["accounts", "transfers", "entries", "chain", "holds", "hold_changes"] as const

// What a superuser does who edits: triggers off, and no constraint in the way.
const unguarded = [
  ...tables.map((table) => `ALTER TABLE wallet.${table} DISABLE TRIGGER ALL`),
  `DO $$ DECLARE c record; BEGIN
     FOR c IN SELECT conrelid::regclass AS of, conname FROM pg_constraint
       WHERE contype = 'c' AND conrelid = ANY (ARRAY['wallet.transfers', 'wallet.entries', 'wallet.chain', 'wallet.holds', 'wallet.hold_changes']::regclass[]) LOOP
       EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.of, c.conname);
     END LOOP;
   END $$`,
  ...tables.map((table) => `CREATE TABLE public.kept_${table} AS TABLE wallet.${table}`)
]
const restoring = tables.flatMap((table) => [
  `DELETE FROM wallet.${table}`,
  `INSERT INTO wallet.${table} OVERRIDING SYSTEM VALUE TABLE public.kept_${table}`
])

/** What all judges say about the books while an edit stands; a judge that fails says that instead. */
export interface Verdict {
  readonly audit: ReadonlyArray<string>
  readonly script: ReadonlyArray<string>
  readonly patrol: ReadonlyArray<string>
}

/** Small books of some links, posted by nobody but the ledger's functions; nothing runs beside, so an edit stays as it is. */
export class Books extends Context.Service<Books, {
  readonly judge: Effect.Effect<Verdict>
  /** The text that a query answers in its one row. */
  text(query: string): Effect.Effect<string>
  /** Edits the books as a superuser can, has them judged, and puts them back. */
  edited(statements: ReadonlyArray<string>): Effect.Effect<Verdict>
}>()("midnight/test/Books") {
  /** Links 1 to 3, made by the schema as it is. */
  static readonly fresh = Layer.effect(
    Books,
    Effect.gen(function*() {
      const pg = yield* PgTest
      const connection = yield* PgConnection.make({ url: pg.ownerUrl })
      for (const n of [1, 2, 3]) yield* link(connection, n)
      return yield* books(connection, pg.ownerUrl, pg.urlFor("wallet"))
    }).pipe(Effect.orDie)
  ).pipe(Layer.provide(PgTest.layer))

  /** Links 1 and 2 made by the schema before the migration of that name and edited then, 3 and 4 after it. */
  static readonly migrated = (migration: string, ...edits: ReadonlyArray<string>) =>
    Layer.effect(
      Books,
      Effect.gen(function*() {
        const { connection, migrating, url } = yield* older(migration)
        const trigger = (how: string) =>
          connection.query(`ALTER TABLE wallet.transfers ${how} TRIGGER immutable_rows`, [])
        yield* trigger("DISABLE")
        for (const edit of edits) yield* connection.query(edit, [])
        yield* trigger("ENABLE ALWAYS")
        yield* migrating(migrate)
        for (const n of [3, 4]) yield* link(connection, n)
        return yield* books(connection, url, url)
      }).pipe(Effect.orDie)
    )

  /**
   * The same without edits, while a server of the release before makes a hold of 9, `beside`, in a transaction which captures 2
   * of it once the migration waits for a lock. What is left is voided after the migration.
   */
  static readonly migratedBeside = (migration: string) =>
    Layer.effect(
      Books,
      Effect.gen(function*() {
        const { connection, migrating, url } = yield* older(migration)
        const post = (command: object) => connection.query("SELECT wallet.post($1::jsonb)", [JSON.stringify([command])])
        const watch = yield* PgConnection.make({ url })
        yield* connection.query("BEGIN", [])
        yield* post({ op: "authorise", key: "beside", ...wallet("bob", 9) })
        const run = yield* Effect.forkChild(migrating(migrate))
        const waiting = watch.queryValues(
          `SELECT 1 FROM pg_locks WHERE NOT granted
              AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
          []
        )
        // One that has ended waits for nothing.
        yield* Effect.raceFirst(
          Effect.repeat(waiting, { until: (rows) => rows.length > 0 }),
          Fiber.await(run)
        )
        const to = { kind: "fees", owner: "fees" }
        yield* post({ op: "capture", key: "beside:capture", hold: "beside", kind: "fee", amount: "2", to })
        yield* connection.query("COMMIT", [])
        yield* Fiber.join(run)
        yield* post({ op: "void", hold: "beside" })
        for (const n of [3, 4]) yield* link(connection, n)
        return yield* books(connection, url, url)
      }).pipe(Effect.orDie)
    )
}

/** A database of before the migration of that name, with links 1 and 2. */
const older = Effect.fnUntraced(function*(migration: string) {
  const server = inject("postgres").url
  const database = `midnight_test_${randomBytes(6).toString("hex")}`
  const admin = yield* PgConnection.make({ url: Redacted.make(server) })
  yield* Effect.acquireRelease(
    admin.query(`CREATE DATABASE ${database}`, []),
    () => Effect.ignore(admin.query(`DROP DATABASE IF EXISTS ${database} WITH (FORCE)`, []))
  )
  const target = new URL(server)
  target.pathname = `/${database}`
  const url = Redacted.make(target.href)
  const before = Object.entries(migrations).filter(([name]) => name < migration)
  const migrating = <A, E, R>(run: Effect.Effect<A, E, R>) =>
    Effect.provide(run, PgClient.layer({ url, maxConnections: 1 }))
  yield* migrating(
    Migrator.make({})({ loader: Migrator.fromRecord(Object.fromEntries(before)), table: "midnight_migrations" })
  )
  const connection = yield* PgConnection.make({ url })
  for (const n of [1, 2]) yield* link(connection, n)
  return { connection, migrating, url }
})

/** What a server's slices find, each of them. */
const patrol = Effect.gen(function*() {
  const store = yield* LedgerPatrolStore
  const broken: Array<string> = []
  for (const walk of walkNames) {
    for (let place: string | null = null;;) {
      const upTo: string | null = yield* store.end(walk, place)
      if (upTo === null) break
      const found = yield* store.broken(walk, place, upTo)
      broken.push(...found.map(([, row]) => row))
      place = upTo
    }
  }
  return broken
})

const books = Effect.fnUntraced(function*(
  connection: PgConnection.PgConnection,
  owner: Redacted.Redacted<string>,
  reader: Redacted.Redacted<string>
) {
  const ledger = yield* Layer.build(
    Layer.merge(LedgerAudit.layer, LedgerPatrolStore.layer).pipe(
      Layer.provide(PgClient.layer({ url: reader, maxConnections: 1 }))
    )
  )
  const all = (statements: ReadonlyArray<string>) =>
    Effect.forEach(statements, (statement) => connection.query(statement, []), { discard: true })
  yield* all(unguarded)
  const judge = Effect.all({
    audit: Effect.flatMap(LedgerAudit, (audit) => audit.run).pipe(
      Effect.map((report) => [
        ...report.findings.flatMap((finding) => finding.broken),
        ...report.unchained === 0 ? [] : [`${report.unchained} not in the chain`]
      ]),
      Effect.catch((error) => Effect.succeed([`the audit fails: ${String(error.cause)}`])),
      Effect.provideContext(ledger)
    ),
    patrol: Effect.catch(
      patrol,
      (error) => Effect.succeed([`the patrol fails: ${String(error.cause)}`])
    ).pipe(Effect.provideContext(ledger)),
    script: Effect.map(
      reconcile(owner, ""),
      (findings) => findings.map(({ claim, first }) => `${claim}: ${first.join()}`)
    )
  })
  return Books.of({
    judge,
    text: (query) => Effect.map(connection.queryValues(query, []), (rows) => Text(rows)[0][0]).pipe(Effect.orDie),
    edited: (statements) =>
      all(statements).pipe(Effect.andThen(judge), Effect.ensuring(Effect.orDie(all(restoring))), Effect.orDie)
  })
})
