import { Deferred, Effect, Schedule } from "effect"
import { spawn } from "node:child_process"
import type { ChildProcessWithoutNullStreams } from "node:child_process"
import { readFile } from "node:fs/promises"
import { MediaEngineFailed } from "../../services/MediaEngine.ts"

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly output: string
  readonly errors: string
}

export interface Child {
  readonly pid: number
  readonly exit: Effect.Effect<Exit, MediaEngineFailed>
}

// An answer holds two pictures and a fingerprint, 500 KiB at most; a child that writes more is no longer ours.
const longestOutput = 768 * 1024
const longestErrors = 4 * 1024

const killGroup = (child: ChildProcessWithoutNullStreams) => {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  try {
    process.kill(-child.pid, "SIGKILL")
  } catch {
    // It went by itself between the look and the kill, or this system has no process groups.
    child.kill("SIGKILL")
  }
}

const collect = (child: ChildProcessWithoutNullStreams, done: Deferred.Deferred<Exit, MediaEngineFailed>) => {
  let output = ""
  let errors = ""
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text
    if (output.length > longestOutput) killGroup(child)
  })
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    if (errors.length < longestErrors) errors = (errors + text).slice(0, longestErrors)
  })
  // A child that dies before it has read its job breaks this pipe; its exit says why.
  child.stdin.on("error", () => {})
  child.on("error", (error) => {
    Deferred.doneUnsafe(done, Effect.fail(new MediaEngineFailed({ reason: "spawn_failed", detail: error.message })))
  })
  child.on("close", (code, signal) => {
    Deferred.doneUnsafe(done, Effect.succeed({ code, signal, output, errors }))
  })
}

/**
 * Starts a program as the leader of a process group of its own, with an empty environment, writes `line` to it and leaves
 * its standard input open. Closing the scope kills the group and waits until it is gone.
 */
export const startChild = (argv: ReadonlyArray<string>, line: string) =>
  Effect.acquireRelease(
    Effect.gen(function*() {
      const done = yield* Deferred.make<Exit, MediaEngineFailed>()
      const [program = process.execPath, ...args] = argv
      const child = yield* Effect.try({
        try: () => spawn(program, args, { env: {}, cwd: "/", shell: false, detached: true, stdio: "pipe" }),
        catch: (cause) => new MediaEngineFailed({ reason: "spawn_failed", detail: String(cause) })
      })
      collect(child, done)
      child.stdin.write(`${line}\n`)
      return { child, done }
    }),
    ({ child, done }) =>
      Effect.andThen(Effect.sync(() => killGroup(child)), Effect.ignore(Deferred.await(done))).pipe(
        Effect.timeoutOption("5 seconds")
      )
  ).pipe(Effect.map(({ child, done }): Child => ({ pid: child.pid ?? 0, exit: Deferred.await(done) })))

// statm counts pages; 4 KiB is their size wherever this file exists and FFmpeg's build runs, but for some arm64 kernels,
// whose larger pages make the watchdog later, never earlier.
const pageBytes = 4096

const residentOf = (pid: number) =>
  Effect.promise(() =>
    readFile(`/proc/${pid}/statm`, "latin1").then((text) => Number(text.split(" ")[1] ?? 0) * pageBytes, () => 0)
  )

/** Fails once the process holds more than `limit` bytes; never succeeds. */
export const watchResident = (pid: number, limit: number): Effect.Effect<never, MediaEngineFailed> =>
  residentOf(pid).pipe(
    Effect.filterOrFail(
      (bytes) => bytes <= limit,
      (bytes) => new MediaEngineFailed({ reason: "out_of_memory", detail: `${bytes} bytes resident, ${limit} allowed` })
    ),
    Effect.repeat(Schedule.spaced("100 millis")),
    Effect.andThen(Effect.never)
  )
