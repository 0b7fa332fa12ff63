import * as PgConnection from "@effect/sql-pg/PgConnection"
import { Context, Effect, Layer, Option, Redacted, Schedule } from "effect"
import { randomBytes } from "node:crypto"
import { access, chown, mkdir, readdir, readFile, realpath, rename, rm, writeFile } from "node:fs/promises"
import { basename, dirname, join } from "node:path"
import { discard, EmbeddedPostgresError, placeOf, prepare, type Runtime, step } from "./embedded/Binaries.ts"
import { awaitGone, isServing, readPostmaster, run, startServer, stopServer } from "./embedded/Postmaster.ts"
import { type FileLock, takeFileLock } from "./HomeLock.ts"

export interface EmbeddedPostgresOptions {
  /** Absolute. Files with the same name and an ending (`.password`, `.log`, locks) are kept beside it. */
  readonly dataDir: string
  /** False gives up safety against power loss for speed: for tests. */
  readonly durable: boolean
  /** The `application_name` of connections made with the url. */
  readonly application?: string
}

type How = "initialised" | "started" | "adopted" | "recovered"

const user = "midnight"
const database = "midnight"

const urlOf = (port: number, password: string, application: string | undefined) =>
  Redacted.make(
    `postgres://${user}:${password}@127.0.0.1:${port}/${database}`
      + (application === undefined ? "" : `?application_name=${encodeURIComponent(application)}`)
  )

/** The superuser's password: generated once, readable by this user alone, never on a command line. */
const passwordFor = (dataDir: string) =>
  step("keep its password", async () => {
    const file = `${dataDir}.password`
    await writeFile(file, randomBytes(32).toString("base64url"), { mode: 0o600, flag: "wx" }).catch(() => {})
    return (await readFile(file, "utf8")).trim()
  })

const waitForLock = (path: string): Effect.Effect<FileLock, EmbeddedPostgresError> =>
  takeFileLock(path, "exclusive").pipe(
    Effect.retry({ schedule: Schedule.spaced("25 millis"), while: (error) => error._tag === "LockBusy", times: 2_400 }),
    Effect.mapError((error) =>
      new EmbeddedPostgresError({
        message: error._tag === "LockBusy"
          ? `Another process has been starting or stopping the PostgreSQL of ${path} for a minute; end it and try again.`
          : error.message,
        cause: error
      })
    )
  )

/** Runs alone among all processes that start or stop this server. */
const alone = <A, E>(dataDir: string, effect: Effect.Effect<A, E>) =>
  Effect.acquireUseRelease(waitForLock(`${dataDir}.lock`), () => effect, (lock) => lock.release)

/** initdb into a temporary name: a data directory is whole or absent, also when the machine stops half-way. */
const initialise = (runtime: Runtime, password: string, durable: boolean) =>
  Effect.gen(function*() {
    const parent = dirname(runtime.dataDir)
    const prefix = `${basename(runtime.dataDir)}.init-`
    const fresh = join(parent, `${prefix}${randomBytes(6).toString("hex")}`)
    const pwfile = `${fresh}.pw`
    yield* step("clear away an unfinished start", async () => {
      for (const name of await readdir(parent)) {
        if (name.startsWith(prefix)) await rm(join(parent, name), { recursive: true, force: true })
      }
      await mkdir(fresh, { mode: 0o700 })
      await writeFile(pwfile, password, { mode: 0o600 })
      if (runtime.owner !== process.geteuid?.()) {
        for (const path of [fresh, pwfile]) await chown(path, runtime.owner, runtime.owner)
      }
    })
    yield* run(runtime, "initdb", [
      "-D",
      fresh,
      "--username",
      user,
      "--auth=scram-sha-256",
      `--pwfile=${pwfile}`,
      "--encoding=UTF8",
      // PostgreSQL's own Unicode rules, so that order and case do not depend on the machine.
      "--locale=C",
      "--locale-provider=builtin",
      "--builtin-locale=C.UTF-8",
      ...(durable ? [] : ["--no-sync"])
    ]).pipe(Effect.ensuring(Effect.promise(() => rm(pwfile, { force: true }))))
    yield* step("put its data in place", () => rename(fresh, runtime.dataDir))
  })

/** Proves that the server on that port is ours, and sees to it that our database exists. */
const greet = (runtime: Runtime, port: number, password: string) =>
  Effect.gen(function*() {
    const connection = yield* PgConnection.make({
      host: "127.0.0.1",
      port,
      username: user,
      database: "postgres",
      password: Redacted.make(password),
      connectTimeout: "5 seconds"
    })
    const rows = yield* connection.queryValues(
      "SELECT current_setting('data_directory'), EXISTS (SELECT FROM pg_database WHERE datname = $1)",
      [database]
    )
    const [directory, exists] = rows[0] ?? []
    if (directory !== runtime.dataDir) {
      return yield* new EmbeddedPostgresError({
        message: `The PostgreSQL on port ${port} serves ${String(directory)}, not ${runtime.dataDir}.`
      })
    }
    if (exists !== true) yield* connection.query(`CREATE DATABASE ${database}`, [])
  }).pipe(
    Effect.scoped,
    Effect.catchTag("SqlError", (cause) =>
      new EmbeddedPostgresError({
        message: `Embedded PostgreSQL on port ${port} refused its owner: ${cause.message}. `
          + `If the password beside ${runtime.dataDir} was changed, put it back, or set DATABASE_URL.`,
        cause
      }))
  )

