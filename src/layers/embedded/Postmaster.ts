import { Effect, Option, Schedule } from "effect"
import { type ChildProcess, execFile, spawn } from "node:child_process"
import { closeSync, openSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { createServer } from "node:net"
import { join } from "node:path"
import { EmbeddedPostgresError, type Runtime, step } from "./Binaries.ts"

/** What a server says of itself in its `postmaster.pid`. */
export interface Postmaster {
  readonly pid: number
  readonly port: number
  readonly ready: boolean
}

const poll = Schedule.spaced("15 millis")

export const readPostmaster = (dataDir: string): Effect.Effect<Option.Option<Postmaster>> =>
  Effect.promise(() => readFile(join(dataDir, "postmaster.pid"), "utf8").catch(() => undefined)).pipe(
    Effect.map((text) => {
      if (text === undefined) return Option.none()
      const lines = text.split("\n")
      return Option.some({
        pid: Number.parseInt(lines[0] ?? "", 10),
        port: Number.parseInt(lines[3] ?? "", 10),
        ready: lines[7]?.trim() === "ready"
      })
    })
  )

const commandLine = (pid: number): Promise<string> =>
  process.platform === "linux"
    ? readFile(`/proc/${pid}/cmdline`, "utf8").then((text) => text.replaceAll("\0", " "), () => "")
    : new Promise((settle) =>
      execFile("ps", ["-o", "command=", "-p", String(pid)], (_error, stdout) => settle(stdout.trim()))
    )

/**
 * Whether that process is the server of that data directory. A bare `kill(pid, 0)` would also say yes to a stranger that
 * got the number after a crash, and to a zombie that nobody reaps.
 */
export const isServing = (pid: number, dataDir: string): Effect.Effect<boolean> =>
  Number.isInteger(pid) && pid > 1
    ? Effect.promise(() => commandLine(pid)).pipe(
      Effect.map((line) => line.includes("postgres") && line.includes(` -D ${dataDir} `))
    )
    : Effect.succeed(false)

const signal = (pid: number, name: "SIGINT" | "SIGQUIT" | "SIGKILL") =>
  Effect.sync(() => {
    try {
      process.kill(pid, name)
    } catch {
      // It ended in the meantime, which is what was wanted.
    }
  })

/** Waits until the server is gone; false when it still runs after that time. */
export const awaitGone = (pid: number, dataDir: string, limit: "5 seconds" | "20 seconds" | "60 seconds") =>
  isServing(pid, dataDir).pipe(
    Effect.repeat({ schedule: poll, while: (serving) => serving }),
    Effect.as(true),
    Effect.timeoutOrElse({ duration: limit, orElse: () => Effect.succeed(false) })
  )

/** Fast shutdown; immediate after 20 s; SIGKILL at last, from which the next start recovers. */
export const stopServer: (pid: number, dataDir: string) => Effect.Effect<void> = Effect.fnUntraced(
  function*(pid, dataDir) {
    if (!(yield* isServing(pid, dataDir))) return
    yield* signal(pid, "SIGINT")
    if (yield* awaitGone(pid, dataDir, "20 seconds")) return
    yield* signal(pid, "SIGQUIT")
    if (yield* awaitGone(pid, dataDir, "5 seconds")) return
    yield* signal(pid, "SIGKILL")
    yield* awaitGone(pid, dataDir, "5 seconds")
  }
)

const freePort = (): Promise<number> =>
  new Promise((settle, fail) => {
    const server = createServer()
    server.once("error", fail)
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() =>
        typeof address === "object" && address !== null ? settle(address.port) : fail(new Error("no port is free"))
      )
    })
  })

