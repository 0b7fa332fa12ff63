import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import { join, resolve } from "node:path"
import { parseArgs } from "node:util"
import { manyConnections, start } from "./alone.ts"
import { query, startPostgres } from "./database.ts"
import { comparisons, type Options } from "./groups.ts"
import { growth } from "./growth.ts"
import { describeMachine, hasProc } from "./machine.ts"
import { makeKeys } from "./members.ts"
import { pgbenchPath, pgbenchVersion } from "./pgbench.ts"
import { markdown, plot, table, writeJson } from "./report.ts"
import { orBroken, type Row, targets } from "./rows.ts"
import { endAll } from "./sides.ts"
import { versions } from "./versions.ts"

const usage = `npm run bench -- ledger [options]

Starts everything it needs itself (PostgreSQL, our API, Express, Fastify; pgbench where it is installed), each in a fresh
durable database, measures them in turns, checks everybody's books and prints ratios. About a quarter of an hour.

  --rounds N      rounds of each comparison (5)
  --seconds N     seconds measured in a round, after 2 s of warm-up (3)
  --rows A,B      only these rows, or all whose names begin so: transfers, hot/express
  --json FILE     write the rows, the machine and the versions as JSON
  --markdown FILE write the table for a page of documentation
  --svg FILE      where the plot goes (beside FILE, or bench/results/ledger.svg)
  --help          this

Rows: ${[...targets.keys()].join(", ")}
`

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "3" },
    rows: { type: "string" },
    json: { type: "string" },
    svg: { type: "string" },
    markdown: { type: "string" },
    help: { type: "boolean", default: false }
  }
})

const print = (text: string) => process.stdout.write(`${text}\n`)
const complain = (text: string) => process.stderr.write(`${text}\n`)

const number = (name: string, text: string): number => {
  const value = Number(text)
  if (Number.isInteger(value) && value >= 1) return value
  complain(`--${name} takes a whole number of at least 1, not ${text}.`)
  process.exit(2)
}

const results = resolve(import.meta.dirname, "results")

/** Takes what OTLP exporters send, and forgets it. */
const startCollector = (): Promise<{ readonly url: string; readonly stop: () => void }> =>
  new Promise((settle) => {
    const server = createServer((request, response) => {
      request.resume().on("end", () => response.writeHead(200, { "content-type": "application/json" }).end("{}"))
    })
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      settle({ url: `http://127.0.0.1:${port}`, stop: () => server.close() })
    })
  })

const began = performance.now()

/** One line at a terminal that is written over; elsewhere a line each. */
const say = (what: string) => {
  const seconds = Math.round((performance.now() - began) / 1_000)
  const clock = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`
  process.stderr.write(process.stderr.isTTY ? `\r\x1b[K  ${clock}  ${what}` : `  ${clock}  ${what}\n`)
}

const ledger = async (options: Options): Promise<boolean> => {
  mkdirSync(results, { recursive: true })
  const folder = mkdtempSync(join(results, "run-"))
  const postgres = await startPostgres(folder)
  const collector = await startCollector()
  const tidy = async () => {
    collector.stop()
    await endAll()
    await postgres.stop()
    rmSync(folder, { recursive: true, force: true })
  }
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => void tidy().finally(() => process.exit(130)))
  try {
    const [[serverVersion] = []] = await query(postgres.url("postgres"), "SHOW server_version")
    const ground = { postgres, folder, keys: await makeKeys(), collector: collector.url }
    const compared = await comparisons(ground, options, say)
    const rows: Array<Row> = [...compared.rows]
    const asRows = (broken: ReadonlyArray<Row>) => broken
    rows.push(...await orBroken(["connections/10k"], () => manyConnections(ground, options, say), asRows))
    rows.push(...await orBroken(["start"], () => start(ground, options, say), asRows))
    const grown = await orBroken(
      ["growth/10m"],
      () => growth(ground, options, say),
      (broken) => ({ rows: broken, samples: {} })
    )
    rows.push(...grown.rows)
    const order = [...targets.keys()]
    rows.sort((a, b) => order.indexOf(a.row) - order.indexOf(b.row))
    const path = pgbenchPath()
    const report = {
      rows,
      machine: describeMachine(),
      versions: {
        ...versions(),
        postgresql: String(serverVersion),
        pgbench: path === undefined ? "not installed" : await pgbenchVersion(path)
      },
      date: new Date().toISOString(),
      rounds: options.rounds,
      seconds: options.seconds,
      samples: { ...compared.samples, ...grown.samples }
    }
    if (process.stderr.isTTY) process.stderr.write("\r\x1b[K")
    print(table(report))
    if (!hasProc) print("  This system has no /proc: processor time was not measured.")
    if (values.json !== undefined) writeJson(values.json, report)
    if (values.markdown !== undefined) writeFileSync(values.markdown, markdown(report))
    const svg = values.svg ?? values.json?.replace(/(\.json)?$/, ".svg") ?? join(results, "ledger.svg")
    writeFileSync(svg, plot(report))
    print(`  Plot: ${svg}`)
    return rows.every(({ pass }) => pass !== false)
  } finally {
    await tidy()
  }
}

if (values.help || positionals.join() !== "ledger") {
  print(usage)
  process.exitCode = values.help ? 0 : 2
} else {
  const names = values.rows?.split(",")
  const unknown = names?.filter((name) => ![...targets.keys()].some((row) => row.startsWith(name))) ?? []
  if (unknown.length > 0) {
    complain(`There is no row ${unknown.join(", ")}. Rows: ${[...targets.keys()].join(", ")}`)
    process.exit(2)
  }
  const passed = await ledger({
    rounds: number("rounds", values.rounds),
    seconds: number("seconds", values.seconds),
    wanted: (row) => names === undefined || names.some((name) => row === name || row.startsWith(`${name}/`))
  })
  process.exit(passed ? 0 : 1)
}
