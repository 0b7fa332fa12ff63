import { execFile, spawn } from "node:child_process"
import { existsSync, readdirSync } from "node:fs"
import { delimiter, join, resolve } from "node:path"

const folders = () => {
  const debian = "/usr/lib/postgresql"
  const versions = existsSync(debian) ? readdirSync(debian).toSorted((a, b) => Number(b) - Number(a)) : []
  return [
    ...(process.env["PATH"] ?? "").split(delimiter).filter((folder) => !folder.includes("node_modules")),
    ...versions.map((version) => join(debian, version, "bin"))
  ]
}

/** Where pgbench is installed on this machine, if it is. */
export const pgbenchPath = (): string | undefined =>
  folders().map((folder) => join(folder, "pgbench")).find((path) => existsSync(path))

export const pgbenchVersion = (path: string): Promise<string> =>
  new Promise((settle) => execFile(path, ["--version"], (_, out) => settle(out.trim())))

/** Transfers per second of a script below bench/peers, every statement of it prepared. */
export const runPgbench = (
  path: string,
  url: string,
  { clients, file, seconds }: { readonly clients: number; readonly file: string; readonly seconds: number }
): Promise<number> =>
  new Promise((settle, fail) => {
    const target = new URL(url)
    const args = ["-n", "-M", "prepared", "-c", String(clients), "-j", "2", "-T", String(seconds)]
    const where = ["-h", target.hostname, "-p", target.port, "-U", target.username]
    const child = spawn(path, [
      ...args,
      ...where,
      "-f",
      resolve(import.meta.dirname, "peers", file),
      target.pathname.slice(1)
    ], { env: { ...process.env, PGPASSWORD: decodeURIComponent(target.password) } })
    let said = ""
    child.stdout.on("data", (chunk: Buffer) => said += chunk.toString())
    child.stderr.on("data", (chunk: Buffer) => said += chunk.toString())
    child.once("error", fail)
    child.once("close", () => {
      const found = /tps = ([\d.]+) \(without initial/.exec(said)?.[1]
      if (found === undefined) fail(new Error(`pgbench said: ${said.slice(-500)}`))
      else settle(Number(found))
    })
  })
