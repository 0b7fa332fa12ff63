import { Clock, Deferred, Effect, Schedule } from "effect"
import { type ChildProcess, spawn, type StdioOptions } from "node:child_process"
import { readdir, readFile } from "node:fs/promises"
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

// Also after the child itself is gone: what it started may not be.
const killGroup = (child: ChildProcess) => {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, "SIGKILL")
  } catch {
    // Nobody is left of the group, or this system has no process groups.
    child.kill("SIGKILL")
  }
}

const collect = (child: ChildProcess, done: Deferred.Deferred<Exit, MediaEngineFailed>) => {
  let output = ""
  let errors = ""
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    output += text
    if (output.length > longestOutput) killGroup(child)
  })
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    if (errors.length < longestErrors) errors = (errors + text).slice(0, longestErrors)
  })
  // A child that dies before it has read its job breaks this pipe; its exit says why.
  child.stdin?.on("error", () => {})
  child.on("error", (error) => {
    Deferred.doneUnsafe(done, Effect.fail(new MediaEngineFailed({ reason: "spawn_failed", detail: error.message })))
  })
  // Whoever else holds the pipes open would keep them from closing.
  child.on("exit", () => killGroup(child))
  child.on("close", (code, signal) => {
    Deferred.doneUnsafe(done, Effect.succeed({ code, signal, output, errors }))
  })
}

/**
 * Starts a program as the leader of a process group of its own, with an empty environment and one open file, writes `line` to
 * it and leaves its standard input open. Closing the scope kills the group and waits until it is gone.
 */
export const startChild = (argv: ReadonlyArray<string>, line: string, file: number) =>
  Effect.acquireRelease(
    Effect.gen(function*() {
      const done = yield* Deferred.make<Exit, MediaEngineFailed>()
      const [program = process.execPath, ...args] = argv
      const child = yield* Effect.try({
        try: () => {
          // The file is the child's number 3, see Whole.ts.
          const stdio: StdioOptions = ["pipe", "pipe", "pipe", file]
          return spawn(program, args, { env: {}, cwd: "/", shell: false, detached: true, stdio })
        },
        catch: (cause) => new MediaEngineFailed({ reason: "spawn_failed", detail: String(cause) })
      })
      collect(child, done)
      child.stdin?.write(`${line}\n`)
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

const waitedOfThread = (path: string) =>
  readFile(path, "latin1").then((text) => Number(text.split(" ")[1] ?? 0) / 1e6, () => 0)

/**
 * How long the child's threads were ready and the kernel gave the processor to others, in all. The main one does most of the
 * work, and sleeps while another opens the file or a decoder: that one may be who waits. The sum is generous, and a child that
 * hangs or burns has other limits: none of its threads waits, or its processor time runs out.
 */
const waitedOf = (pid: number) =>
  Effect.promise(async () => {
    const threads = await readdir(`/proc/${pid}/task`).catch(() => [])
    const waited = await Promise.all(threads.map((thread) => waitedOfThread(`/proc/${pid}/task/${thread}/schedstat`)))
    return waited.reduce((sum, millis) => sum + millis, 0)
  })

/**
 * Fails once the process has had `seconds` of wall time for itself; never succeeds. At idle priority a full machine may give
 * it no processor for minutes: that says nothing about the file, and starting it again would only lose what it has done.
 */
export const watchWall = Effect.fnUntraced(function*(pid: number, seconds: number) {
  const begin = yield* Clock.currentTimeMillis
  let waited = 0
  for (;;) {
    // What a thread that has ended waited for is not told any more.
    waited = Math.max(waited, yield* waitedOf(pid))
    const left = seconds * 1_000 + waited - ((yield* Clock.currentTimeMillis) - begin)
    if (left <= 0) {
      const detail = `no answer within ${seconds} s, and ${
        (waited / 1_000).toFixed(1)
      } s more of waiting for a processor`
      return yield* new MediaEngineFailed({ reason: "timed_out", detail })
    }
    yield* Effect.sleep(Math.max(100, left))
  }
})
