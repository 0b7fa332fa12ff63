import { type ChildProcess, spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { closeSync, openSync, readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { auditOf } from "./books.ts"
import { createDatabase, type Postgres, query, script } from "./database.ts"
import { type Keys, memberCount, seedMoney, seedUsers } from "./members.ts"
import { freePort } from "./ports.ts"

const root = resolve(import.meta.dirname, "..")
const peers = join(root, "bench", "peers")

export interface HttpSide {
  readonly name: string
  readonly port: number
  readonly pid: number
  readonly url: string
  /** What is wrong with its books; empty when they are in order. */
  readonly check: () => Promise<ReadonlyArray<string>>
  readonly stop: () => Promise<void>
}

export interface Ground {
  readonly postgres: Postgres
  readonly keys: Keys
  readonly folder: string
  /** Takes the spans of ours. */
  readonly collector: string
}

const ended = (child: ChildProcess) =>
  child.exitCode !== null || child.signalCode !== null
    ? Promise.resolve()
    : new Promise<void>((settle) => child.once("exit", () => settle()))

export const end = async (child: ChildProcess): Promise<void> => {
  child.kill("SIGTERM")
  const hard = setTimeout(() => child.kill("SIGKILL"), 20_000)
  await ended(child)
  clearTimeout(hard)
}

export const answers = (url: string): Promise<boolean> =>
  fetch(url).then(async (answer) => {
    await answer.body?.cancel()
    return answer.status < 500
  }, () => false)

const running = new Set<ChildProcess>()

/** For a run that is stopped half-way. */
export const endAll = async (): Promise<void> => {
  await Promise.all([...running].map(end))
}

/** Starts a server of Node and waits until it answers. What it writes goes to a file, as it would in production. */
export const serve = async (
  name: string,
  args: ReadonlyArray<string>,
  environment: Readonly<Record<string, string>>,
  { folder, path, port }: { readonly folder: string; readonly path: string; readonly port: number }
): Promise<ChildProcess> => {
  const file = join(folder, `${name}.log`)
  const log = openSync(file, "w")
  const child = spawn(process.execPath, args, {
    cwd: root,
    env: { PATH: process.env["PATH"] ?? "", NODE_ENV: "production", PORT: String(port), ...environment },
    stdio: ["ignore", log, log]
  })
  closeSync(log)
  running.add(child)
  child.once("exit", () => running.delete(child))
  for (let tries = 0; tries < 1_200; tries++) {
    if (await answers(`http://127.0.0.1:${port}${path}`)) return child
    if (child.exitCode !== null) break
    await new Promise((settle) => setTimeout(settle, 50))
  }
  child.kill("SIGKILL")
  throw new Error(`${name} did not start. Its log ends:\n${readFileSync(file, "utf8").slice(-2_000)}`)
}

/** One secret for every API of a run: the roles of its databases are the same. */
export const rolesSecret = randomBytes(32).toString("base64url")

const runMain = (args: ReadonlyArray<string>, environment: Readonly<Record<string, string>>) =>
  new Promise<void>((settle, fail) => {
    const child = spawn(process.execPath, args, {
      cwd: root,
      env: { PATH: process.env["PATH"] ?? "", ...environment },
      stdio: ["ignore", "ignore", "inherit"]
    })
    child.once("exit", (code) => code === 0 ? settle() : fail(new Error(`${args.join(" ")} ended with ${code}`)))
  })

/** A fresh database of ours: migrated, with members who have money. */
export const ourDatabase = async ({ postgres }: Ground, name: string): Promise<string> => {
  const url = await createDatabase(postgres, name)
  await runMain(["src/main/Migrate.ts"], { DATABASE_URL: url, DATABASE_ROLES_SECRET: rolesSecret })
  await query(url, seedUsers)
  for (let from = 0; from < memberCount; from += 500) await query(url, seedMoney, [from])
  await query(url, "ANALYZE")
  return url
}

/** Our API in production mode with everything on, traces sampled at 1 % unless told otherwise. */
export const ours = async (
  ground: Ground,
  name: string,
  url: string,
  options: {
    readonly sampler?: string
    readonly flags?: ReadonlyArray<string>
    /** How long it still serves after SIGTERM. */
    readonly grace?: string
    /** More variables. */
    readonly environment?: Readonly<Record<string, string>>
  } = {}
): Promise<HttpSide> => {
  const port = await freePort()
  const child = await serve(
    name,
    // As `npm run start:api` starts it.
    ["--max-semi-space-size=64", "--min-semi-space-size=64", ...(options.flags ?? []), "src/main/Api.ts"],
    {
      HOST: "127.0.0.1",
      DATABASE_URL: url,
      DATABASE_ROLES_SECRET: rolesSecret,
      JWT_PRIVATE_KEY: ground.keys.privatePem,
      REFRESH_TOKEN_SECRET: randomBytes(32).toString("base64url"),
      ENCRYPTION_SECRET: randomBytes(32).toString("base64url"),
      UPLOAD_SECRET: randomBytes(32).toString("base64url"),
      TRUSTED_PROXIES: "loopback",
      DRAIN_GRACE: options.grace ?? "0 seconds",
      LOG_FORMAT: "json",
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${ground.collector}/v1/traces`,
      OTEL_TRACES_SAMPLER: options.sampler ?? "parentbased_traceidratio",
      OTEL_TRACES_SAMPLER_ARG: "0.01",
      ...options.environment
    },
    { folder: ground.folder, path: "/readyz", port }
  )
  return { name, port, pid: child.pid ?? 0, url, check: () => auditOf(url), stop: () => end(child) }
}

const peerBooks = [
  ["the balances together changed", "SELECT sum(balance)::text FROM accounts HAVING sum(balance) <> 10000000000000"],
  [
    "an account's balance is not its opening plus its entries",
    `SELECT a.id::text FROM accounts a LEFT JOIN (SELECT account_id, sum(amount) AS s FROM entries GROUP BY 1) e
       ON e.account_id = a.id WHERE a.balance <> 1000000000 + coalesce(e.s, 0) LIMIT 1`
  ],
  [
    "a transfer does not have two entries that sum to zero",
    // Each side read once: a LIMIT made PostgreSQL look for the first fault by reading all entries for every transfer.
    `SELECT max(t.id::text) AS fault FROM transfers t
       LEFT JOIN (SELECT transfer_id, count(*) AS n, sum(amount) AS total FROM entries GROUP BY 1) e
         ON e.transfer_id = t.id
      WHERE e.n IS DISTINCT FROM 2 OR e.total <> 0 HAVING count(*) > 0`
  ]
] as const

export const checkPeer = async (url: string): Promise<ReadonlyArray<string>> => {
  const wrong: Array<string> = []
  // Without statistics of what has just been written, PostgreSQL would compare every transfer with every entry.
  for (const table of ["transfers", "entries"]) await query(url, `ANALYZE ${table}`)
  for (const [says, text] of peerBooks) {
    const rows = await query(url, text)
    if (rows.length > 0) wrong.push(`${says}: ${String(rows[0]?.[0])}`)
  }
  return wrong
}

export const peerDatabase = async ({ postgres }: Ground, name: string, schema: string): Promise<string> => {
  const url = await createDatabase(postgres, name)
  await script(url, readFileSync(join(peers, schema), "utf8"))
  await query(url, "ANALYZE")
  return url
}

export const peer = async (
  ground: Ground,
  name: "express" | "fastify",
  url: string,
  pool: number
): Promise<HttpSide> => {
  const port = await freePort()
  const child = await serve(
    `${name}-${pool}`,
    [join(peers, `${name}.js`)],
    { DATABASE_URL: url, POOL_SIZE: String(pool), JWT_PUBLIC_KEY: ground.keys.publicPem },
    { folder: ground.folder, path: "/", port }
  )
  return { name, port, pid: child.pid ?? 0, url, check: () => checkPeer(url), stop: () => end(child) }
}
