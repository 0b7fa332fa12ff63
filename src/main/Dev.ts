import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Config, Console, Effect, Option, Redacted, Schedule, Schema } from "effect"
import { constants } from "node:fs"
import { access, chmod, mkdir, readdir, stat, writeFile } from "node:fs/promises"
import { connect } from "node:net"
import { join, resolve } from "node:path"
import * as Settings from "../layers/Config.ts"
import { requireFreePorts } from "../layers/embedded/Ports.ts"
import { embeddedSecrets, type ProgramName, secretsOf } from "../layers/embedded/Secrets.ts"
import { EmbeddedPostgres } from "../layers/EmbeddedPostgres.ts"
import { HomeLock } from "../layers/HomeLock.ts"
import { type Program, runProgram, supervise } from "../layers/Processes.ts"

const usage = `npm start: all of Midnight on this machine, for development

Starts PostgreSQL, brings its schema up to date, and runs the API, the video process and the sandbox payment provider,
each again when it ends. Ctrl-C stops all of it. Variables, with their defaults:

  PORT=3000              the API
  VIDEO_PORT=3001        uploads
  SANDBOX_PORT=3002      the sandbox payment provider
  HOST=127.0.0.1         the address all three listen on
  MIDNIGHT_HOME=.midnight   database, generated secrets, uploads, spans, logs, demo users
  DATABASE_URL           a PostgreSQL of yours (its owner); then nothing is embedded, no secret is generated, and the
                         sandbox runs only when SANDBOX_SECRET_KEY is set

.env.example has every other variable.
`

class NotReady extends Schema.TaggedError<NotReady>()("NotReady", { message: Schema.String }) {}

interface Place {
  readonly home: string
  readonly host: string
  readonly ports: { readonly PORT: number; readonly VIDEO_PORT: number; readonly SANDBOX_PORT: number }
  readonly embedded: boolean
  readonly startedAt: number
}

/**
 * Private, also when it existed before; but a folder of other things (MIDNIGHT_HOME=/srv by mistake) keeps its mode. Passing
 * through may have been granted to PostgreSQL's user, and stays.
 */
const makeHome = (home: string) =>
  Effect.tryPromise({
    try: async () => {
      await mkdir(home, { recursive: true, mode: 0o700 })
      const { mode } = await stat(home)
      const names = await readdir(home)
      const ours = names.length === 0 || names.includes("lock")
      if (ours && (mode & 0o066) !== 0) await chmod(home, mode & 0o711)
      await access(home, constants.W_OK)
    },
    catch: (cause) =>
      new NotReady({ message: `${home} cannot be used: ${String(cause)}. MIDNIGHT_HOME chooses another folder.` })
  })

const base = ({ host }: Place, port: number) => {
  const name = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host
  return `http://${name.includes(":") ? `[${name}]` : name}:${port}`
}

/** What every process is given. A variable that the person has set is never overridden. */
const environmentOf = (place: Place) => ({
  MIDNIGHT_HOME: place.home,
  HOST: place.host,
  PORT: String(place.ports.PORT),
  VIDEO_PORT: String(place.ports.VIDEO_PORT),
  SANDBOX_PORT: String(place.ports.SANDBOX_PORT),
  // Where the processes find one another: the ports may have been chosen differently.
  VIDEO_PUBLIC_URL: process.env["VIDEO_PUBLIC_URL"] ?? base(place, place.ports.VIDEO_PORT),
  ...(place.embedded ? { SANDBOX_API_BASE: base(place, place.ports.SANDBOX_PORT) } : {}),
  LOG_DIR: process.env["LOG_DIR"] ?? join(place.home, "logs"),
  // Node keeps what it compiled: a start after the first takes about half the processor time for its modules.
  NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"] ?? join(place.home, "cache"),
  // No load balancer looks at readiness here: Ctrl-C need not wait for one.
  DRAIN_GRACE: process.env["DRAIN_GRACE"] ?? "0 seconds"
})

/** Waits until the API is healthy; a line in its access log is all that this leaves. */
const healthy = (place: Place) =>
  Effect.tryPromise({
    try: async (signal) => {
      const answer = await fetch(`${base(place, place.ports.PORT)}/health`, { signal })
      await answer.body?.cancel()
      if (answer.status !== 200) throw new Error(`/health answers ${answer.status}`)
    },
    catch: (cause) => new NotReady({ message: String(cause) })
  })

/** Waits until a process takes connections, without a request that it would log. */
const listening = (place: Place, port: number) =>
  Effect.callback<void, NotReady>((resume) => {
    const { hostname } = new URL(base(place, port))
    const socket = connect({ port, host: hostname.replace(/^\[|\]$/g, "") })
    socket.once("connect", () => {
      socket.destroy()
      resume(Effect.void)
    })
    socket.once("error", (cause) => resume(Effect.fail(new NotReady({ message: String(cause) }))))
    return Effect.sync(() => socket.destroy())
  })

const awaitReady = (name: string, check: Effect.Effect<void, NotReady>) =>
  check.pipe(
    Effect.timeout("2 seconds"),
    Effect.retry({ schedule: Schedule.spaced("40 millis") }),
    Effect.timeoutOrElse({
      // A first start on a small machine that is busy takes longer than a minute, and its processes go on trying meanwhile.
      duration: "3 minutes",
      orElse: () =>
        Effect.fail(new NotReady({ message: `${name} was not ready within three minutes; its lines above say why.` }))
    })
  )

