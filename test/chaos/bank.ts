import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect } from "effect"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { bank, type BankOptions, type BankReport, enough, type Progress } from "./bank/Bank.ts"
import { type MutantName, mutants } from "./bank/Mutants.ts"
import { type CrashingPostgres, crashingPostgres } from "./bank/Postgres.ts"

const usage = `npm run test:chaos -- [options]
  --seconds N   how long customers come (90)
  --seed N      the choices of an earlier run (random)
  --clients N   HTTP clients (16)       --accounts N  customers (50)       --servers N  API processes (1)
  --no-kills    kill nothing; then no answer of the 5xx class is excused
  --mutant NAME put a fault into the database and expect to find it: ${"NAMES"}
  --mutants     each of these in turn, 12 s each
  --keep        leave the journal and the logs of the servers in place`

const names = Object.keys(mutants).filter((name): name is MutantName => name in mutants)

const { values } = parseArgs({
  options: {
    seconds: { type: "string" },
    seed: { type: "string" },
    clients: { type: "string", default: "16" },
    accounts: { type: "string", default: "50" },
    servers: { type: "string" },
    "no-kills": { type: "boolean", default: false },
    mutant: { type: "string" },
    mutants: { type: "boolean", default: false },
    keep: { type: "boolean", default: false },
    help: { type: "boolean", default: false }
  }
})

const seed = Number(values.seed ?? Math.floor(Math.random() * 1_000_000_000))

const show = (seconds: number) => ({ acknowledged, elapsed, kills, refused }: Progress) => {
  if (!process.stdout.isTTY) return
  const part = Math.min(1, elapsed / seconds)
  const bar = "█".repeat(Math.round(part * 30)).padEnd(30, "░")
  process.stdout.write(
    `\r${bar} ${
      Math.round(elapsed)
    } s of ${seconds} · ${acknowledged} acknowledged · ${refused} refused · ${kills} kills `
  )
  if (elapsed >= seconds) process.stdout.write(`\r\u001b[K`)
}

const times = (millis: ReadonlyArray<number>) => {
  const ascending = millis.toSorted((a, b) => a - b)
  return `${ascending[Math.floor(ascending.length / 2)] ?? 0} ms in the middle, ${ascending.at(-1) ?? 0} ms at most`
}

const print = (report: BankReport) => {
  const { acknowledged, findings, kills, refused, sent } = report
  console.log(`${sent} transfers sent, ${acknowledged} acknowledgements, ${refused} refused for want of money`)
  console.log(`${kills.server + kills.postgres} SIGKILLs: ${kills.server} of a server, ${kills.postgres} of PostgreSQL`)
  for (const what of ["server", "postgres"]) {
    const of = report.recoveries.filter((one) => one.what === what)
    if (of.length === 0) continue
    console.log(`${what.padEnd(8)} from SIGKILL to ready:  ${times(of.map(({ restart }) => restart))}`)
    console.log(`${what.padEnd(8)} from SIGKILL to served: ${times(of.map(({ service }) => service))}`)
  }
  console.log(
    report.psql === undefined
      ? "psql is not installed: reconcile.sql was run by the harness alone"
      : `reconcile.sql by psql: ${report.psql.clean ? "agrees" : "the books and the journal disagree"}`
  )
  for (const { claim, first, times } of findings) {
    console.log(`✗ ${claim}: broken ${times} times`)
    for (const one of first) console.log(`    ${one}`)
  }
}

/** What a run of 90 seconds has to have been through to count. */
const measure = { kills: 20, acknowledged: 5_000 }

const optionsFor = (mutantName: MutantName | undefined): BankOptions => {
  const mutant = mutantName === undefined ? undefined : mutants[mutantName]
  const kills = values["no-kills"] || mutant?.kills === "none"
    ? []
    : mutant === undefined
    ? ["server", "postgres"] as const
    : [mutant.kills === "postgres" ? "postgres" : "server"] as const
  const seconds = Number(values.seconds ?? (mutant === undefined ? 90 : 12))
  return {
    seed,
    seconds,
    clients: Number(values.clients),
    accounts: Number(values.accounts),
    servers: Number(values.servers ?? mutant?.servers ?? 1),
    calm: 3_000,
    kills,
    ...(mutant === undefined && kills.length > 0 && seconds >= 90 ? { atLeast: measure } : {}),
    ...(mutant === undefined ? {} : { mutant })
  }
}

/** Whether the run went as it must: clean books without a mutant, and findings with one. */
const judged = Effect.fnUntraced(function*(postgres: CrashingPostgres, folder: string, name: MutantName | undefined) {
  const options = optionsFor(name)
  if (name !== undefined) yield* Console.log(`\nMutant ${name}: ${mutants[name].says}`)
  const report = yield* bank(postgres, folder, options, show(options.seconds))
  print(report)
  if (values.keep) yield* Console.log(`journal: ${report.journal}`)
  const broken = report.findings.length > 0 || report.psql?.clean === false
  if (name !== undefined) {
    yield* Console.log(broken ? `✓ caught: ${name}` : `✗ NOT CAUGHT: ${name}`)
    return broken
  }
  const { kills } = report
  if (!broken && !enough(options, kills.server + kills.postgres, report.acknowledged)) {
    yield* Console.log("✗ Nothing is broken, but this was too little to count: run it again on a quieter machine.")
    return false
  }
  yield* Console.log(
    broken
      ? `✗ ${report.findings.length} claims are broken. Again with: npm run test:chaos -- --seed ${seed}`
      : "✓ Every acknowledgement and every invariant holds."
  )
  return !broken
})

const chosen = (): ReadonlyArray<MutantName | undefined> => {
  if (values.mutants) return names
  const name = names.find((name) => name === values.mutant)
  if (values.mutant !== undefined && name === undefined) throw new Error(`--mutant takes one of ${names.join(", ")}`)
  return [name]
}

const main = Effect.gen(function*() {
  if (values.help) return yield* Console.log(usage.replace("NAMES", names.join(", ")))
  const wanted = chosen()
  const folder = yield* Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "midnight-bank-"))),
    (folder) =>
      values.keep ? Effect.void : Effect.promise(() => rm(folder, { recursive: true, force: true, maxRetries: 10 }))
  )
  yield* Console.log(`seed ${seed}`)
  const postgres = yield* crashingPostgres(folder)
  const verdicts = yield* Effect.forEach(wanted, (name) => judged(postgres, folder, name))
  if (!verdicts.every((good) => good)) process.exitCode = 1
}).pipe(Effect.scoped)

NodeRuntime.runMain(main)
