import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect } from "effect"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { outage } from "./outage/Outage.ts"

const usage = `npm run test:outage -- [options]
PostgreSQL is killed under load and started again; ends with 1 unless every answer meanwhile was a 503 within 1 s, nothing
crashed, and everything was served again within 5 s of its return.
  --seconds N   how long PostgreSQL is away (30)
  --rate N      requests a second (100)
  --hang        it hangs instead: it takes connections and answers nothing; then those that are
                on their way to it may take 4.5 s, and the others 1.5 s`

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "30" },
    rate: { type: "string", default: "100" },
    hang: { type: "boolean", default: false },
    help: { type: "boolean", default: false }
  }
})

const list = (tally: ReadonlyMap<number, number>) =>
  [...tally].map(([status, times]) => `${status}: ${times}`).join("  ")

const main = Effect.gen(function*() {
  if (values.help) return yield* Console.log(usage)
  const folder = yield* Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "midnight-outage-"))),
    (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true, maxRetries: 10 }))
  )
  const report = yield* outage(folder, {
    seconds: Number(values.seconds),
    rate: Number(values.rate),
    hang: values.hang
  })
  for (const phase of ["before", "during", "across", "after"] as const) {
    yield* Console.log(`${phase.padEnd(8)}${list(report[phase])}`)
  }
  const claims: ReadonlyArray<readonly [boolean, string]> = [
    [report.during.size === 1 && report.during.has(503), "503 and nothing else while it is away"],
    values.hang
      ? [
        report.slowest <= 4_500 && report.late <= Number(values.rate),
        `within 1.5 s but for ${report.late} that were on their way; the slowest took ${report.slowest.toFixed(0)} ms`
      ]
      : [report.slowest <= 1_000, `within 1 s: the slowest took ${report.slowest.toFixed(0)} ms`],
    [report.recovery <= 5_000, `served again within 5 s: after ${report.recovery.toFixed(0)} ms`],
    [!report.crashed, "the process did not end"],
    [![report.before, report.across, report.after].some((tally) => tally.has(500)), "no 500 before or after"]
  ]
  for (const [holds, says] of claims) yield* Console.log(`${holds ? "✓" : "✗"} ${says}`)
  if (!claims.every(([holds]) => holds)) process.exitCode = 1
}).pipe(Effect.scoped)

NodeRuntime.runMain(main)
