import { PgConnection } from "@effect/sql-pg"
import { assert, describe, it, layer } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Option, Redacted, Scope } from "effect"
import { existsSync } from "node:fs"
import { mkdir, readFile, stat, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { EmbeddedPostgres } from "../../src/layers/EmbeddedPostgres.ts"
import { HomeInUse, HomeLock } from "../../src/layers/HomeLock.ts"
import { held, isAlive, temporaryFolder, until } from "../layers/Held.ts"
import { PgTest } from "../layers/PgTest.ts"

const value = (url: Redacted.Redacted<string>, sql: string) =>
  Effect.gen(function*() {
    const connection = yield* PgConnection.make({ url })
    const rows = yield* connection.queryValues(sql, [])
    return rows[0]?.[0]
  }).pipe(Effect.scoped)

/** The resource in a scope of its own, so that a test can close it, or not. */
const open = (dataDir: string, durable = false) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const context = yield* Layer.buildWithScope(EmbeddedPostgres.layer({ dataDir, durable }), scope)
    const close = Scope.close(scope, Exit.void)
    yield* Effect.addFinalizer(() => close)
    return { ...Context.get(context, EmbeddedPostgres), close }
  })

const write = "CREATE TABLE kept AS SELECT 42 AS answer"
const read = "SELECT answer FROM kept"

describe("the embedded PostgreSQL", () => {
  it.live("keeps its data over a stop and a start, below a path that is longer than a socket's may be", () =>
    Effect.gen(function*() {
      const dataDir = join(yield* temporaryFolder, "a-folder-of-a-hundred-and-twenty-characters".padEnd(120, "-"), "pg")
      const leftover = `${dataDir}.init-cut-short`
      yield* Effect.promise(() => mkdir(leftover, { recursive: true }))
      const first = yield* open(dataDir)
      assert.strictEqual(first.how, "initialised")
      assert.isFalse(existsSync(leftover), "an initialisation that was cut short is cleared away")
      yield* value(first.url, write)
      yield* first.close
      // PostgreSQL takes this file away as its last act; the kernel may still be giving back its memory then.
      assert.isFalse(existsSync(join(first.dataDir, "postmaster.pid")), "closing waits for the server's end")
      yield* until(() => !isAlive(first.pid))

      const second = yield* open(dataDir)
      assert.strictEqual(second.how, "started")
      assert.strictEqual(yield* value(second.url, read), 42)
      const { mode } = yield* Effect.promise(() => stat(`${dataDir}.password`))
      assert.strictEqual(mode & 0o777, 0o600)
    }))

  it.live("recovers after SIGKILL of the server, and the last user stops the new one", () =>
    Effect.gen(function*() {
      const dataDir = join(yield* temporaryFolder, "pg")
      const first = yield* open(dataDir, true)
      yield* value(first.url, write)
      process.kill(first.pid, "SIGKILL")

      const second = yield* open(dataDir, true)
      assert.strictEqual(second.how, "recovered")
      assert.strictEqual(yield* value(second.url, read), 42)
      yield* second.close
      assert.isTrue(isAlive(second.pid), "the first user has not closed yet")
      yield* first.close
      yield* until(() => !isAlive(second.pid))
    }))

  it.live("adopts the server that a killed process left behind, and stops it in the end", () =>
    Effect.gen(function*() {
      const dataDir = join(yield* temporaryFolder, "pg")
      const owner = yield* held("postgres", dataDir)
      yield* owner.kill
      const heir = yield* open(dataDir)
      assert.strictEqual(heir.how, "adopted")
      assert.strictEqual(heir.pid, owner.pid)
      yield* heir.close
      yield* until(() => !isAlive(owner.pid))
    }))

  it.live("starts although a stranger has the pid of a server that died", () =>
    Effect.gen(function*() {
      const dataDir = join(yield* temporaryFolder, "pg")
      const first = yield* open(dataDir)
      const file = join(dataDir, "postmaster.pid")
      const lines = yield* Effect.promise(() => readFile(file, "utf8"))
      yield* first.close
      yield* Effect.promise(() => writeFile(file, lines.replace(/^\d+/, String(process.pid))))
      const second = yield* open(dataDir)
      assert.strictEqual(second.how, "recovered")
      assert.notStrictEqual(second.pid, process.pid)
    }))

  it.live("is one server for several starters at once, until the last of them closes", () =>
    Effect.gen(function*() {
      const dataDir = join(yield* temporaryFolder, "pg")
      const [one, two, other] = yield* Effect.all([open(dataDir), open(dataDir), held("postgres", dataDir)], {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual([two.pid, other.pid], [one.pid, one.pid])
      assert.isAtMost([one.how, two.how].filter((how) => how !== "adopted").length, 1)
      yield* one.close
      yield* other.kill
      assert.strictEqual(yield* value(two.url, "SELECT 1"), 1)
      const found = yield* EmbeddedPostgres.find(dataDir)
      assert.strictEqual(yield* value(Option.getOrThrow(found), "SELECT current_database()::text"), "midnight")
      yield* two.close
      yield* until(() => !isAlive(one.pid))
    }))
})

describe("the lock of a home", () => {
  it.live("names the process that holds it, and falls with that process", () =>
    Effect.gen(function*() {
      const home = yield* temporaryFolder
      const holder = yield* held("home", home)
      const refused = yield* Effect.flip(Effect.scoped(Layer.build(HomeLock.layer(home))))
      assert.instanceOf(refused, HomeInUse)
      assert.include(refused.message, `process ${holder.pid}`)
      assert.isTrue(isAlive(holder.pid), "the first is left alone")
      yield* holder.kill
      yield* until(() => !isAlive(holder.pid))
      const lock = yield* Layer.build(HomeLock.layer(home))
      assert.strictEqual(Context.get(lock, HomeLock).home, home)
    }))
})

layer(PgTest.layer)("the database of a test file", (it) => {
  it.effect("lets each bulkhead's role log in with its derived password", () =>
    Effect.gen(function*() {
      const pg = yield* PgTest
      for (const role of ["identity", "wallet", "payments", "webhooks", "rewards", "video_api", "video_worker"]) {
        assert.strictEqual(yield* value(pg.urlFor(role), "SELECT current_user::text"), `midnight_${role}`)
      }
    }))

  it.effect("lets nobody connect whom the migrations do not name", () =>
    Effect.gen(function*() {
      const pg = yield* PgTest
      const allowed = "SELECT has_database_privilege('public', current_database(), 'CONNECT')"
      assert.isFalse(yield* value(pg.ownerUrl, allowed))
    }))
})
