/**
 * A process for tests to kill: holds one thing, says so in a line of JSON, and stays.
 * `node hold.ts postgres <dataDir>`, `node hold.ts home <folder>`, `node hold.ts supervisor <program>`
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect } from "effect"
import { EmbeddedPostgres } from "../../src/layers/EmbeddedPostgres.ts"
import { HomeLock } from "../../src/layers/HomeLock.ts"
import { supervise } from "../../src/layers/Processes.ts"

const [what = "", path = ""] = process.argv.slice(2)

const postgres = Effect.gen(function*() {
  const { pid } = yield* EmbeddedPostgres
  yield* Console.log(JSON.stringify({ pid }))
  return yield* Effect.never
}).pipe(Effect.provide(EmbeddedPostgres.layer({ dataDir: path, durable: false })))

const home = Effect.gen(function*() {
  yield* HomeLock
  yield* Console.log(JSON.stringify({ pid: process.pid }))
  return yield* Effect.never
}).pipe(Effect.provide(HomeLock.layer(path)))

// The supervised program prints the line itself: its standard output is ours.
const supervisor = supervise({ name: "held", file: path, environment: {} })

if (what === "postgres") NodeRuntime.runMain(postgres)
else if (what === "home") NodeRuntime.runMain(home)
else NodeRuntime.runMain(supervisor)
