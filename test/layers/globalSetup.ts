import { PgClient, PgConnection } from "@effect/sql-pg"
import { Context, Effect, Layer, ManagedRuntime, Redacted } from "effect"
import { spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { mkdir } from "node:fs/promises"
import { join, resolve } from "node:path"
import type { TestProject } from "vitest/node"
import { EmbeddedPostgres } from "../../src/layers/EmbeddedPostgres.ts"
import { takeFileLock } from "../../src/layers/HomeLock.ts"
import { migrate, setRolePasswords } from "../../src/layers/Migrations.ts"

declare module "vitest" {
  interface ProvidedContext {
    /** The owner's connection string of the run's server, and the migrated database that test files clone. */
    readonly postgres: { readonly url: string; readonly template: string; readonly rolesSecret: string }
  }
}

const rolesSecret = "a secret for the roles of test databases"
const folder = resolve(import.meta.dirname, "../../.test-postgres")

/**
 * A run has a server of its own: a second run in the same clone takes the next slot. The data is fresh in every run, so
 * nothing of an earlier one (a role, a setting) can make a test pass.
 */
const slot = Effect.gen(function*() {
  yield* Effect.promise(() => mkdir(folder, { recursive: true }))
  for (let number = 0;; number++) {
    const path = join(folder, String(number))
    const lock = yield* Effect.option(takeFileLock(`${path}.run`, "exclusive"))
    if (lock._tag === "None") continue
    yield* Effect.addFinalizer(() => lock.value.release)
    yield* EmbeddedPostgres.remove(path)
    yield* Effect.addFinalizer(() => Effect.ignore(EmbeddedPostgres.remove(path)))
    return path
  }
})

/** Vitest leaves at once on SIGTERM, without tearing down: a shell that sees our pipe close stops the server then. */
const watchdog = (pid: number) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const words = ["-c", "read -r _; kill -INT \"$0\"", String(pid)]
      const shell = spawn("sh", words, { detached: true, stdio: ["pipe", "ignore", "ignore"] })
      shell.unref()
      return shell
    }),
    (shell) => Effect.sync(() => shell.kill("SIGKILL"))
  )

class Server extends Context.Service<Server, { readonly url: Redacted.Redacted<string> }>()("midnight/test/Server") {
  static readonly embedded = Layer.effect(
    Server,
    Effect.gen(function*() {
      const postgres = yield* EmbeddedPostgres
      yield* watchdog(postgres.pid)
      return { url: postgres.url }
    })
  ).pipe(
    Layer.provide(Layer.unwrap(Effect.map(slot, (dataDir) => EmbeddedPostgres.layer({ dataDir, durable: false }))))
  )
  static readonly given = (url: string) => Layer.succeed(Server, { url: Redacted.make(url) })
}

class Template extends Context.Service<Template, { readonly name: string }>()("midnight/test/Template") {
  static readonly layer = Layer.effect(
    Template,
    Effect.gen(function*() {
      const { url } = yield* Server
      const name = `midnight_template_${randomBytes(4).toString("hex")}`
      const command = (sql: string) =>
        Effect.scoped(Effect.flatMap(PgConnection.make({ url }), (connection) => connection.query(sql, [])))
      yield* Effect.acquireRelease(
        command(`CREATE DATABASE ${name}`),
        () => Effect.ignore(command(`DROP DATABASE ${name} WITH (FORCE)`))
      )
      const target = new URL(Redacted.value(url))
      target.pathname = `/${name}`
      yield* Effect.andThen(migrate, setRolePasswords(Redacted.make(rolesSecret))).pipe(
        Effect.provide(PgClient.layer({ url: Redacted.make(target.href), maxConnections: 2 }))
      )
      // A database that anybody is connected to cannot be cloned.
      yield* command(`ALTER DATABASE ${name} ALLOW_CONNECTIONS false`)
      return { name }
    })
  )
}

const given = process.env["DATABASE_URL_TEST"]

/** Starts the run's PostgreSQL and migrates the template; set DATABASE_URL_TEST to use a server of your own. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = given === undefined || given === "" ? Server.embedded : Server.given(given)
  const runtime = ManagedRuntime.make(Template.layer.pipe(Layer.provideMerge(server)))
  const started = Effect.gen(function*() {
    const { url } = yield* Server
    const { name } = yield* Template
    return { url: Redacted.value(url), template: name, rolesSecret }
  })
  project.provide(
    "postgres",
    await runtime.runPromise(started).catch(async (cause: unknown) => {
      await runtime.dispose()
      throw cause
    })
  )
  return () => runtime.dispose()
}