/** A server left running by a process that was killed is used again; one that is stopping is waited for. */
const running = (dataDir: string) =>
  Effect.gen(function*() {
    const found = yield* readPostmaster(dataDir)
    if (Option.isNone(found) || !(yield* isServing(found.value.pid, dataDir))) return Option.none()
    const settled = yield* readPostmaster(dataDir).pipe(
      Effect.repeat({
        schedule: Schedule.spaced("25 millis"),
        until: (state) => Option.isNone(state) || state.value.ready
      }),
      Effect.timeoutOption("60 seconds"),
      Effect.map(Option.flatten)
    )
    if (Option.isSome(settled)) return settled
    yield* awaitGone(found.value.pid, dataDir, "60 seconds")
    return Option.none()
  })

const start = Effect.fnUntraced(function*(runtime: Runtime, password: string, durable: boolean) {
  const alive = yield* running(runtime.dataDir)
  if (Option.isSome(alive)) {
    yield* greet(runtime, alive.value.port, password)
    return { pid: alive.value.pid, port: alive.value.port, how: "adopted" as const }
  }
  const initialised = yield* Effect.promise(() =>
    access(join(runtime.dataDir, "PG_VERSION")).then(() => true, () => false)
  )
  if (!initialised) yield* initialise(runtime, password, durable)
  const stale = Option.isSome(yield* readPostmaster(runtime.dataDir))
  // PostgreSQL would refuse to start when a stranger has the dead server's pid by now.
  if (stale) yield* step("clear a stale pid file", () => rm(join(runtime.dataDir, "postmaster.pid"), { force: true }))
  const server = yield* startServer(runtime, `${runtime.dataDir}.log`, durable)
  yield* greet(runtime, server.port, password).pipe(
    Effect.tapError(() => stopServer(server.pid, runtime.dataDir))
  )
  const how: How = initialised ? stale ? "recovered" : "started" : "initialised"
  return { ...server, how }
})

const stopRunning = Effect.fnUntraced(function*({ dataDir }: Runtime) {
  const found = yield* readPostmaster(dataDir)
  if (Option.isSome(found)) yield* stopServer(found.value.pid, dataDir)
})

/**
 * A real PostgreSQL from an npm package, as a scoped resource: started, adopted or recovered on the way in, stopped on the
 * way out by whichever process is the last to use it.
 */
export class EmbeddedPostgres extends Context.Service<EmbeddedPostgres, {
  /** The owner's connection string: a superuser, on the loopback interface. */
  readonly url: Redacted.Redacted<string>
  readonly pid: number
  readonly how: How
  /** Where the data is; elsewhere than asked only where root must run it as another user below a closed folder. */
  readonly dataDir: string
}>()("midnight/layers/EmbeddedPostgres") {
  static readonly layer = (
    options: EmbeddedPostgresOptions
  ): Layer.Layer<EmbeddedPostgres, EmbeddedPostgresError> =>
    Layer.effect(
      EmbeddedPostgres,
      Effect.gen(function*() {
        const wanted = yield* step("make its folder", async () => {
          const parent = dirname(options.dataDir)
          await mkdir(parent, { recursive: true, mode: 0o700 })
          return join(await realpath(parent), basename(options.dataDir))
        })
        const password = yield* passwordFor(wanted)
        const acquire = alone(
          wanted,
          Effect.gen(function*() {
            const runtime = yield* prepare(wanted)
            const use = yield* Effect.mapError(
              takeFileLock(`${wanted}.users`, "shared"),
              (cause) => new EmbeddedPostgresError({ message: `Cannot share the PostgreSQL of ${wanted}.`, cause })
            )
            const server = yield* start(runtime, password, options.durable).pipe(Effect.tapError(() => use.release))
            return { ...server, use, runtime }
          })
        )
        const server = yield* Effect.acquireRelease(acquire, ({ runtime, use }) =>
          alone(
            wanted,
            Effect.gen(function*() {
              yield* use.release
              // Held shared by every user of the server, so whoever can have it exclusively is the last.
              const last = yield* takeFileLock(`${wanted}.users`, "exclusive")
              // Not necessarily the server that we started: another user may have replaced one that was killed.
              yield* Effect.ensuring(stopRunning(runtime), last.release)
            })
          ).pipe(Effect.ignore))
        return {
          url: urlOf(server.port, password, options.application),
          pid: server.pid,
          how: server.how,
          dataDir: server.runtime.dataDir
        }
      })
    )

  /** Stops the server if a killed process left it running, and deletes its data: for tests. */
  static readonly remove = Effect.fnUntraced(function*(dataDir: string) {
    yield* alone(
      dataDir,
      Effect.gen(function*() {
        const runtime = yield* prepare(dataDir)
        yield* stopRunning(runtime)
        yield* step("delete its data", () => discard(runtime, dataDir))
      })
    )
  })

  /** The owner's connection string of a server that runs now, without becoming one of its users: for commands. */
  static readonly find = (dataDir: string): Effect.Effect<Option.Option<Redacted.Redacted<string>>> =>
    Effect.gen(function*() {
      const place = (yield* Effect.promise(() => placeOf(dataDir))) ?? dataDir
      const found = yield* readPostmaster(place)
      const password = yield* Effect.promise(() => readFile(`${dataDir}.password`, "utf8").catch(() => undefined))
      if (Option.isNone(found) || !found.value.ready || password === undefined) return Option.none()
      if (!(yield* isServing(found.value.pid, yield* Effect.promise(() => realpath(place))))) return Option.none()
      return Option.some(urlOf(found.value.port, password.trim(), undefined))
    })
}