const settings = (port: number, durable: boolean): ReadonlyArray<string> =>
  [
    "listen_addresses=127.0.0.1",
    `port=${port}`,
    // No socket in the file system: its path may have 107 bytes at most, which a deep home exceeds.
    "unix_socket_directories=",
    "max_connections=200",
    "shared_preload_libraries=pg_stat_statements",
    "timezone=UTC",
    "log_timezone=UTC",
    "log_min_messages=warning",
    "log_checkpoints=off",
    // The log must not keep what people sent: no statements, and no DETAIL, which quotes the values of keys.
    "log_min_error_statement=panic",
    "log_error_verbosity=terse",
    // What is not durable is a test's, whose plans must not depend on whether it took long enough to be vacuumed.
    ...(durable ? [] : ["fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off"])
  ].flatMap((setting) => ["-c", setting])

interface Launched {
  readonly child: ChildProcess
  readonly ended: () => boolean
}

// Detached, in a session of its own: Ctrl-C goes to the whole foreground group, and PostgreSQL would be gone before the
// services have finished with it.
const launch = (runtime: Runtime, logFile: string, durable: boolean) =>
  step("start its server", async (): Promise<Launched> => {
    const port = await freePort()
    const log = openSync(logFile, "w", 0o600)
    try {
      const [command, args] = runtime.command("postgres", ["-D", runtime.dataDir, ...settings(port, durable)])
      const child = spawn(command, args, { ...runtime.options, detached: true, stdio: ["ignore", log, log] })
      let ended = false
      child.once("exit", () => ended = true)
      child.once("error", () => ended = true)
      child.unref()
      return { child, ended: () => ended }
    } finally {
      closeSync(log)
    }
  })

const readLog = (logFile: string) => Effect.promise(() => readFile(logFile, "utf8").catch(() => ""))

// A port taken between our look and PostgreSQL's bind, or processes of a killed server that still hold its memory.
const passing = ["could not create any TCP/IP sockets", "is still in use", "Is another postmaster"]

const startOnce = Effect.fnUntraced(function*(runtime: Runtime, logFile: string, durable: boolean) {
  const launched = yield* launch(runtime, logFile, durable)
  const found = yield* readPostmaster(runtime.dataDir).pipe(
    Effect.repeat({
      schedule: poll,
      until: (state) => launched.ended() || Option.exists(state, (it) => it.ready && it.pid === launched.child.pid)
    }),
    // Crash recovery replays the log before it is ready; a minute is far more than an embedded database writes.
    Effect.timeoutOption("60 seconds"),
    Effect.map(Option.flatten)
  )
  if (Option.isSome(found) && !launched.ended()) return { pid: found.value.pid, port: found.value.port }
  if (launched.child.pid !== undefined) yield* stopServer(launched.child.pid, runtime.dataDir)
  const log = (yield* readLog(logFile)).trim().split("\n").slice(-5).join("\n")
  return yield* new EmbeddedPostgresError({
    message: `Embedded PostgreSQL did not start from ${runtime.dataDir}. Its log (${logFile}) ends:\n${log}`
  })
})

export const startServer = (
  runtime: Runtime,
  logFile: string,
  durable: boolean
): Effect.Effect<{ readonly pid: number; readonly port: number }, EmbeddedPostgresError> =>
  startOnce(runtime, logFile, durable).pipe(
    Effect.retry({
      schedule: Schedule.spaced("200 millis"),
      times: 50,
      while: (error) => passing.some((text) => error.message.includes(text))
    })
  )

/** Runs a program to its end; its output is the error's message when it fails. */
export const run = (runtime: Runtime, program: "initdb", args: ReadonlyArray<string>) =>
  step(`run ${program}`, () =>
    new Promise<void>((settle, fail) => {
      const [command, words] = runtime.command(program, args)
      const child = spawn(command, words, { ...runtime.options, detached: true, stdio: ["ignore", "ignore", "pipe"] })
      let said = ""
      child.stderr.on("data", (chunk: Buffer) => said = (said + chunk.toString()).slice(-2_000))
      child.once("error", fail)
      child.once("close", (code) => code === 0 ? settle() : fail(new Error(`exit code ${code}: ${said.trim()}`)))
    }))
