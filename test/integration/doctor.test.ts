import { PgClient } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { execFile } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { judgeIndexes } from "../../src/layers/doctor/Diagnosis.ts"
import { examineAll, type Examined } from "../../src/layers/doctor/Examination.ts"
import { expectedIndexes } from "../../src/layers/doctor/Indexes.ts"
import { indexesOf } from "../../src/layers/doctor/Plan.ts"
import { examineDatabase } from "../../src/layers/doctor/Report.ts"
import { indexUse } from "../../src/layers/doctor/Reports.ts"
import { ownerPool } from "../../src/layers/Pools.ts"
import { PgTest } from "../layers/PgTest.ts"
import { testConfig } from "../layers/TestConfig.ts"

const root = resolve(import.meta.dirname, "../..")
const Ground = Layer.fresh(ownerPool("midnight-doctor")).pipe(
  Layer.provide(testConfig()),
  Layer.provideMerge(PgTest.layer)
)

/** An index of the application that no constraint needs, with the statement that makes it again. */
interface PlainIndex {
  readonly table: string
  readonly index: string
  readonly name: string
  readonly definition: string
}

const plainIndexes = Effect.flatMap(PgClient.PgClient, (sql) =>
  sql.unsafe<PlainIndex>(
    `SELECT t.oid::regclass::text AS table, i.relname AS index, i.oid::regclass::text AS name,
            pg_get_indexdef(i.oid) AS definition
       FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
      WHERE t.relnamespace::regnamespace::text
              IN ('identity', 'wallet', 'payments', 'webhooks', 'rewards', 'video', 'queue', 'idempotency')
        AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.oid)
      ORDER BY 1, 2`
  ))

const without = <A, E, R>({ definition, name }: PlainIndex, work: Effect.Effect<A, E, R>) =>
  Effect.flatMap(PgClient.PgClient, (sql) =>
    Effect.acquireUseRelease(
      sql.unsafe(`DROP INDEX ${name}`),
      () => work,
      () => Effect.orDie(sql.unsafe(definition))
    ))

