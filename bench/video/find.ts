import { Effect, Option } from "effect"
import { readFile, writeFile } from "node:fs/promises"
import { judge } from "../../src/domain/Verification.ts"
import { MediaEngine } from "../../src/services/MediaEngine.ts"
import { write } from "./film.ts"
import type { Limit, Outcome, Side } from "./limits.ts"

export interface Found {
  readonly truth: number
  readonly measured: number | null
  readonly expected: Outcome
  readonly outcome: Outcome | "no check"
}

/** Films one side of a limit, has the real engine measure it and the real rules judge it. */
const look = Effect.fnUntraced(function*(limit: Limit, { expected, film, forge, truth }: Side, path: string) {
  const engine = yield* MediaEngine
  yield* Effect.promise(async () => {
    await write({ ...film, path })
    if (forge === undefined) return
    const bytes = await readFile(path)
    forge(bytes)
    await writeFile(path, bytes)
  })
  const { findings } = yield* engine.analyse({
    path,
    jobId: limit.check,
    rules: limit.rules,
    traceparent: Option.none()
  })
  const check = judge(findings, limit.rules).checks.find(({ name }) => name === limit.check)
  const found: Found = {
    truth,
    expected,
    // Refused before it was measured, as what is too long is.
    measured: findings._tag === "MediaFacts" ? limit.measured(findings) : null,
    outcome: check?.outcome ?? "no check"
  }
  return found
})

/** What the checks say of a clip on each side of a limit. `path` is overwritten. */
export const find = (limit: Limit, path: string) => Effect.forEach(limit.sides, (side) => look(limit, side, path))

export const isFound = (found: ReadonlyArray<Found>): boolean =>
  found.length > 1 && found.every(({ expected, outcome }) => outcome === expected)
