import { Effect } from "effect"
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { readdirSync, readFileSync } from "node:fs"
import { createServer } from "node:net"
import { resolve } from "node:path"
import { freePort } from "../../bench/ports.ts"
import { isAlive, until } from "./Held.ts"

const project = resolve(import.meta.dirname, "../..")

export const listening = Effect.acquireRelease(
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
export const freePorts = Effect.promise(async () => {
  const ports = new Set<number>()
  while (ports.size < 3) ports.add(await freePort())
  const [api, video, sandbox] = ports
  return { PORT: String(api), VIDEO_PORT: String(video), SANDBOX_PORT: String(sandbox) }
})

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

export const descendants = (pid: number): ReadonlyArray<number> => {
  const children = parents().filter(([, parent]) => parent === pid).map(([child]) => child)
  return [...children, ...children.flatMap(descendants)]
}

export interface Start {
  readonly child: ChildProcess
  readonly pid: number
  readonly output: () => string
  readonly ended: Promise<unknown>
}

export const kill = (pids: ReadonlyArray<number>) => {
  for (const pid of pids) if (isAlive(pid)) process.kill(pid, "SIGKILL")
}

export const start = (environment: Readonly<Record<string, string>>) =>
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

export const ready = ({ child, output }: Start) =>
  until(() => {
    if (child.exitCode !== null) throw new Error(output())
    return output().includes("is ready")
  })

export const health = (environment: { readonly PORT: string }) =>
  Effect.promise(() => fetch(`http://127.0.0.1:${environment.PORT}/health`).then((answer) => answer.status))
