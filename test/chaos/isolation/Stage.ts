import { randomBytes } from "node:crypto"
import { mkdirSync } from "node:fs"
import { Agent, request } from "node:http"
import { join } from "node:path"
import { type Postgres, query, startPostgres } from "../../../bench/database.ts"
import { type Keys, makeKeys } from "../../../bench/members.ts"
import { freePort } from "../../../bench/ports.ts"
import { ourDatabase, rolesSecret } from "../../../bench/sides.ts"
import { type ProgramName, secretsOf } from "../../../src/layers/embedded/Secrets.ts"
import { type Server, startServer, stopServers } from "./Servers.ts"
import { VideoProcess } from "./VideoProcess.ts"

/** A durable PostgreSQL, the sandbox provider, the API and the video process, each a process of its own. */
export interface Stage {
  readonly folder: string
  readonly postgres: Postgres
  /** The owner's connection string. */
  readonly url: string
  readonly spool: string
  readonly ports: { readonly api: number; readonly video: number; readonly sandbox: number; readonly stripe: number }
  readonly video: VideoProcess
  /** Stands in for Stripe, beside the sandbox that the measured payments go to. */
  readonly fakes: { readonly start: () => Promise<void>; readonly stop: () => Promise<void> }
  /** What a signed-in member's request carries: a token, and the address that a proxy would vouch for. */
  readonly heads: (member: number) => Promise<Readonly<Record<string, string>>>
  /** Takes another composition of the API, or the real one, on the same port. */
  readonly useApi: (composition?: Composition) => Promise<void>
  readonly pids: () => { readonly api: number; readonly sandbox: number }
  readonly environment: (program: ProgramName) => Readonly<Record<string, string>>
  readonly close: () => Promise<void>
}

/** How an API process is started. */
export interface Composition {
  readonly args: ReadonlyArray<string>
  readonly environment: Readonly<Record<string, string>>
}

export interface Answer {
  readonly status: number
  readonly text: string
}

// Closed before the server's 65 s are over, so that no request meets a connection that the server has just closed.
const agent = new Agent({ keepAlive: true, maxSockets: 1_024, timeout: 30_000 })

/** One request; fails when the connection breaks or no answer has come in time. */
export const call = (options: {
  readonly port: number
  readonly method: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
  readonly millis?: number
}): Promise<Answer> =>
  new Promise((settle, fail) => {
    const { body = "", headers, method, millis = 10_000, path, port } = options
    const sent = request({
      agent,
      host: "127.0.0.1",
      port,
      method,
      path,
      headers: { ...headers, "content-length": Buffer.byteLength(body) },
      signal: AbortSignal.timeout(millis)
    }, (answer) => {
      let text = ""
      answer.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk
      })
      answer.once("error", fail).once("end", () => settle({ status: answer.statusCode ?? 0, text }))
    })
    sent.once("error", fail)
    sent.end(body)
  })

const address = (member: number) => `10.${member >> 16}.${(member >> 8) & 255}.${member & 255}`

/** Tokens live ten minutes; each is used for five. */
const makeHeads = (keys: Keys) => {
  const known = new Map<number, { readonly since: number; readonly head: Readonly<Record<string, string>> }>()
  return async (member: number) => {
    const before = known.get(member)
    if (before !== undefined && performance.now() - before.since < 300_000) return before.head
    const head = { authorization: `Bearer ${await keys.sign(member)}`, "x-forwarded-for": address(member) }
    known.set(member, { since: performance.now(), head })
    return head
  }
}

const secret = () => randomBytes(32).toString("base64url")

