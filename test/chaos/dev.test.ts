import { PgConnection } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { join } from "node:path"
import { EmbeddedPostgres } from "../../src/layers/EmbeddedPostgres.ts"
import { descendants, freePorts, health, kill, listening, ready, start } from "../layers/DevServer.ts"
import { isAlive, temporaryFolder, until } from "../layers/Held.ts"

const query = (home: string, sql: string) =>
  Effect.gen(function*() {
    const url = Option.getOrThrow(yield* EmbeddedPostgres.find(join(home, "postgres")))
    const connection = yield* PgConnection.make({ url })
    return (yield* connection.queryValues(sql, []))[0]?.[0]
  }).pipe(Effect.scoped)

describe("npm start", () => {
  it.live(
    "survives SIGKILL of everything, refuses a second start, and leaves nothing behind",
    () =>
      Effect.gen(function*() {
        const home = join(yield* temporaryFolder, "home")
        const environment = { ...(yield* freePorts), MIDNIGHT_HOME: home }
        const first = yield* start(environment)
        yield* ready(first)
        assert.strictEqual(yield* health(environment), 200)
        yield* query(home, "CREATE TABLE public.kept AS SELECT 42 AS answer")
        const all = [...descendants(first.pid), first.pid]
        assert.isAtLeast(all.length, 5, "itself, PostgreSQL, API, video, sandbox")
        kill(all)
        yield* Effect.promise(() => first.ended)
        yield* until(() => !all.some(isAlive))

        const second = yield* start(environment)
        yield* ready(second)
        assert.strictEqual(yield* health(environment), 200)
        assert.strictEqual(yield* query(home, "SELECT answer FROM public.kept"), 42)

        const third = yield* start({ ...environment, ...(yield* freePorts) })
        yield* Effect.promise(() => third.ended)
        assert.strictEqual(third.child.exitCode, 1)
        assert.include(third.output(), `already running from ${home} (process ${second.pid})`)
        assert.strictEqual(yield* health(environment), 200)

        const running = descendants(second.pid)
        second.child.kill("SIGTERM")
        yield* Effect.promise(() => second.ended)
        assert.deepStrictEqual(running.filter(isAlive), [])
        // Two whole starts, of which the first also initialises: long on a machine that is busy with other tests.
      }),
    360_000
  )

  it.live("says which port is taken and how to choose another", () =>
    Effect.gen(function*() {
      const taken = yield* listening
      const environment = { ...(yield* freePorts), VIDEO_PORT: String(taken.port) }
      const refused = yield* start({ ...environment, MIDNIGHT_HOME: join(yield* temporaryFolder, "home") })
      yield* Effect.promise(() => refused.ended)
      assert.strictEqual(refused.child.exitCode, 1)
      assert.include(refused.output(), `Port ${taken.port} cannot be used`)
      assert.include(refused.output(), "VIDEO_PORT=")
    }), 180_000)
})