/** The literal parts of every `sql` template of a source, longest of each, with the blanks made alike. */
const templatesOf = (source: string): ReadonlyArray<string> => {
  const closing = (from: number, open: string, close: string): number => {
    let depth = 1
    for (let at = from; at < source.length; at++) {
      if (source[at] === open) depth++
      if (source[at] === close && --depth === 0) return at
    }
    return source.length
  }
  return [...source.matchAll(/\bsql(?:<[^`]*?>)?`/g)].map((match) => {
    const parts: Array<string> = [""]
    for (let at = match.index + match[0].length; at < source.length && source[at] !== "`"; at++) {
      if (source.startsWith("${", at)) {
        at = closing(at + 2, "{", "}")
        parts.push("")
      } else parts[parts.length - 1] += source[at] ?? ""
    }
    return parts.map(blanks).reduce((longest, part) => part.length > longest.length ? part : longest)
  })
}
const blanks = (text: string) => text.replaceAll(/\s+/g, " ").trim()

const usedBy = (examined: ReadonlyArray<Examined>, query: string, table: string, index: string) => {
  const schema = table.slice(0, table.indexOf("."))
  return examined.filter(({ name }) => name === query).some(({ statements }) =>
    statements.some(({ explained, scans }) =>
      indexesOf(explained.Plan).includes(index) || scans.has(`${schema}.${index}`)
    )
  )
}

const stores = readdirSync(join(root, "src/services")).filter((name) => name.endsWith("Store.ts"))

layer(Ground, { timeout: "2 minutes", excludeTestServices: true })("the doctor", (it) => {
  it.effect("finds a migrated database healthy, with nothing in it", () =>
    Effect.gen(function*() {
      const report = yield* examineDatabase()
      assert.deepStrictEqual(report.findings, [])
      assert.isTrue(report.healthy)
      assert.isTrue(report.plans.every(({ healthy, statements }) => healthy && statements > 0))
      assert.isAbove(report.madeUpParameters, 0)
    }))

  it.effect("leaves nothing behind", () =>
    Effect.gen(function*() {
      const sql = yield* PgClient.PgClient
      for (const table of Object.keys(expectedIndexes)) {
        const [row] = yield* sql.unsafe<{ readonly n: number }>(`SELECT count(*)::int AS n FROM ${table}`)
        assert.strictEqual(row?.n, 0, table)
      }
    }))

  it.effect("sends every statement that the stores have", () =>
    Effect.gen(function*() {
      const { today } = yield* examineAll()
      const sent = today.flatMap(({ statements }) => statements.map(({ sql }) => blanks(sql)))
      const templates = stores.flatMap((file) =>
        templatesOf(readFileSync(join(root, "src/services", file), "utf8")).map((text) => ({ file, text }))
      )
      assert.isAbove(templates.length, 60)
      const unsent = templates.filter(({ text }) => !sent.some((statement) => statement.includes(text)))
      assert.deepStrictEqual(unsent, [])
    }))

  it.effect("names the query, the table and the index after any one index was dropped", () =>
    Effect.gen(function*() {
      const indexes = yield* plainIndexes
      assert.isAbove(indexes.length, 20)
      for (const dropped of indexes) {
        const { index, table } = dropped
        const expected = expectedIndexes[table]?.[index]
        const wanted = (query: string) => expected?.queries.includes(query) === true
        const report = yield* without(dropped, examineDatabase(wanted))
        assert.isFalse(report.healthy, index)
        const named = report.findings.filter((finding) =>
          finding.severity === "failure" && finding.table === table && finding.index === index
        )
        for (const query of expected?.queries ?? []) {
          assert.isTrue(named.some((finding) => finding.query === query), `${query} lacks ${index}`)
        }
        assert.isAbove(named.length, 0, index)
      }
      assert.deepStrictEqual(judgeIndexes(yield* Effect.flatMap(PgClient.PgClient, indexUse)), [])
    }), 120_000)

  it.effect("sees by the plan alone that an index is missing, with no row in the table", () =>
    Effect.gen(function*() {
      // One found in a plan, one inside a function, and one that only a foreign key asks for.
      for (const name of ["payments_of_user", "entries_transfer", "refresh_tokens_session"]) {
        const dropped = (yield* plainIndexes).filter(({ index }) => index === name)
        for (const index of dropped) {
          const { findings } = yield* without(index, examineDatabase())
          const seen = findings.filter(({ says }) => says.includes("no index serves that"))
          assert.isAbove(seen.length, 0, name)
          assert.isTrue(seen.every((finding) => finding.index === name && finding.table === index.table), name)
        }
        assert.lengthOf(dropped, 1)
      }
    }))

  it.effect("knows each constraint's index, an altered one and one that nobody needs", () =>
    Effect.gen(function*() {
      const sql = yield* PgClient.PgClient
      const actual = yield* indexUse(sql)
      for (const gone of actual.filter(({ table }) => !table.endsWith("_migrations"))) {
        const findings = judgeIndexes(actual.filter((index) => index !== gone))
        assert.isAbove(findings.length, 0)
        assert.isTrue(findings.every(({ index, table }) => index === gone.index && table === gone.table), gone.index)
      }
      yield* sql.unsafe("CREATE INDEX spare ON wallet.transfers (memo)")
      const [spare, ...more] = (yield* examineDatabase((query) => query === "LedgerStore.alive")).findings
      yield* sql.unsafe("DROP INDEX wallet.spare")
      assert.deepStrictEqual(more, [])
      assert.deepInclude(spare, { severity: "warning", index: "spare", table: "wallet.transfers" })
      const [altered] = judgeIndexes(
        actual.map((index) => index.index === "entries_transfer" ? { ...index, definition: "btree (amount)" } : index)
      )
      assert.include(altered?.says, "btree (amount) instead of btree (transfer_id)")
    }))

  it.effect("expects of each query the indexes that PostgreSQL reads for it", () =>
    Effect.gen(function*() {
      const sql = yield* PgClient.PgClient
      // Among partial indexes of an empty table the planner takes any: it needs something to tell them apart by.
      yield* sql.unsafe(
        `INSERT INTO video.uploads (id, user_id, bytes, content_type, expires_at)
         SELECT gen_random_uuid(), gen_random_uuid(), 1, 'video/mp4', now() + n * interval '1 minute'
           FROM generate_series(1, 3000) n`
      )
      yield* sql.unsafe(
        `INSERT INTO video.submissions (id, user_id, video_id, status, rules, request_id, worker_id)
         SELECT gen_random_uuid(), user_id, id, 'verifying', '{}', 'doctor', gen_random_uuid() FROM video.uploads
          LIMIT 1000`
      )
      yield* sql.unsafe(
        `INSERT INTO video.submissions (id, user_id, video_id, campaign_id, status, rules, request_id)
         SELECT gen_random_uuid(), user_id, id, gen_random_uuid(), 'reserving', '{}', 'doctor' FROM video.uploads`
      )
      yield* sql.unsafe(
        `INSERT INTO payments.outgoing (id, kind, user_id, provider, amount, currency, status, needs_approval,
                                        destination_type, last4, destination, created_at)
         SELECT gen_random_uuid(), 'payout', gen_random_uuid(), 'sandbox', 1, 'NGN', 'reserving', false, 'bank', '0000',
                convert_to(repeat('x', 64), 'UTF8'), now() - n * interval '1 hour' FROM generate_series(1, 3000) n`
      )
      yield* sql.unsafe("ANALYZE video.uploads, video.submissions, payments.outgoing").unprepared
      const { unscanned } = yield* examineAll()
      const unfounded = Object.entries(expectedIndexes).flatMap(([table, indexes]) =>
        Object.entries(indexes).flatMap(([index, { queries }]) =>
          queries.filter((query) => !usedBy(unscanned, query, table, index)).map((query) => `${query}: ${index}`)
        )
      )
      assert.deepStrictEqual(unfounded, [])
      assert.isTrue((yield* examineDatabase()).healthy)
    }))

  it.effect("is a command that ends with 1 and says so", () =>
    Effect.gen(function*() {
      const pg = yield* PgTest
      const run = (...args: ReadonlyArray<string>) =>
        Effect.promise(() =>
          new Promise<{ readonly code: number; readonly out: string }>((settle) => {
            const child = execFile(
              process.execPath,
              [join(root, "src/main/Doctor.ts"), ...args],
              { env: { ...process.env, ...pg.environment } },
              (_, out, err) => settle({ code: child.exitCode ?? -1, out: out + err })
            )
          })
        )
      const dropped = (yield* plainIndexes).filter(({ index }) => index === "entries_transfer")
      assert.lengthOf(dropped, 1)
      for (const index of dropped) {
        const sick = yield* without(index, run())
        assert.strictEqual(sick.code, 1, sick.out)
        assert.match(sick.out, /✗ LedgerStore\.transfer: wallet\.entries .*\[index entries_transfer\]/)
      }
      const well = yield* run("--json")
      assert.strictEqual(well.code, 0, well.out)
      assert.include(well.out, "\"healthy\": true")
    }), 120_000)

  it.effect("finds it healthy also once PostgreSQL has looked after its empty tables", () =>
    Effect.gen(function*() {
      const sql = yield* PgClient.PgClient
      yield* sql.unsafe("VACUUM ANALYZE").unprepared
      const report = yield* examineDatabase()
      assert.deepStrictEqual(report.findings, [])
      assert.isTrue(report.healthy)
      for (const index of (yield* plainIndexes).filter(({ index }) => index === "payments_of_user")) {
        const { findings } = yield* without(index, examineDatabase())
        assert.isAbove(findings.length, 0)
        assert.isTrue(findings.every((finding) => finding.index === "payments_of_user"))
      }
    }))
})
