// Yields its processor and says how: the nice values of its threads, and its session's.
import { Console, Effect } from "effect"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { getPriority } from "node:os"
import { yieldProcessor } from "../../src/layers/Priority.ts"

const threads = () => existsSync("/proc/self/task") ? readdirSync("/proc/self/task").map(Number) : [process.pid]
const session = () => existsSync("/proc/self/autogroup") ? readFileSync("/proc/self/autogroup", "utf8") : "nice 10"

await Effect.runPromise(Effect.gen(function*() {
  yield* yieldProcessor(10)
  yield* Console.log(JSON.stringify({ threads: [...new Set(threads().map(getPriority))], session: session().trim() }))
}))
