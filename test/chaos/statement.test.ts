import { PgConnection } from "@effect/sql-pg"
import { assert, it } from "@effect/vitest"
import { Console, Effect } from "effect"
import { readFile } from "node:fs/promises"
import { temporaryFolder } from "../layers/Held.ts"
import { type Customer, register } from "./bank/Clients.ts"
import { crashingPostgres } from "./bank/Postgres.ts"
import { crashingServer } from "./bank/Server.ts"

// Others may share the machine, and one that waits half a second for its turn is not what this is about.
const patient = { DATABASE_ACQUIRE_LIMIT: "3 seconds" }
const entries = 100_000
const batch = 1_000

// A thousand charges for one member, from the $1-th on, by the function that posts every batch.
const charges = `SELECT ids IS NOT NULL FROM
  (SELECT array_agg('charge:' || n) AS keys FROM generate_series($1::int, $1::int + ${batch - 1}) n) t,
  (SELECT array_agg(n) AS of, array_agg(kind) AS kinds, array_agg(owner) AS owners, array_agg(sign * n) AS amounts
     FROM generate_series(1, ${batch}) n, (VALUES ('clearing', 'sandbox', -1), ('wallet', $2::text, 1)) l (kind, owner, sign)) l,
  LATERAL wallet.post_transfers(t.keys, array_fill(''::text, ARRAY[${batch}]), array_fill('{}'::text, ARRAY[${batch}]),
    array_fill('charge'::text, ARRAY[${batch}]), array_fill(''::text, ARRAY[${batch}]), array_fill('{}'::text, ARRAY[${batch}]),
    l.of, l.kinds, l.owners, array_fill('NGN'::text, ARRAY[${2 * batch}]), l.amounts::bigint[])`

const residentMegabytes = (pid: number) =>
  readFile(`/proc/${pid}/status`, "utf8").then((status) => Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024)

/** Reads a statement to its end as a client that keeps nothing does, and looks at the server's memory on the way. */
const read = async (url: string, token: string, pid: number) => {
  const answer = await fetch(url, { headers: { authorization: `Bearer ${token}` } })
  assert.strictEqual(answer.status, 200)
  let [lines, peak, looked] = [0, 0, 0]
  for await (const chunk of answer.body ?? []) {
    for (const byte of chunk) if (byte === 10) lines++
    if (lines - looked > 5_000) {
      looked = lines
      peak = Math.max(peak, await residentMegabytes(pid))
    }
  }
  return { lines, peak }
}

// Where there is no /proc, nobody tells how much memory another process holds.
it.live.runIf(process.platform === "linux")(
  "streams a statement of 100,000 entries with flat memory",
  () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const postgres = yield* crashingPostgres(folder)
      yield* postgres.create("statement")
      const server = yield* crashingServer({
        database: postgres.url("statement"),
        folder,
        name: "statement",
        environment: patient
      })
      const member = yield* register(server.base, "statement", 0)
      const other = yield* register(server.base, "statement", 1)
      const connection = yield* PgConnection.make({ url: postgres.url("statement") })
      const charge = Effect.fnUntraced(function*(customer: Customer, from: number, to: number) {
        for (let n = from; n < to; n += batch) {
          assert.deepStrictEqual(yield* connection.queryValues(charges, [n, customer.id]), [[true]])
        }
      })
      yield* charge(member, 0, entries)
      yield* charge(other, entries, entries + 10 * batch)
      const pid = server.pid() ?? assert.fail("the server has no process")
      const statement = `${server.base}/api/wallet/statement?currency=NGN`
      // So that what is compared is a process that has done this before, with a tenth of the entries.
      for (let n = 0; n < 3; n++) yield* Effect.promise(() => read(statement, other.token, pid))
      const before = yield* Effect.promise(() => residentMegabytes(pid))
      const { lines, peak } = yield* Effect.promise(() => read(statement, member.token, pid))
      yield* Console.log(
        `statement: ${lines - 1} entries, ${before.toFixed(0)} MiB before, ${peak.toFixed(0)} MiB at most`
      )
      assert.strictEqual(lines, entries + 1)
      // All rows at once would be 150 MiB or more.
      assert.isBelow(peak - before, 64)
    }).pipe(Effect.scoped),
  300_000
)
