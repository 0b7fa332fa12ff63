import { Effect } from "effect"
import { rmSync } from "node:fs"
import { join } from "node:path"
import { auditOf } from "../../../bench/books.ts"
import { makeClip } from "../../../src/main/demo/Clip.ts"
import { faults, programOf } from "./Faults.ts"
import { type Pattern, patternOf } from "./Jobs.ts"
import { regressions } from "./Regressions.ts"
import type { Report, Row } from "./Report.ts"
import { calm, faulty, judge, type Options, type Pair, warmUp } from "./Rounds.ts"
import { openStage, type Stage, withoutPool } from "./Stage.ts"

export interface Plan {
  readonly folder: string
  readonly options: Options
  readonly faults: ReadonlyArray<string>
  readonly regressions: ReadonlyArray<string>
  readonly say: (part: number, what: string) => void
}

interface Ground extends Plan {
  readonly stage: Stage
  readonly pattern: Pattern
  /** Tells what is done now, and counts it. */
  readonly step: (what: string) => void
}

const pairsOf = async (ground: Ground, name: string): Promise<ReadonlyArray<Pair>> => {
  const { options, pattern, stage, step } = ground
  const fault = faults[name]
  const program = programOf(name)
  if (fault === undefined || program === undefined) return []
  const pairs: Array<Pair> = []
  for (let n = 1; n <= options.pairs; n++) {
    step(`${name}: baseline ${n} of ${options.pairs}`)
    const baseline = await calm(stage, options)
    step(`${name}: with the fault, ${n} of ${options.pairs}`)
    const { traces, window } = await faulty(stage, fault, program, pattern, options)
    pairs.push({ baseline, faulty: window, proof: fault.proof(traces) })
  }
  return pairs
}

const rowOf = (name: string, run: Row["run"], pairs: ReadonlyArray<Pair>): Row => ({
  name,
  run,
  verdict: judge(pairs),
  proof: pairs.find(({ proof }) => proof !== undefined)?.proof ?? "not seen",
  pairs
})

/** A fault over its bound is run once more, and both runs are kept. */
const rowsOf = async (ground: Ground, name: string): Promise<ReadonlyArray<Row>> => {
  const pairs = await pairsOf(ground, name)
  if (pairs.length === 0) return []
  const first = rowOf(name, "first", pairs)
  if (first.verdict.broken.length === 0) return [first]
  return [first, rowOf(name, "again", await pairsOf(ground, name))]
}

const regressionOf = async (ground: Ground, name: string) => {
  const { options, pattern, stage, step } = ground
  const regression = regressions[name]
  const fault = regression?.fault
  if (regression === undefined || fault === undefined) throw new Error(`there is no regression ${name}`)
  step(`${name}: baseline`)
  const baseline = await calm(stage, options)
  step(`${name}: ${regression.says}`)
  await regression.prepare(stage)
  try {
    await stage.useApi(regression.api(stage))
    await warmUp(stage, options)
    const shared = await withoutPool(stage)
    const { traces, window } = await faulty(stage, fault, fault.video, pattern, options)
    return { row: rowOf(name, "regression", [{ baseline, faulty: window, proof: fault.proof(traces) }]), shared }
  } finally {
    await regression.undo(stage)
    await stage.useApi()
  }
}

/** Every fault of the plan, then every regression. */
export const runAll = async (plan: Plan): Promise<Pick<Report, "rows" | "skipped" | "sharedPool" | "books">> => {
  const steps = 2 + plan.faults.length * plan.options.pairs * 2 + plan.regressions.length * 2
  let done = 0
  const step = (what: string) => plan.say(Math.min(1, done++ / steps), what)
  step("PostgreSQL, the API, the sandbox provider")
  const stage = await openStage(plan.folder)
  const leave = () => {
    rmSync(plan.folder, { recursive: true, force: true, maxRetries: 10 })
    process.exit(130)
  }
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => void stage.close().finally(leave))
  try {
    const clip = join(plan.folder, "clip.mp4")
    await Effect.runPromise(makeClip({ path: clip, seconds: 6, width: 1280, height: 720, kind: "scene" }))
    const pattern = await patternOf(stage, clip)
    step("warming up")
    await warmUp(stage, plan.options)
    const ground: Ground = { ...plan, stage, pattern, step }
    const real = await withoutPool(stage)
    const rows: Array<Row> = []
    for (const name of plan.faults) rows.push(...await rowsOf(ground, name))
    const mutant: Array<string> = []
    for (const name of plan.regressions) {
      const { row, shared } = await regressionOf(ground, name)
      rows.push(row)
      if (name === "shared-pool") mutant.push(...shared)
    }
    return {
      rows,
      skipped: plan.faults.filter((name) => programOf(name) === undefined)
        .map((name) => `${name}: this machine lets nobody mount a small disk`),
      sharedPool: plan.regressions.includes("shared-pool") ? { real, mutant } : undefined,
      books: await auditOf(stage.url)
    }
  } finally {
    await stage.close()
  }
}
