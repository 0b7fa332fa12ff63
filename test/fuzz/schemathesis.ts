import { spawn, spawnSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { query } from "../../bench/database.ts"
import { call, openStage, type Stage } from "../chaos/isolation/Stage.ts"
import { objectOf, password } from "./Values.ts"

// A judge that shares no code with ours reads /openapi.json, draws requests of its own and compares each answer with the document.

const version = "4.32.5"

const usage = `npm run test:schemathesis -- [options]
Schemathesis ${version} (from PyPI, in an environment below a temporary folder) against a server of its own, as an administrator and
as nobody. Ends with 1 when it found something, with 0 and a word about the reason where python3 or PyPI is not at hand.
  --examples N  requests drawn for each operation in each phase (20)
  --seed N      the choices of an earlier run (random)
  --minutes N   the most that it may take, at most 8: its token lives for ten (8)`

const { values } = parseArgs({
  options: {
    examples: { type: "string", default: "20" },
    seed: { type: "string" },
    minutes: { type: "string", default: "8" },
    help: { type: "boolean", default: false }
  }
})

/** What would end the session that asks, and so make every later answer a 401. `npm run test:fuzz` does these too. */
const endsItself = [
  "DELETE /api/auth/me",
  "POST /api/auth/logout",
  "POST /api/auth/password/change",
  "DELETE /api/auth/sessions/{id}"
]

/**
 * What a schema cannot say, and what we decided otherwise: that data of the right shape is refused for its meaning.
 */
const unwanted = ["positive_data_acceptance"]

/** Its command; undefined, and said why, where it cannot be had. */
const install = (folder: string): string | undefined => {
  const environment = join(folder, "python")
  const run = (command: string, args: ReadonlyArray<string>, seconds: number) => {
    const { error, status, stderr } = spawnSync(command, args, { encoding: "utf8", timeout: seconds * 1_000 })
    return error === undefined && status === 0
      ? undefined
      : `${command} ${args.join(" ")}: ${error?.message ?? stderr.trim().split("\n").at(-1)}`
  }
  const why = run("python3", ["-m", "venv", environment], 60)
    ?? run(join(environment, "bin", "pip"), [
      "install",
      "--quiet",
      "--disable-pip-version-check",
      "--retries",
      "1",
      `schemathesis==${version}`
    ], 180)
  if (why === undefined) return join(environment, "bin", "st")
  console.log(`SKIPPED: schemathesis ${version} could not be installed. ${why}`)
  return undefined
}

/** Somebody with every role. */
const signUp = async ({ ports, url }: Stage): Promise<string> => {
  const post = async (path: string, body: unknown) => {
    const headers = { "content-type": "application/json" }
    return objectOf(
      JSON.parse((await call({ port: ports.api, method: "POST", path, headers, body: JSON.stringify(body) })).text)
    )
  }
  const registered = await post("/api/auth/register", { email: "schemathesis@example.com", password })
  await query(
    url,
    "UPDATE identity.users SET roles = ARRAY['member', 'sponsor', 'reviewer', 'admin'] WHERE id = $1::uuid",
    [objectOf(registered["user"])["id"]]
  )
  // The bench's members have a hash of no password, at which a login with their address would rightly be a 500.
  await query(
    url,
    "UPDATE identity.users SET password_hash = (SELECT password_hash FROM identity.users WHERE id = $1::uuid)",
    [objectOf(registered["user"])["id"]]
  )
  const { refreshToken } = objectOf(registered["tokens"])
  const { tokens } = await post("/api/auth/refresh", { refreshToken })
  return String(objectOf(tokens)["accessToken"])
}

const judge = (command: string, folder: string, port: number, token: string): Promise<number> =>
  new Promise((settle) => {
    const words = [
      ["run", `http://127.0.0.1:${port}/openapi.json`, "--url", `http://127.0.0.1:${port}`, "--no-color"],
      ["--header", `Authorization: Bearer ${token}`, "--max-examples", values.examples],
      // 300 in ten seconds are allowed; more would only be told so.
      ["--workers", "1", "--rate-limit", "28/s", "--request-timeout", "15", "--continue-on-failure"],
      ["--exclude-checks", unwanted.join(","), "--warnings", "off", "--generation-database", "none"],
      values.seed === undefined ? [] : ["--seed", values.seed],
      endsItself.flatMap((operation) => ["--exclude-name", operation])
    ].flat()
    const env = { ...process.env, PYTHONPATH: import.meta.dirname, SCHEMATHESIS_HOOKS: "schemathesis_hooks" }
    const child = spawn(command, words, { cwd: folder, env, stdio: "inherit" })
    const minutes = Math.min(8, Number(values.minutes))
    const late = setTimeout(() => {
      console.log(`✗ Not finished after ${minutes} minutes.`)
      child.kill("SIGKILL")
    }, minutes * 60_000)
    child.once("exit", (code) => {
      clearTimeout(late)
      settle(code ?? 1)
    })
  })

const main = async () => {
  const folder = mkdtempSync(join(tmpdir(), "midnight-schemathesis-"))
  try {
    const command = install(folder)
    if (command === undefined) return
    const stage = await openStage(folder)
    try {
      process.exitCode = await judge(command, folder, stage.ports.api, await signUp(stage))
    } finally {
      await stage.close()
    }
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
  }
}

if (values.help) console.log(usage)
else await main()
