import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { parseArgs } from "node:util"
import { describeMachine } from "../../bench/machine.ts"
import { faults } from "./isolation/Faults.ts"
import { regressions } from "./isolation/Regressions.ts"
import { holds, markdown, plot, type Report, table, writeJson } from "./isolation/Report.ts"
import { runAll } from "./isolation/Run.ts"

const usage = `npm run test:isolation -- [options]

Payments while video is broken in every way, or a payment provider that they do not need: charges and transfers over HTTP,
100 a second, beside quiet neighbours and beside each fault in turn. Starts its own durable PostgreSQL, API, video process,
sandbox provider and a fake of Stripe. Ends with two planted regressions, which it must catch. Exits with 1 when a bound
broke. About an hour; --short about twelve minutes.

  --only A,B        only these faults: ${Object.keys(faults).join(", ")}
  --seconds N       of payments in a window (30)
  --pairs N         windows without and with the fault (3)
  --rate N          payments a second (100)
  --short           one pair of 10 s for each fault
  --regression A    only this wall taken away, which must be caught: ${Object.keys(regressions).join(", ")}
  --no-regressions  leave them out
  --json FILE       write all figures
  --markdown FILE   write the table for a page of documentation
  --svg FILE        where the plot goes (beside FILE, or bench/results/isolation.svg)
  --help            this
`

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    seconds: { type: "string" },
    pairs: { type: "string" },
    rate: { type: "string", default: "100" },
    short: { type: "boolean", default: false },
    regression: { type: "string" },
    "no-regressions": { type: "boolean", default: false },
    json: { type: "string" },
    markdown: { type: "string" },
    svg: { type: "string" },
    help: { type: "boolean", default: false }
  }
})

const complain = (text: string): never => {
  process.stderr.write(`${text}\n`)
  process.exit(2)
}

const number = (name: string, text: string): number => {
  const value = Number(text)
  return Number.isInteger(value) && value >= 1
    ? value
    : complain(`--${name} takes a whole number of at least 1, not ${text}.`)
}

const chosen = (option: string, text: string | undefined, all: ReadonlyArray<string>): ReadonlyArray<string> => {
  const names = text?.split(",") ?? all
  const unknown = names.filter((name) => !all.includes(name))
  return unknown.length === 0
    ? names
    : complain(`--${option}: there is no ${unknown.join(", ")}. There are ${all.join(", ")}.`)
}

const results = resolve(import.meta.dirname, "../../bench/results")
const began = performance.now()

/** One line at a terminal that is written over, with a bar; elsewhere a line for each step. */
const say = (part: number, what: string) => {
  const seconds = Math.round((performance.now() - began) / 1_000)
  const clock = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`
  const bar = "█".repeat(Math.round(part * 24)).padEnd(24, "░")
  process.stderr.write(process.stderr.isTTY ? `\r\x1b[K  ${bar} ${clock}  ${what}` : `  ${clock}  ${what}\n`)
}

const main = async () => {
  if (values.help) return void process.stdout.write(usage)
  mkdirSync(results, { recursive: true })
  const folder = mkdtempSync(join(results, "isolation-"))
  const options = {
    seconds: number("seconds", values.seconds ?? (values.short ? "10" : "30")),
    pairs: number("pairs", values.pairs ?? (values.short ? "1" : "3")),
    rate: number("rate", values.rate)
  }
  const one = values.regression !== undefined
  try {
    const outcome = await runAll({
      folder,
      options,
      faults: one ? [] : chosen("only", values.only, Object.keys(faults)),
      regressions: values["no-regressions"]
        ? []
        : chosen("regression", values.regression, Object.keys(regressions)),
      say
    })
    const report: Report = { ...outcome, options, machine: describeMachine(), date: new Date().toISOString() }
    if (process.stderr.isTTY) process.stderr.write("\r\x1b[K")
    process.stdout.write(`${table(report)}\n`)
    if (values.json !== undefined) writeJson(values.json, report)
    if (values.markdown !== undefined) writeFileSync(values.markdown, markdown(report))
    const svg = values.svg ?? values.json?.replace(/(\.json)?$/, ".svg") ?? join(results, "isolation.svg")
    writeFileSync(svg, plot(report))
    process.stdout.write(`  Plot: ${svg}\n`)
    // A wall that was taken away and noticed is a bound that broke: asked for alone, it fails the command.
    process.exitCode = one ? 1 : holds(report) ? 0 : 1
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
  }
}

await main()
process.exit()
