import { PgConnection } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { readdirSync, readFileSync } from "node:fs"
import { createServer } from "node:net"
import { join, resolve } from "node:path"
import { EmbeddedPostgres } from "../../src/layers/EmbeddedPostgres.ts"
import { isAlive, temporaryFolder, until } from "../layers/Held.ts"

const project = resolve(import.meta.dirname, "../..")

const listening = Effect.acquireRelease(
  Effect.promise(async () => {
    const server = createServer().listen(0, "127.0.0.1")
    await once(server, "listening")
    const address = server.address()
    if (address === null || typeof address === "string") throw new Error("no port")
    return { server, port: address.port }
  }),
  ({ server }) => Effect.sync(() => server.close())
)

/** Ports that were free a moment ago, all different. */
const freePorts = Effect.scoped(Effect.all([listening, listening, listening])).pipe(
  Effect.map(([api, video, sandbox]) => ({
    PORT: String(api.port),
    VIDEO_PORT: String(video.port),
    SANDBOX_PORT: String(sandbox.port)
  }))
)

const parents = (): ReadonlyArray<readonly [pid: number, parent: number]> =>
  process.platform === "linux"
    ? readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap((name) => {
      try {
        const fields = readFileSync(`/proc/${name}/stat`, "utf8").replace(/^.*\) /s, "").split(" ")
        return [[Number(name), Number(fields[1])] as const]
      } catch {
        return []
      }
    })
    : execFileSync("ps", ["-axo", "pid=,ppid="], { encoding: "utf8" }).trim().split("\n").map((line) => {
      const [pid = 0, parent = 0] = line.trim().split(/\s+/).map(Number)
      return [pid, parent] as const
    })

const descendants = (pid: number): ReadonlyArray<number> => {
  const children = parents().filter(([, parent]) => parent === pid).map(([child]) => child)
  return [...children, ...children.flatMap(descendants)]
}

interface Start {
  readonly child: ChildProcess
  readonly pid: number
  readonly output: () => string
  readonly ended: Promise<unknown>
}

const kill = (pids: ReadonlyArray<number>) => {
  for (const pid of pids) if (isAlive(pid)) process.kill(pid, "SIGKILL")
}

const start = (environment: Readonly<Record<string, string>>) =>
  Effect.acquireRelease(
    Effect.sync((): Start => {
      const { DATABASE_URL: _, ...inherited } = process.env
      const child = spawn(process.execPath, ["--import", "./src/main/node-version.js", "src/main/Dev.ts"], {
        cwd: project,
        env: { ...inherited, ...environment },
        stdio: ["ignore", "pipe", "pipe"]
      })
      let output = ""
      child.stdout.on("data", (chunk: Buffer) => output += chunk.toString())
      child.stderr.on("data", (chunk: Buffer) => output += chunk.toString())
      const { pid } = child
      if (pid === undefined) throw new Error("npm start did not start")
      return { child, pid, output: () => output, ended: once(child, "close") }
    }),
    ({ child, ended, pid }) =>
      Effect.promise(async () => {
        if (child.exitCode !== null || child.signalCode !== null) return
        kill([...descendants(pid), pid])
        await ended
      })
  )

const ready = ({ child, output }: Start) =>
  until(() => {
    if (child.exitCode !== null) throw new Error(output())
    return output().includes("is ready")
  })

const health = (environment: { readonly PORT: string }) =>
  Effect.promise(() => fetch(`http://127.0.0.1:${environment.PORT}/health`).then((answer) => answer.status))

const query = (home: string, sql: string) =>
  Effect.gen(function*() {
    const url = Option.getOrThrow(yield* EmbeddedPostgres.find(join(home, "postgres")))
    const connection = yield* PgConnection.make({ url })
    return (yield* connection.queryValues(sql, []))[0]?.[0]
  }).pipe(Effect.scoped)

describe("npm start", () => {
  it.live(
    "survives SIGKILL of everything, refuses a second start, and leaves nothing behind",
    () =>
      Effect.gen(function*() {
        const home = join(yield* temporaryFolder, "home")
        const environment = { ...(yield* freePorts), MIDNIGHT_HOME: home }
        const first = yield* start(environment)
        yield* ready(first)
        assert.strictEqual(yield* health(environment), 200)
        yield* query(home, "CREATE TABLE public.kept AS SELECT 42 AS answer")
        const all = [...descendants(first.pid), first.pid]
        assert.isAtLeast(all.length, 5, "itself, PostgreSQL, API, video, sandbox")
        kill(all)
        yield* Effect.promise(() => first.ended)
        yield* until(() => !all.some(isAlive))

        const second = yield* start(environment)
        yield* ready(second)
        assert.strictEqual(yield* health(environment), 200)
        assert.strictEqual(yield* query(home, "SELECT answer FROM public.kept"), 42)

        const third = yield* start({ ...environment, ...(yield* freePorts) })
        yield* Effect.promise(() => third.ended)
        assert.strictEqual(third.child.exitCode, 1)
        assert.include(third.output(), `already running from ${home} (process ${second.pid})`)
        assert.strictEqual(yield* health(environment), 200)

        const running = descendants(second.pid)
        second.child.kill("SIGTERM")
        yield* Effect.promise(() => second.ended)
        assert.deepStrictEqual(running.filter(isAlive), [])
        // Two whole starts, of which the first also initialises: long on a machine that is busy with other tests.
      }),
    180_000
  )

  it.live("says which port is taken and how to choose another", () =>
    Effect.gen(function*() {
      const taken = yield* listening
      const environment = { ...(yield* freePorts), VIDEO_PORT: String(taken.port) }
      const refused = yield* start({ ...environment, MIDNIGHT_HOME: join(yield* temporaryFolder, "home") })
      yield* Effect.promise(() => refused.ended)
      assert.strictEqual(refused.child.exitCode, 1)
      assert.include(refused.output(), `Port ${taken.port} cannot be used`)
      assert.include(refused.output(), "VIDEO_PORT=")
    }))
})
