import * as PgConnection from "@effect/sql-pg/PgConnection"
import { Effect, Exit, Layer, Redacted, Scope } from "effect"
import { join } from "node:path"
import { EmbeddedPostgres } from "../src/layers/EmbeddedPostgres.ts"

export interface Postgres {
  readonly pid: number
  /** The connection string of a database of that server. */
  readonly url: (database: string) => string
  readonly stop: () => Promise<void>
}

/** The PostgreSQL that `npm start` runs, durable, in a folder of the bench's own. */
export const startPostgres = async (folder: string): Promise<Postgres> => {
  const scope = await Effect.runPromise(Scope.make())
  const context = await Effect.runPromise(
    Layer.buildWithScope(EmbeddedPostgres.layer({ dataDir: join(folder, "postgres"), durable: true }), scope)
  )
  const { pid, url } = await Effect.runPromise(Effect.provide(EmbeddedPostgres, context))
  return {
    pid,
    url: (database) => {
      const one = new URL(Redacted.value(url))
      one.pathname = `/${database}`
      return one.href
    },
    stop: () => Effect.runPromise(Scope.close(scope, Exit.void))
  }
}

/** The rows of one statement, on a connection of its own. */
export const query = (
  url: string,
  text: string,
  params: ReadonlyArray<unknown> = []
): Promise<ReadonlyArray<ReadonlyArray<unknown>>> =>
  Effect.runPromise(
    Effect.scoped(Effect.gen(function*() {
      const connection = yield* PgConnection.make({ url: Redacted.make(url) })
      return yield* connection.queryValues(text, params)
    }))
  )

/** A script of statements, each of which ends with a semicolon and an empty line or the end of the text. */
export const script = async (url: string, text: string): Promise<void> => {
  for (const statement of text.split(/;\n\n|;\s*$/)) {
    if (statement.replace(/^--.*$/gm, "").trim() !== "") await query(url, statement)
  }
}

export const createDatabase = async (postgres: Postgres, name: string): Promise<string> => {
  await query(postgres.url("postgres"), `CREATE DATABASE ${name}`)
  return postgres.url(name)
}

/** Between two sides: nobody pays for what another has left in memory. */
export const settle = async (postgres: Postgres): Promise<void> => {
  await query(postgres.url("postgres"), "CHECKPOINT")
}
