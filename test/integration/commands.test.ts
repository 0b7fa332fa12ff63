import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { resolve } from "node:path"
import { temporaryFolder } from "../layers/Held.ts"

/** A command of `src/main` on a machine where nothing runs and nothing is set. */
const run = Effect.fnUntraced(function*(file: string, words: ReadonlyArray<string>) {
  const home = yield* temporaryFolder
  return yield* Effect.callback<{ readonly code: number | null; readonly out: string; readonly error: string }>(
    (resume) => {
      const child = spawn(process.execPath, [resolve(import.meta.dirname, "../../src/main", file), ...words], {
        env: { MIDNIGHT_HOME: home },
        stdio: ["ignore", "pipe", "pipe"]
      })
      let out = ""
      let error = ""
      child.stdout.on("data", (text) => out += String(text))
      child.stderr.on("data", (text) => error += String(text))
      child.once("close", (code) => resume(Effect.succeed({ code, out, error })))
      return Effect.sync(() => child.kill("SIGKILL"))
    }
  )
})

describe("a command", () => {
  for (const name of ["Audit", "DeadLetters", "Demo", "Doctor", "Migrate", "Trace"]) {
    it.effect(`explains itself where there is no database: ${name}`, () =>
      Effect.gen(function*() {
        const { code, error, out } = yield* run(`${name}.ts`, ["--help"])
        assert.deepStrictEqual([code, error], [0, ""])
        assert.include(out, "USAGE")
      }).pipe(Effect.scoped))
  }

  for (const [name, ...words] of [["Audit"], ["DeadLetters", "list"], ["Doctor"]]) {
    it.effect(`says what to do when there is no database to look at: ${name}`, () =>
      Effect.gen(function*() {
        const { code, error, out } = yield* run(`${name}.ts`, words)
        assert.deepStrictEqual([code, out], [1, ""])
        assert.match(
          error,
          /^.*There is no database to look at: start Midnight with npm start, or set DATABASE_URL\.\n$/
        )
      }).pipe(Effect.scoped))
  }
})
