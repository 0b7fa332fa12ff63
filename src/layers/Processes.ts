import { Clock, Console, Duration, Effect, Schema } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { dirname, resolve } from "node:path"

/** A program of this project, run with Node in a process of its own. */
export interface Program {
  /** What people call it: `video`. */
  readonly name: string
  /** Its file, relative to the project: `src/main/Video.ts`. */
  readonly file: string
  readonly args?: ReadonlyArray<string>
  /** Added to this process's own environment. */
  readonly environment: Readonly<Record<string, string>>
  /** Holds the number of the process while it runs, for people and scripts that want to signal it. */
  readonly pidFile?: string
}

/** A process that cannot work until a person mends something; its own last words are the message. */
export class ProgramFailed extends Schema.TaggedError<ProgramFailed>()("ProgramFailed", {
  program: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `${this.program} did not start: ${this.reason}`
  }
}

interface Ended {
  readonly code: number | null
  readonly signal: string | null
  readonly lastWords: string
}

/** EX_CONFIG of sysexits.h: starting it again would change nothing. */
export const configurationExitCode = 78

const project = resolve(import.meta.dirname, "../..")
const lastWordsLimit = 2_000

interface Running {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
}

// In a session of its own, so that Ctrl-C reaches the supervisor alone, which then stops things in their order. Standard
// input is a pipe that nobody writes to: ParentWatch in the child sees it close when this process is gone.
const launch = (program: Program): Running => {
  const words = ["--import", "./src/main/node-version.js", program.file, ...program.args ?? []]
  const child = spawn(process.execPath, words, {
    cwd: project,
    env: { ...process.env, ...program.environment, MIDNIGHT_SUPERVISED: "1" },
    detached: true,
    stdio: ["pipe", "inherit", "pipe"]
  })
  const { pidFile } = program
  if (pidFile !== undefined && child.pid !== undefined) {
    mkdirSync(dirname(pidFile), { recursive: true })
    writeFileSync(pidFile, String(child.pid))
    child.once("exit", () => rmSync(pidFile, { force: true }))
  }
  let lastWords = ""
  child.stderr.on("data", (chunk: Buffer) => {
    process.stderr.write(chunk)
    lastWords = (lastWords + chunk.toString()).slice(-lastWordsLimit)
  })
  child.stdin.on("error", () => {})
  const ended = new Promise<Ended>((settle) => {
    child.once("error", (cause) => settle({ code: null, signal: null, lastWords: String(cause) }))
    child.once("close", (code, signal) => settle({ code, signal, lastWords: lastWords.trim() }))
  })
  return { child, ended }
}

const kill = (pid: number, signal: "SIGTERM" | "SIGKILL") =>
  Effect.sync(() => {
    try {
      process.kill(pid, signal)
    } catch {
      // It ended in the meantime.
    }
  })

const stop = ({ child, ended }: Running) =>
  Effect.gen(function*() {
    const { pid } = child
    if (child.exitCode !== null || child.signalCode !== null || pid === undefined) return
    yield* kill(pid, "SIGTERM")
    yield* Effect.promise(() => ended).pipe(
      Effect.timeoutOrElse({
        duration: "25 seconds",
        // The whole group, so that what it started goes too.
        orElse: () => Effect.andThen(kill(-pid, "SIGKILL"), Effect.promise(() => ended))
      })
    )
  })

const runOnce = (program: Program): Effect.Effect<Ended> =>
  Effect.acquireUseRelease(
    Effect.sync(() => launch(program)),
    ({ ended }) => Effect.promise(() => ended),
    stop
  )

const failed = (program: Program, ended: Ended) => {
  const how = ended.signal === null ? `it ended with code ${ended.code}` : `it was ended by ${ended.signal}`
  return new ProgramFailed({ program: program.name, reason: ended.lastWords === "" ? how : ended.lastWords })
}

/** Runs a program to its end, which must be a success. */
export const runProgram: (program: Program) => Effect.Effect<void, ProgramFailed> = Effect.fnUntraced(
  function*(program) {
    const ended = yield* runOnce(program)
    if (ended.code !== 0) return yield* failed(program, ended)
  }
)

const longestPause = Duration.seconds(30)
const healthyAfter = Duration.toMillis(Duration.minutes(1))

/** 1 s, 2 s, 4 s … 30 s. */
const pauseAfter = (failures: number) => Duration.min(Duration.seconds(2 ** Math.min(failures, 10)), longestPause)

/**
 * Keeps a program running until interrupted, and then stops it: SIGTERM, SIGKILL after 25 s. One that ends is started again
 * after 1 s, then with backoff to 30 s, from the beginning once it has run for a minute. Only a configuration error, which
 * a restart cannot mend, ends it: exit code 78.
 */
export const supervise: (program: Program) => Effect.Effect<never, ProgramFailed> = Effect.fnUntraced(
  function*(program) {
    let failures = 0
    while (true) {
      const began = yield* Clock.currentTimeMillis
      const ended = yield* runOnce(program)
      if (ended.code === configurationExitCode) return yield* failed(program, ended)
      if ((yield* Clock.currentTimeMillis) - began >= healthyAfter) failures = 0
      const pause = pauseAfter(failures++)
      const how = ended.signal ?? `code ${ended.code}`
      yield* Console.error(`The ${program.name} process ended (${how}); it starts again in ${Duration.format(pause)}.`)
      yield* Effect.sleep(pause)
    }
  }
)
