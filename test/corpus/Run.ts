import { Effect, Option, Result } from "effect"
import { appendFile, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Check, defaultRules, judge, type Outcome } from "../../src/domain/Verification.ts"
import { makeClip } from "../../src/main/demo/Clip.ts"
import { MediaEngine } from "../../src/services/MediaEngine.ts"
import { corpus, type Specimen } from "./Corpus.ts"

export const canary = "canary-9b1d44c7"

/** What became of a file. */
export interface Row {
  readonly name: string
  readonly expected: Specimen["outcomes"]
  /** The engine's own failure where there is one: then the file had no verdict. */
  readonly findings: string
  readonly outcome: Outcome | "none"
  readonly checks: ReadonlyArray<Check>
  readonly cpuSeconds: number
  readonly wallSeconds: number
  readonly peakBytes: number
  /** Everything that the engine said about it. */
  readonly said: string
}

/** What was left behind or touched, which must be nothing. */
export interface Traces {
  readonly connections: number
  readonly children: ReadonlyArray<string>
  readonly files: ReadonlyArray<string>
}

/** Processes that this one started and that run the child program, still. */
const childrenLeft = async () => {
  const pids = (await readdir("/proc").catch(() => [])).filter((name) => /^\d+$/.test(name))
  const lines = await Promise.all(pids.map(async (pid) => {
    const parent = (await readFile(`/proc/${pid}/stat`, "latin1").catch(() => "")).split(") ").at(-1)?.split(" ")[1]
    const words = await readFile(`/proc/${pid}/cmdline`, "latin1").catch(() => "")
    return parent === String(process.pid) && words.includes("ChildMain")
      ? [`${pid} ${words.replaceAll("\0", " ")}`]
      : []
  }))
  return lines.flat()
}

/** Files of the child's own user, and what lies in the corpus's folder and is not of the corpus. */
const filesLeft = async (folder: string, made: ReadonlySet<string>) => {
  const beside = (await readdir(folder)).filter((name) => !made.has(name))
  const names = await readdir(tmpdir())
  const foreign = await Promise.all(names.map(async (name) => {
    const owner = await stat(join(tmpdir(), name)).then(({ uid }) => uid, () => 0)
    return owner === 60_999 ? [name] : []
  }))
  return [...beside, ...foreign.flat()]
}

/** A port of this machine that must not be called. */
export const bait = Effect.gen(function*() {
  const seen = { connections: 0, port: 0 }
  const server = createServer((socket) => {
    seen.connections++
    socket.destroy()
  })
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.void))
    }),
    () => Effect.sync(() => server.close())
  )
  const address = server.address()
  seen.port = address !== null && typeof address === "object" ? address.port : 0
  return seen
})

export const scratch = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "midnight-corpus-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true, maxRetries: 10 }))
)

/** A file to keep out of: a real video, so that whoever opens it against the rules has something to show for it. */
export const hideCanary = Effect.fnUntraced(function*(path: string) {
  yield* makeClip({ path, seconds: 1, width: 320, height: 240, fps: 15, kind: "scene", format: "mpegts" })
  yield* Effect.promise(() => appendFile(path, `${canary}\n`.repeat(100)))
})

const examine = Effect.fnUntraced(function*(path: string, { name, outcomes }: Specimen) {
  const engine = yield* MediaEngine
  const begin = performance.now()
  const result = yield* Effect.result(
    engine.analyse({ path, jobId: name, rules: defaultRules, traceparent: Option.none() })
  )
  const wallSeconds = (performance.now() - begin) / 1_000
  const row = { name, expected: outcomes, wallSeconds }
  if (Result.isFailure(result)) {
    const { detail, reason } = result.failure
    return { ...row, findings: reason, outcome: "none", checks: [], cpuSeconds: 0, peakBytes: 0, said: detail } as const
  }
  const { cpuSeconds, findings, peakBytes } = result.success
  const { checks, outcome } = judge(findings, defaultRules)
  return { ...row, findings: findings._tag, outcome, checks, cpuSeconds, peakBytes, said: JSON.stringify(findings) }
})

/** Makes the corpus, runs the engine over all of it, and looks for what it left behind. */
export const runCorpus = Effect.fnUntraced(function*(size: { readonly seeds: number; readonly cuts: number }) {
  const folder = yield* scratch
  const called = yield* bait
  const secret = join(folder, "secret.ts")
  yield* hideCanary(secret)
  const specimens = yield* corpus(folder, { secret, port: called.port }, size.seeds, size.cuts)
  const made = new Set([...(yield* Effect.promise(() => readdir(folder))), ...specimens.map(({ name }) => name)])
  const rows: ReadonlyArray<Row> = yield* Effect.forEach(
    specimens,
    (specimen) => {
      const path = join(folder, specimen.name)
      return Effect.andThen(Effect.promise(() => writeFile(path, specimen.bytes)), examine(path, specimen))
    },
    { concurrency: 2 }
  )
  const traces: Traces = {
    connections: called.connections,
    children: yield* Effect.promise(childrenLeft),
    files: yield* Effect.promise(() => filesLeft(folder, made))
  }
  return { rows, traces }
}, Effect.scoped)

/** What is wrong with a run, in words; nothing, if all is well. */
export const faultsOf = ({ rows, traces }: { readonly rows: ReadonlyArray<Row>; readonly traces: Traces }) => [
  ...rows.filter(({ expected, outcome }) => outcome === "none" || !expected.includes(outcome)).map((row) =>
    `${row.name}: ${row.findings}, ${row.outcome} (${row.said.slice(0, 300)})`
  ),
  ...rows.filter(({ wallSeconds }) => wallSeconds > 120).map(({ name, wallSeconds }) => `${name}: ${wallSeconds} s`),
  ...rows.filter(({ said }) => said.includes("canary")).map(({ name }) => `${name}: the canary got out`),
  ...rows.filter(({ name, peakBytes }) => name.includes("16k") && peakBytes > 250e6).map(({ name, peakBytes }) =>
    `${name}: its pictures were given ${peakBytes} bytes`
  ),
  ...traces.children.map((child) => `left behind: ${child}`),
  ...traces.files.map((file) => `left behind: ${file}`),
  ...(traces.connections > 0 ? [`${traces.connections} connections to the bait`] : [])
]