export const openStage = async (folder: string): Promise<Stage> => {
  const postgres = await startPostgres(folder)
  const keys = await makeKeys()
  const url = await ourDatabase({ postgres, keys, folder, collector: "" }, "isolation")
  const [api, video, sandbox] = [await freePort(), await freePort(), await freePort()]
  const [stripe, paystack] = [await freePort(), await freePort()]
  const spool = join(folder, "spool")
  mkdirSync(spool, { recursive: true, mode: 0o700 })
  const secrets = {
    DATABASE_ROLES_SECRET: rolesSecret,
    JWT_PRIVATE_KEY: keys.privatePem,
    REFRESH_TOKEN_SECRET: secret(),
    ENCRYPTION_SECRET: secret(),
    UPLOAD_SECRET: secret(),
    SANDBOX_SECRET_KEY: secret(),
    SANDBOX_WEBHOOK_SECRET: secret()
  }
  // What `npm start` gives each process: its own secrets, and the connection strings of its own roles.
  const environment = (program: ProgramName) => ({
    HOST: "127.0.0.1",
    PORT: String(api),
    VIDEO_PORT: String(video),
    SANDBOX_PORT: String(sandbox),
    MIDNIGHT_HOME: folder,
    SPOOL_DIR: spool,
    TRUSTED_PROXIES: "loopback",
    DRAIN_GRACE: "0 seconds",
    LOG_FORMAT: "json",
    NODE_ENV: "production",
    NODE_COMPILE_CACHE: join(folder, "cache"),
    ...secretsOf(program, secrets, url)
  })
  const sandboxServer = await startServer("sandbox", ["src/main/Sandbox.ts"], environment("Sandbox"), {
    folder,
    url: `http://127.0.0.1:${sandbox}/checkout/none`
  })
  const fakesEnvironment = {
    STRIPE_FAKE_PORT: String(stripe),
    PAYSTACK_FAKE_PORT: String(paystack),
    STRIPE_SECRET_KEY: "sk_test_fake",
    STRIPE_WEBHOOK_SECRET: "whsec_fake",
    FAKES_WEBHOOK_BASE: `http://127.0.0.1:${api}`
  }
  const stripeSettings = {
    STRIPE_SECRET_KEY: fakesEnvironment.STRIPE_SECRET_KEY,
    STRIPE_WEBHOOK_SECRET: fakesEnvironment.STRIPE_WEBHOOK_SECRET,
    STRIPE_API_BASE: `http://127.0.0.1:${stripe}`,
    STRIPE_RETURN_URL: "https://app.example.com/paid"
  }
  let fakes: Server | undefined
  const startFakes = async () => {
    fakes = await startServer("fakes", ["src/main/Fakes.ts"], fakesEnvironment, {
      folder,
      url: `http://127.0.0.1:${stripe}/_fake/switches`
    })
  }
  await startFakes()
  let server: Server | undefined
  let started = 0
  const useApi = async (composition: Composition = { args: ["src/main/Api.ts"], environment: {} }) => {
    await server?.stop()
    server = await startServer(
      `api-${++started}`,
      composition.args,
      { ...environment("Api"), ...stripeSettings, ...composition.environment },
      { folder, url: `http://127.0.0.1:${api}/readyz` }
    )
  }
  await useApi()
  const videoProcess = new VideoProcess(environment("Video"), folder, {
    forget: () => query(url, "DELETE FROM video.heartbeats"),
    beats: async () => (await query(url, "SELECT 1 FROM video.heartbeats")).length > 0
  })
  return {
    folder,
    postgres,
    url,
    spool,
    ports: { api, video, sandbox, stripe },
    video: videoProcess,
    fakes: { start: startFakes, stop: async () => fakes?.stop() },
    heads: makeHeads(keys),
    useApi,
    pids: () => ({ api: server?.pid ?? 0, sandbox: sandboxServer.pid }),
    environment,
    close: async () => {
      await videoProcess.stop()
      await stopServers()
      agent.destroy()
      await postgres.stop()
    }
  }
}

/** Bulkheads that have no connections under a name and a role of their own: two of them share a pool. */
export const withoutPool = async (stage: Stage): Promise<ReadonlyArray<string>> => {
  const rows = await query(
    stage.url,
    `SELECT DISTINCT split_part(application_name, ' ', 1) || ' as ' || usename FROM pg_stat_activity
      WHERE datname = current_database() AND application_name LIKE 'midnight-%'`
  )
  const found = rows.map(([pool]) => String(pool))
  return ["identity", "wallet", "payments", "webhooks", "rewards", "video_api", "video_worker"]
    .filter((role) => !found.includes(`midnight-${role} as midnight_${role}`))
}
