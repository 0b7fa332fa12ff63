import { PgClient } from "@effect/sql-pg"
import { Config, Effect, Layer, Option, Redacted } from "effect"
import { createHmac } from "node:crypto"
import * as Settings from "./Config.ts"

/** The login role, pool size and variable of each bulkhead's own database access (ARCHITECTURE, Bulkheads). */
export const bulkheads = {
  identity: { role: "identity", connections: 5, variable: "IDENTITY_DATABASE_URL" },
  wallet: { role: "wallet", connections: 6, variable: "WALLET_DATABASE_URL" },
  payments: { role: "payments", connections: 5, variable: "PAYMENTS_DATABASE_URL" },
  rewards: { role: "rewards", connections: 5, variable: "REWARDS_DATABASE_URL" },
  videoApi: { role: "video_api", connections: 3, variable: "VIDEO_API_DATABASE_URL" },
  videoWorker: { role: "video_worker", connections: 6, variable: "VIDEO_WORKER_DATABASE_URL" }
} as const

export type Bulkhead = keyof typeof bulkheads

/** The password of `midnight_<role>`: HMAC-SHA256 of its name under DATABASE_ROLES_SECRET. */
export const rolePassword = (rolesSecret: Redacted.Redacted<string>, role: string): Redacted.Redacted<string> =>
  Redacted.make(createHmac("sha256", Redacted.value(rolesSecret)).update(`midnight:${role}`).digest("base64url"))

/** The owner's connection string with a bulkhead's role and its derived password put in. */
export const roleUrl = (owner: string, rolesSecret: Redacted.Redacted<string>, bulkhead: Bulkhead): URL => {
  const { role } = bulkheads[bulkhead]
  const url = new URL(owner)
  url.username = `midnight_${role}`
  url.password = Redacted.value(rolePassword(rolesSecret, role))
  return url
}

/** The bulkhead's connection string: its own variable, or the owner's with the role and its password put in. */
const urlOf = (bulkhead: Bulkhead) =>
  Effect.gen(function*() {
    const own = yield* Config.option(Config.Redacted(bulkheads[bulkhead].variable))
    if (Option.isSome(own)) return new URL(Redacted.value(own.value))
    return roleUrl(Redacted.value(yield* Settings.databaseUrl), yield* Settings.rolesSecret, bulkhead)
  })

// A client configured by `url` reports a wrong db.namespace and server.address in its spans, so the parts are given.
const parts = (url: URL) => ({
  host: url.hostname,
  port: url.port === "" ? 5432 : Number(url.port),
  database: decodeURIComponent(url.pathname.slice(1)),
  username: decodeURIComponent(url.username),
  password: Redacted.make(decodeURIComponent(url.password)),
  ssl: ["require", "verify-full", "verify-ca"].includes(url.searchParams.get("sslmode") ?? "")
})

/**
 * A pool of the bulkhead's own. Each call makes a new layer: layers are memoised by reference, and a shared constant would
 * quietly give two bulkheads one pool.
 */
export const pool = (bulkhead: Bulkhead) =>
  PgClient.layerFrom(
    Effect.flatMap(urlOf(bulkhead), (url) =>
      PgClient.make({
        ...parts(url),
        applicationName: `midnight-${bulkheads[bulkhead].role}`,
        maxConnections: bulkheads[bulkhead].connections,
        connectTimeout: "2 seconds",
        startupParameters: { statement_timeout: "3000", lock_timeout: "1000", TimeZone: "UTC" }
      }))
  )

/** The owner's access, for the migrate command and for checks that read every schema. Servers never use it. */
export const ownerPool = (applicationName: string) =>
  PgClient.layerFrom(
    Effect.flatMap(Settings.databaseUrl, (url) =>
      PgClient.make({ ...parts(new URL(Redacted.value(url))), applicationName, maxConnections: 2 }))
  )

export type PoolLayer = Layer.Success<ReturnType<typeof pool>>
