import { readFileSync } from "node:fs"
import { settle } from "../../../bench/database.ts"
import { busySeconds, cpuSeconds } from "../../../bench/machine.ts"
import { median } from "../../../bench/rounds.ts"
import { type Fault, suffer, type Traces } from "./Faults.ts"
import { clear, type Pattern } from "./Jobs.ts"
import type { Stage } from "./Stage.ts"
import { film, pay, type Payments } from "./Traffic.ts"
import type { VideoProgram } from "./VideoProcess.ts"

export interface Window extends Payments {
  /** Cores that were busy with what does not belong to this run. */
  readonly otherCores: number
  /** … and with what does: the processes of the run, each with all below it. */
  readonly cores: Readonly<Record<"api" | "postgres" | "sandbox" | "harness" | "video", number>>
}

export interface Pair {
  readonly baseline: Window
  readonly faulty: Window
  /** What shows that the fault was there; undefined when nothing does. */
  readonly proof: string | undefined
}

export interface Verdict {
  readonly errors: number
  /** Medians over the pairs, in milliseconds; the ratio is the median of the pairs' own. */
  readonly p50: { readonly baseline: number; readonly faulty: number; readonly ratio: number }
  readonly p99: { readonly baseline: number; readonly faulty: number; readonly ratio: number; readonly bound: number }
  readonly otherCores: number
  /** Why it does not hold. Payments that failed weigh more than slow ones: another run does not excuse them. */
  readonly broken: ReadonlyArray<string>
}

export interface Options {
  readonly seconds: number
  readonly pairs: number
  readonly rate: number
}

/** The bounds of docs/isolation.md. */
export const bounds = { p50: 2, p99: 5, p99Floor: 250 }

const spent = (stage: Stage) => {
  const [api, postgres, sandbox, video] = [
    cpuSeconds([stage.pids().api]),
    cpuSeconds([stage.postgres.pid]),
    cpuSeconds([stage.pids().sandbox]),
    stage.video.pid === undefined ? 0 : cpuSeconds([stage.video.pid])
  ]
  const { system, user } = process.cpuUsage()
  return { api, postgres, sandbox, video, harness: (system + user) / 1e6, all: cpuSeconds([process.pid]) + postgres }
}

const windowOf = async (stage: Stage, payments: () => Promise<Payments>): Promise<Window> => {
  const [before, busy, began] = [spent(stage), busySeconds(), performance.now()]
  const measured = await payments()
  const seconds = (performance.now() - began) / 1_000
  const after = spent(stage)
  const cores = (of: keyof typeof after) => Math.max(0, (after[of] - before[of]) / seconds)
  return {
    ...measured,
    otherCores: Math.max(0, (busySeconds() - busy) / seconds - cores("all")),
    cores: {
      api: cores("api"),
      postgres: cores("postgres"),
      sandbox: cores("sandbox"),
      harness: cores("harness"),
      video: cores("video")
    }
  }
}

/** Enough of everything for each bulkhead to have opened its pool. */
export const warmUp = async (stage: Stage, { rate }: Pick<Options, "rate">, seconds = 5): Promise<void> => {
  await stage.video.start({})
  await fetch(`http://127.0.0.1:${stage.ports.api}/api/auth/login`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ email: "nobody@example.com", password: "a long enough passphrase" })
  }).then((answer) => answer.body?.cancel())
  await pay(stage, seconds, rate)
}

/** Payments beside a healthy video process that has nothing to do. */
export const calm = async (stage: Stage, { rate, seconds }: Options): Promise<Window> => {
  await stage.video.stop()
  await clear(stage)
  await stage.video.start({})
  await settle(stage.postgres)
  return windowOf(stage, () => pay(stage, seconds, rate))
}

/** Payments while a fault of video is there. */
export const faulty = async (
  stage: Stage,
  fault: Fault,
  program: VideoProgram | null,
  pattern: Pattern,
  { rate, seconds }: Options
): Promise<{ readonly window: Window; readonly traces: Traces }> => {
  await stage.video.stop()
  await clear(stage)
  await settle(stage.postgres)
  const measured: Array<Window> = []
  const clip = readFileSync(pattern.clip)
  const traces = await suffer(stage, fault, program, pattern, seconds, async () => {
    let over = false
    const films = film(stage, clip, fault.films, () => over)
    measured.push(await windowOf(stage, () => pay(stage, seconds, rate).finally(() => over = true)))
    return films
  })
  await stage.video.stop()
  const [window] = measured
  if (window === undefined) throw new Error("nothing was measured")
  return { window, traces }
}

const sum = (numbers: ReadonlyArray<number>) => numbers.reduce((a, b) => a + b, 0)

/** What the pairs of one fault come to. */
export const judge = (pairs: ReadonlyArray<Pair>): Verdict => {
  const of = (pick: (pair: Pair) => number) => median(pairs.map(pick))
  const excess = (pair: Pair) => pair.faulty.p99 / Math.max(bounds.p99 * pair.baseline.p99, bounds.p99Floor)
  const errors = sum(pairs.flatMap(({ faulty }) => Object.values(faulty.errors)))
  const p50 = {
    baseline: of(({ baseline }) => baseline.p50),
    faulty: of(({ faulty }) => faulty.p50),
    ratio: of(({ baseline, faulty }) => faulty.p50 / baseline.p50)
  }
  const p99 = {
    baseline: of(({ baseline }) => baseline.p99),
    faulty: of(({ faulty }) => faulty.p99),
    ratio: of(({ baseline, faulty }) => faulty.p99 / baseline.p99),
    bound: of(({ baseline }) => Math.max(bounds.p99 * baseline.p99, bounds.p99Floor))
  }
  const kinds = [...new Set(pairs.flatMap(({ faulty }) => Object.keys(faulty.errors)))]
  const broken = [
    ...(errors > 0 ? [`${errors} payment errors (${kinds.join(", ")})`] : []),
    ...(of(excess) > 1 ? [`p99 ${Math.round(p99.faulty)} ms, ${Math.round(p99.bound)} allowed`] : []),
    ...(p50.ratio > bounds.p50 ? [`p50 ${p50.ratio.toFixed(1)} × the baseline, ${bounds.p50} allowed`] : []),
    ...(pairs.some(({ proof }) => proof === undefined) ? ["the fault was not seen to happen"] : []),
    ...(pairs.some(({ baseline }) => Object.keys(baseline.errors).length > 0)
      ? ["payments failed in the baseline"]
      : [])
  ]
  return {
    errors,
    p50,
    p99,
    otherCores: of(({ baseline, faulty }) => Math.max(baseline.otherCores, faulty.otherCores)),
    broken
  }
}
