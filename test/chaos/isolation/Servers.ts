import { type ChildProcess, spawn } from "node:child_process"
import { closeSync, openSync, readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { answers, end } from "../../../bench/sides.ts"

const project = resolve(import.meta.dirname, "../../..")

export interface Server {
  readonly pid: number
  readonly stop: () => Promise<void>
}

const running = new Set<ChildProcess>()

/**
 * Starts a server and waits until it answers. Like everything that `npm start` runs it leads a session of its own: Linux
 * shares processors among sessions first.
 */
export const startServer = async (
  name: string,
  args: ReadonlyArray<string>,
  environment: Readonly<Record<string, string>>,
  { folder, url }: { readonly folder: string; readonly url: string }
): Promise<Server> => {
  const file = join(folder, `${name}.log`)
  const log = openSync(file, "w", 0o600)
  const child = spawn(process.execPath, args, {
    cwd: project,
    env: { PATH: process.env["PATH"] ?? "", ...environment },
    detached: true,
    stdio: ["ignore", log, log]
  })
  closeSync(log)
  running.add(child)
  child.once("exit", () => running.delete(child))
  for (let tries = 0; tries < 1_200; tries++) {
    if (await answers(url)) return { pid: child.pid ?? 0, stop: () => end(child) }
    if (child.exitCode !== null) break
    await new Promise((settle) => setTimeout(settle, 50))
  }
  child.kill("SIGKILL")
  throw new Error(`${name} did not start. Its log ends:\n${readFileSync(file, "utf8").slice(-2_000)}`)
}

export const stopServers = async (): Promise<void> => {
  await Promise.all([...running].map(end))
}