/** Once per home, or again when its database is new: a start of a process more would be felt every time. */
const seed = (place: Place, fresh: boolean, program: Program) =>
  Effect.gen(function*() {
    const marker = join(place.home, "seeded")
    const done = yield* Effect.promise(() => access(marker).then(() => true, () => false))
    if (done && !fresh) return
    yield* runProgram(program)
    yield* Effect.promise(() => writeFile(marker, ""))
  })

const screen = (place: Place) => {
  const colours = process.stdout.isTTY && process.env["NO_COLOR"] === undefined
  const paint = (code: number, text: string) => colours ? `\x1b[${code}m${text}\x1b[0m` : text
  const api = base(place, place.ports.PORT)
  const line = (label: string, value: string, note: string) =>
    `  ${paint(2, label.padEnd(10))} ${value.padEnd(36)} ${paint(2, note)}`.trimEnd()
  const seconds = ((performance.now() - place.startedAt) / 1_000).toFixed(1)
  return [
    "",
    `  ${paint(1, "Midnight")} is ready after ${seconds} s`,
    "",
    line("API", api, "openapi.json, metrics"),
    line("Reference", `${api}/docs`, "every route, to try out"),
    line("Health", `${api}/health`, "each bulkhead by itself"),
    line("Uploads", base(place, place.ports.VIDEO_PORT), "the video process"),
    line("Sandbox", base(place, place.ports.SANDBOX_PORT), "pays without an account anywhere"),
    ...(place.embedded
      ? [
        line("Data", place.home, "PostgreSQL 18, secrets, uploads, logs"),
        ...((process.env["SMTP_URL"] ?? "") === ""
          ? [line("Mail", join(place.home, "mailbox"), "what would be sent, as .eml files")]
          : []),
        line("Users", join(place.home, "demo.json"), "admin, sponsor, reviewer, two members")
      ]
      : []),
    "",
    `  Next, in another terminal: ${paint(1, "npm run demo")}        Ctrl-C stops everything`,
    ""
  ].join("\n")
}

const run = Effect.fnUntraced(function*(place: Place, databaseUrl: string, fresh: boolean) {
  const secrets = place.embedded ? yield* embeddedSecrets(place.home) : {}
  const environment = environmentOf(place)
  const program = (name: string, file: ProgramName): Program => ({
    name,
    file: `src/main/${file}.ts`,
    environment: {
      ...environment,
      ...(place.embedded ? secretsOf(file, secrets, databaseUrl) : { DATABASE_URL: databaseUrl })
    },
    pidFile: join(place.home, "processes", `${file.toLowerCase()}.pid`)
  })
  yield* runProgram(program("migrate", "Migrate"))

  const sandbox = place.embedded || (process.env["SANDBOX_SECRET_KEY"] ?? "") !== ""
  const services = [
    program("API", "Api"),
    program("video", "Video"),
    ...(sandbox ? [program("sandbox", "Sandbox")] : [])
  ]
  const ready = Effect.gen(function*() {
    yield* Effect.all([
      awaitReady("The API", healthy(place)),
      awaitReady("The video process", listening(place, place.ports.VIDEO_PORT)),
      ...(sandbox ? [awaitReady("The sandbox provider", listening(place, place.ports.SANDBOX_PORT))] : [])
    ], { concurrency: "unbounded", discard: true })
    if (place.embedded) yield* seed(place, fresh, program("seed", "Seed"))
    yield* Console.log(screen(place))
    return yield* Effect.never
  })
  yield* Effect.all([...services.map(supervise), ready], { concurrency: "unbounded", discard: true })
})

const start = Effect.gen(function*() {
  const given = yield* Config.option(Settings.databaseUrl)
  const place: Place = {
    home: resolve(yield* Settings.home),
    host: process.env["HOST"] ?? "127.0.0.1",
    ports: {
      PORT: yield* Settings.port("PORT", 3000),
      VIDEO_PORT: yield* Settings.port("VIDEO_PORT", 3001),
      SANDBOX_PORT: yield* Settings.port("SANDBOX_PORT", 3002)
    },
    embedded: Option.isNone(given),
    startedAt: performance.now() - process.uptime() * 1_000
  }
  yield* makeHome(place.home)
  const work = Effect.gen(function*() {
    yield* requireFreePorts(place.host, place.ports)
    if (Option.isSome(given)) return yield* run(place, Redacted.value(given.value), false)
    return yield* Effect.gen(function*() {
      const postgres = yield* EmbeddedPostgres
      return yield* run(place, Redacted.value(postgres.url), postgres.how === "initialised")
    }).pipe(Effect.provide(EmbeddedPostgres.layer({ dataDir: join(place.home, "postgres"), durable: true })))
  })
  yield* Effect.provide(work, HomeLock.layer(place.home))
})

// Closing the terminal is a stop like any other.
process.on("SIGHUP", () => process.kill(process.pid, "SIGTERM"))

// `npm start` runs us below a shell, and a SIGTERM for npm ends that shell only: without this we would stay on as an orphan.
const parent = process.ppid
setInterval(() => process.ppid === parent || process.kill(process.pid, "SIGTERM"), 100).unref()

const words = process.argv.slice(2)
const main = words.length > 0
  ? Console.log(usage)
  : start.pipe(
    Effect.onInterrupt(() => Console.log("\n  Everything has stopped.")),
    Effect.catch((error) =>
      Effect.andThen(
        Console.error(`\n${error.message}`),
        Effect.sync(() => {
          process.exitCode = 1
        })
      )
    )
  )

NodeRuntime.runMain(main)
