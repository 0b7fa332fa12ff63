import { PgClient } from "@effect/sql-pg"
import { Config, Duration, Effect, Fiber, Layer, Option, Predicate, Redacted } from "effect"
import { Reactivity } from "effect/reactivity"
import { SqlClient, type SqlConnection, SqlError } from "effect/sql"
import { createHmac, randomBytes } from "node:crypto"
import { NoConnection } from "../services/Database.ts"
import * as Settings from "./Config.ts"

/** The login role, pool size and variable of each bulkhead's own database access (ARCHITECTURE, Bulkheads). */
export const bulkheads = {
  identity: { role: "identity", connections: 5, variable: "IDENTITY_DATABASE_URL" },
  // Who was cut off is read also while everybody signs in at once.
  revocations: { role: "identity", connections: 1, variable: "IDENTITY_DATABASE_URL" },
  wallet: { role: "wallet", connections: 6, variable: "WALLET_DATABASE_URL" },
  // Postings do not queue behind those who look at their history: a batch that waits holds up everybody's payment.
  walletWriter: { role: "wallet", connections: 1, variable: "WALLET_DATABASE_URL" },
  payments: { role: "payments", connections: 5, variable: "PAYMENTS_DATABASE_URL" },
  webhooks: { role: "webhooks", connections: 3, variable: "WEBHOOKS_DATABASE_URL" },
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

// Not marked retryable: whoever waited that long has used up what a caller should wait.
const noConnection = new SqlError.SqlError({
  reason: new SqlError.UnknownError({ cause: new NoConnection(), message: "No connection came in time" })
})

// PostgreSQL answers COMMIT with ROLLBACK where the transaction had failed.
const rolledBack = new SqlError.SqlError({
  reason: new SqlError.UnknownError({ cause: new Error("COMMIT of a failed transaction"), operation: "commit" })
})
const commit = (connection: SqlConnection.Connection) =>
  Effect.flatMap(
    connection.executeRaw("COMMIT", []),
    (answer) =>
      Predicate.hasProperty(answer, "command") && answer.command === "ROLLBACK" ? Effect.fail(rolledBack) : Effect.void
  )

/**
 * The same client, whose callers wait for a connection only so long. The library's own limits are on connecting and on
 * statements; behind a database that hangs, callers would queue for a connection until their requests run out of time.
 */
const patient = (client: PgClient.PgClient, limit: Duration.Input) => {
  // A connection that is free comes at once, and then neither a timer nor a race is set up.
  const acquirer = Effect.flatMap(
    Effect.forkChild(client.reserve, { startImmediately: true }),
    (taking) => {
      const exit = taking.pollUnsafe()
      return exit ?? Effect.timeoutOrElse(Fiber.join(taking), {
        duration: limit,
        orElse: () => Effect.andThen(Fiber.interrupt(taking), Effect.fail(noConnection))
      })
    }
  )
  const { database, host, port } = client.config
  return SqlClient.make({
    acquirer,
    compiler: PgClient.makeCompiler(),
    driver: client.driver,
    commit,
    prepareTransactionControls: true,
    releaseSavepoint: (name) => `RELEASE SAVEPOINT ${name}`,
    spanAttributes: [
      ["db.system.name", "postgresql"],
      ["db.namespace", database],
      ["server.address", host],
      ["server.port", port]
    ]
  })
}

/**
 * A pool of the bulkhead's own. Each call makes a new layer: layers are memoised by reference, and a shared constant would
 * quietly give two bulkheads one pool.
 */
export const pool = (bulkhead: Bulkhead) =>
  Layer.effect(
    SqlClient.SqlClient,
    Effect.gen(function*() {
      const limits = yield* Settings.databaseLimits
      const client = yield* PgClient.make({
        ...parts(yield* urlOf(bulkhead)),
        // The pool's own name, so that processes which share a database can be counted, each once.
        applicationName: `midnight-${bulkheads[bulkhead].role} ${randomBytes(4).toString("hex")}`
          + (bulkhead === "revocations" ? " revocations" : ""),
        maxConnections: bulkheads[bulkhead].connections,
        connectTimeout: limits.connect,
        startupParameters: {
          statement_timeout: String(Duration.toMillis(limits.statement)),
          lock_timeout: String(Duration.toMillis(limits.lock)),
          TimeZone: "UTC"
        }
      })
      return yield* patient(client, limits.acquire)
    })
  ).pipe(Layer.provide(Reactivity.layer))

/** The owner's access, for the migrate command and for checks that read every schema. Servers never use it. */
export const ownerPool = (applicationName: string) =>
  PgClient.layerFrom(
    Effect.flatMap(Settings.databaseUrl, (url) =>
      PgClient.make({ ...parts(new URL(Redacted.value(url))), applicationName, maxConnections: 2 }))
  )

export type PoolLayer = Layer.Success<ReturnType<typeof pool>>
