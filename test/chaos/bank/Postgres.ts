import { PgClient, PgConnection } from "@effect/sql-pg"
import { Effect, Redacted, Schedule } from "effect"
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { closeSync, openSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { freePort } from "../../../bench/ports.ts"
import { prepare } from "../../../src/layers/embedded/Binaries.ts"
import { readPostmaster } from "../../../src/layers/embedded/Postmaster.ts"
import { EmbeddedPostgres } from "../../../src/layers/EmbeddedPostgres.ts"
import { migrate, setRolePasswords } from "../../../src/layers/Migrations.ts"
import { isAlive } from "../../layers/Held.ts"

export const rolesSecret = "a secret for the roles of the bank's database"
const template = "bank_template"

const childrenOf = (pid: number): ReadonlyArray<number> =>
  process.platform === "linux"
    ? readdirSync("/proc").filter((name) => /^\d+$/.test(name)).filter((name) => {
      try {
        return Number(readFileSync(`/proc/${name}/stat`, "utf8").replace(/^.*\) /s, "").split(" ")[1]) === pid
      } catch {
        return false
      }
    }).map(Number)
    : execFileSync("ps", ["-axo", "pid=,ppid="], { encoding: "utf8" }).trim().split("\n")
      .map((line) => line.trim().split(/\s+/).map(Number)).filter(([, parent]) => parent === pid).map(([child = 0]) =>
        child
      )

const signal = (pid: number, name: "SIGKILL" | "SIGSTOP" | "SIGCONT") => {
  try {
    process.kill(pid, name)
  } catch {
    // It ended in the meantime, which is what was wanted.
  }
}

export interface CrashingPostgres {
  /** The superuser's connection string of one of its databases. */
  url(database: string): Redacted.Redacted<string>
  readonly start: Effect.Effect<void>
  /** SIGKILL to the server and all its processes: their memory, and what was only there, is gone. */
  readonly kill: Effect.Effect<void>
  /** SIGSTOP to all of them: connections are taken by the kernel and nothing is ever answered. */
  readonly freeze: Effect.Effect<void>
  readonly thaw: Effect.Effect<void>
  /** A new database with Midnight's schema. */
  create(database: string): Effect.Effect<void>
}

/**
 * A PostgreSQL that survives what it is put through: durable settings, a child of this process on a port that stays the
 * same across its crashes, and not under a supervisor that would shut it down gently.
 */
export const crashingPostgres = Effect.fnUntraced(function*(folder: string) {
  const dataDir = join(folder, "postgres")
  const initial = yield* Effect.scoped(
    Effect.gen(function*() {
      const embedded = yield* EmbeddedPostgres
      yield* prepareTemplate(embedded.url)
      return { url: embedded.url, dataDir: embedded.dataDir }
    }).pipe(Effect.provide(EmbeddedPostgres.layer({ dataDir, durable: true })))
  )
  const runtime = yield* prepare(dataDir)
  const port = yield* Effect.promise(freePort)
  let child: ChildProcess | undefined

  const launch = Effect.sync(() => {
    const settings = [
      `port=${port}`,
      "listen_addresses=127.0.0.1",
      "unix_socket_directories=",
      "max_connections=200",
      "timezone=UTC",
      "log_error_verbosity=terse",
      // After a crash PostgreSQL syncs its whole folder, file by file unless told so: seconds, with several databases.
      ...(process.platform === "linux" ? ["recovery_init_sync_method=syncfs"] : [])
    ].flatMap((setting) => ["-c", setting])
    const [command, args] = runtime.command("postgres", ["-D", runtime.dataDir, ...settings])
    const log = openSync(join(folder, "postgres.log"), "a", 0o600)
    child = spawn(command, args, { ...runtime.options, stdio: ["ignore", log, log] })
    closeSync(log)
  })
  const ready = readPostmaster(runtime.dataDir).pipe(
    Effect.map((found) => found._tag === "Some" && found.value.ready && found.value.pid === child?.pid),
    // A server that does not start while processes of the dead one still hold its memory is started again.
    Effect.tap((ready) => ready || child?.exitCode === null ? Effect.void : launch),
    Effect.repeat({ schedule: Schedule.spaced("20 millis"), until: (ready) => ready }),
    Effect.timeout("60 seconds"),
    Effect.orDie,
    Effect.asVoid
  )
  const kill = Effect.promise(async () => {
    const pid = child?.pid
    if (child === undefined || pid === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, "exit")
    const family = childrenOf(pid)
    for (const one of [pid, ...family]) signal(one, "SIGKILL")
    await exited
    // They have another parent now, which may be slow to reap them, and until a process has got its signal it serves.
    while (family.some(isAlive)) await new Promise((resume) => setTimeout(resume, 5))
  })
  const all = (name: "SIGSTOP" | "SIGCONT") =>
    Effect.sync(() => {
      const pid = child?.pid
      if (pid === undefined) return
      // The postmaster first, when it stops: it would make new ones meanwhile.
      signal(pid, name)
      for (const one of childrenOf(pid)) signal(one, name)
    })
  const start = Effect.andThen(launch, ready)
  yield* Effect.acquireRelease(start, () => Effect.andThen(kill, Effect.ignore(EmbeddedPostgres.remove(dataDir))))

  const url = (database: string) => {
    const target = new URL(Redacted.value(initial.url))
    target.port = String(port)
    target.pathname = `/${database}`
    return Redacted.make(target.href)
  }
  const create = (database: string) =>
    Effect.forEach(
      [`CREATE DATABASE ${database} TEMPLATE ${template}`, `GRANT CONNECT ON DATABASE ${database} TO PUBLIC`],
      (statement) => command(url("postgres"), statement),
      { discard: true }
    ).pipe(Effect.orDie)
  return { url, start, kill, freeze: all("SIGSTOP"), thaw: all("SIGCONT"), create } satisfies CrashingPostgres
})

const command = (url: Redacted.Redacted<string>, statement: string) =>
  Effect.scoped(Effect.flatMap(PgConnection.make({ url }), (connection) => connection.query(statement, [])))

const prepareTemplate = Effect.fnUntraced(function*(url: Redacted.Redacted<string>) {
  yield* command(url, `CREATE DATABASE ${template}`)
  const target = new URL(Redacted.value(url))
  target.pathname = `/${template}`
  yield* Effect.andThen(migrate, setRolePasswords(Redacted.make(rolesSecret))).pipe(
    Effect.provide(PgClient.layer({ url: Redacted.make(target.href), maxConnections: 2 }))
  )
})
