import { Effect, Redacted, Schedule } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { generateKeyPairSync } from "node:crypto"
import { once } from "node:events"
import { closeSync, openSync, readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { freePort } from "../../../bench/ports.ts"
import { rolesSecret } from "./Postgres.ts"

const project = resolve(import.meta.dirname, "../../..")

// One key for all servers of this process, so that tokens outlive the server that gave them.
const signingKey = String(generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" }))

export interface CrashingServer {
  readonly base: string
  readonly start: Effect.Effect<void>
  readonly kill: Effect.Effect<void>
  /** Whether it ended without being asked to: a crash of its own making. */
  readonly diedAlone: () => boolean
  /** Of the process that runs now. */
  readonly pid: () => number | undefined
}

const isReady = (base: string) =>
  Effect.promise(() =>
    fetch(`${base}/readyz`, { signal: AbortSignal.timeout(1_000) }).then(({ status }) => status === 200, () => false)
  )

/** The API process as production runs it, on a port that stays the same across its crashes. */
export const crashingServer = Effect.fnUntraced(function*(options: {
  readonly database: Redacted.Redacted<string>
  readonly folder: string
  readonly name: string
  /** A module that is loaded first, to put a mutant in place. */
  readonly preload?: string | undefined
  /** More variables, such as those of the payment providers. */
  readonly environment?: Readonly<Record<string, string>>
}) {
  const [port, videoPort] = [yield* Effect.promise(freePort), yield* Effect.promise(freePort)]
  const base = `http://127.0.0.1:${port}`
  let child: ChildProcess | undefined
  let killed = false

  const launch = Effect.sync(() => {
    const log = openSync(join(options.folder, `${options.name}.log`), "a", 0o600)
    killed = false
    child = spawn(
      process.execPath,
      [...(options.preload === undefined ? [] : ["--import", options.preload]), "src/main/Api.ts"],
      {
        cwd: project,
        stdio: ["ignore", log, log],
        env: {
          PATH: process.env["PATH"] ?? "",
          DATABASE_URL: Redacted.value(options.database),
          DATABASE_ROLES_SECRET: rolesSecret,
          JWT_PRIVATE_KEY: signingKey,
          REFRESH_TOKEN_SECRET: "a secret for the bank's refresh tokens",
          ENCRYPTION_SECRET: "a secret for what the bank keeps sealed",
          UPLOAD_SECRET: "a secret for upload URLs nobody asks for",
          // Each customer calls from an address of their own.
          TRUSTED_PROXIES: "loopback",
          HOST: "127.0.0.1",
          PORT: String(port),
          VIDEO_PORT: String(videoPort),
          SPOOL_DIR: join(options.folder, "spool"),
          NODE_COMPILE_CACHE: join(options.folder, "cache"),
          ...options.environment
        }
      }
    )
    closeSync(log)
  })
  /** The end of its log: the folder is gone by the time that somebody could look. */
  const said = () => readFileSync(join(options.folder, `${options.name}.log`), "utf8").slice(-1_500)
  const ready = isReady(base).pipe(
    Effect.repeat({ schedule: Schedule.spaced("25 millis"), until: (ready) => ready || child?.exitCode !== null }),
    Effect.timeout("60 seconds"),
    Effect.flatMap((ready) => ready ? Effect.void : Effect.die(new Error(`${options.name} did not start: ${said()}`))),
    Effect.orDie
  )
  const kill = Effect.promise(async () => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, "exit")
    killed = true
    child.kill("SIGKILL")
    await exited
  })
  const start = Effect.andThen(launch, ready)
  yield* Effect.acquireRelease(start, () => kill)
  return {
    base,
    start,
    kill,
    diedAlone: () => !killed && (child?.exitCode ?? null) !== null,
    pid: () => child?.pid
  } satisfies CrashingServer
})
