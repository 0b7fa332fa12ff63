import { assert, describe, it } from "@effect/vitest"
import { Console, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { existsSync, readFileSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { join, resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { type Program, runProgram, supervise } from "../../src/layers/Processes.ts"
import { held, isAlive, temporaryFolder, until } from "../layers/Held.ts"

/** A program that appends its pid to `started` each time it runs, and then does what `body` says. */
const programThat = (body: string) =>
  Effect.gen(function*() {
    const folder = yield* temporaryFolder
    const file = join(folder, "program.mjs")
    const started = join(folder, "started")
    const source = `import { appendFileSync } from "node:fs"\n${body}\n`
      + `appendFileSync(${JSON.stringify(started)}, process.pid + "\\n")\n`
    yield* Effect.promise(() => writeFile(file, source))
    // A line counts once it is whole: a pid read from half of one, or 0, would send signals to others.
    const pids = () => existsSync(started) ? readFileSync(started, "utf8").split("\n").slice(0, -1).map(Number) : []
    const latest = () => {
      const pid = pids().at(-1)
      if (pid === undefined || pid < 2) throw new Error("the program has not started")
      return pid
    }
    const program: Program = { name: "tested", file, environment: {} }
    return { program, pids, latest }
  })

const stays = "setInterval(() => {}, 1000)"

describe("a supervised process", () => {
  it.effect("starts again a second after its end, then after two and four, and is stopped with its supervisor", () =>
    Effect.gen(function*() {
      const { latest, pids, program } = yield* programThat(stays)
      const said: Array<string> = []
      const listener: Console.Console = {
        ...globalThis.console,
        error: (text: unknown) => void said.push(String(text))
      }
      const supervisor = yield* supervise(program).pipe(
        Effect.provideService(Console.Console, listener),
        Effect.forkChild
      )
      for (const [starts, pause] of [[1, "1s"], [2, "2s"], [3, "4s"]] as const) {
        yield* until(() => pids().length === starts)
        process.kill(latest(), "SIGKILL")
        // It says so in the moment in which its pause begins.
        yield* until(() => said.length === starts)
        assert.strictEqual(said.at(-1), `The tested process ended (SIGKILL); it starts again in ${pause}.`)
        yield* TestClock.adjust(`${2 ** (starts - 1)} seconds`)
      }
      yield* until(() => pids().length === 4)
      yield* Fiber.interrupt(supervisor)
      assert.isFalse(isAlive(latest()))
    }))

  it.effect("is killed 25 seconds after a SIGTERM that it does not heed", () =>
    Effect.gen(function*() {
      const { latest, pids, program } = yield* programThat(`process.on("SIGTERM", () => {})\n${stays}`)
      const supervisor = yield* Effect.forkChild(supervise(program))
      yield* until(() => pids().length === 1)
      const stop = yield* Effect.forkChild(Fiber.interrupt(supervisor))
      yield* TestClock.adjust("24 seconds")
      assert.isTrue(isAlive(latest()))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(stop)
      assert.isFalse(isAlive(latest()))
    }))

  it.effect("ends the whole start with its last words when its configuration is wrong", () =>
    Effect.gen(function*() {
      const { pids, program } = yield* programThat("console.error('UPLOAD_SECRET is missing'); process.exitCode = 78")
      const failure = yield* Effect.flip(supervise(program))
      assert.strictEqual(failure.message, "tested did not start: UPLOAD_SECRET is missing")
      assert.lengthOf(pids(), 1)
    }))

  it.effect("must succeed where it is run to its end", () =>
    Effect.gen(function*() {
      const good = yield* programThat("")
      yield* runProgram(good.program)
      const bad = yield* programThat("process.exitCode = 1")
      const failure = yield* Effect.flip(runProgram(bad.program))
      assert.include(failure.message, "code 1")
    }))

  it.live("ends when its supervisor is killed", () =>
    Effect.gen(function*() {
      const module = (path: string) => JSON.stringify(pathToFileURL(resolve(import.meta.dirname, path)).href)
      const { program } = yield* programThat(
        `import { ParentWatch } from ${module("../../src/layers/ParentWatch.ts")}\n`
          + `import { Effect, Layer } from ${module("../../node_modules/effect/dist/index.js")}\n`
          + `Effect.runFork(Layer.launch(ParentWatch))\n${stays}\n`
          + "console.log(JSON.stringify({ pid: process.pid }))"
      )
      const supervisor = yield* held("supervisor", program.file)
      assert.isTrue(isAlive(supervisor.pid))
      yield* supervisor.kill
      yield* until(() => !isAlive(supervisor.pid))
    }))
})
