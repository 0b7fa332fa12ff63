import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect } from "effect"
import { randomInt } from "node:crypto"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { fakes } from "../layers/Gateways.ts"
import { crashingPostgres } from "./bank/Postgres.ts"
import { storm } from "./storm/Storm.ts"

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    wishes: { type: "string", default: "2000" },
    people: { type: "string", default: "24" },
    kills: { type: "string", default: "20" },
    /** Leaves the server's log behind. */
    keep: { type: "boolean", default: false }
  }
})

const run = Effect.gen(function*() {
  const folder = yield* Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "midnight-storm-"))),
    (path) =>
      values.keep
        ? Console.log(`kept: ${path}`)
        : Effect.promise(() => rm(path, { recursive: true, force: true, maxRetries: 10 }))
  )
  const postgres = yield* crashingPostgres(folder)
  const { judge: _, ...report } = yield* storm(postgres, folder, {
    seed: Number(values.seed ?? randomInt(1_000_000_000)),
    wishes: Number(values.wishes),
    people: Number(values.people),
    kills: Number(values.kills)
  })
  yield* Console.log(JSON.stringify({ ...report, findings: report.findings.slice(0, 30) }, null, 2))
  yield* Console.log(
    report.findings.length === 0
      ? "Every payment ended in the state that its provider holds, booked exactly once; the audit is clean; nothing is stuck."
      : `${report.findings.length} findings; run it again with --seed ${report.seed}.`
  )
  if (report.findings.length > 0) process.exitCode = 1
}).pipe(Effect.scoped, Effect.provide(fakes))

NodeRuntime.runMain(run)
