import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { regressions } from "./isolation/Regressions.ts"
import { faulty, warmUp } from "./isolation/Rounds.ts"
import { openStage, type Stage, withoutPool } from "./isolation/Stage.ts"

// What of `npm run test:isolation` needs no clock. A test asserts no time, because others may share its machine: a wall that
// was taken away must show here in names and in errors, and the command itself judges the times.

const few = { seconds: 3, pairs: 1, rate: 10 }
const folder = mkdtempSync(join(tmpdir(), "midnight-isolation-"))
const ground: { stage?: Stage } = {}
const staged = (): Stage => ground.stage ?? assert.fail("the stage is not set")

/** Who has no pool, once that are no more than so many: each is opened when it is first needed, on a slow machine later. */
const missing = async (stage: Stage, most: number) => {
  let without = await withoutPool(stage)
  for (const end = performance.now() + 30_000; without.length > most && performance.now() < end;) {
    await warmUp(stage, few, 1)
    without = await withoutPool(stage)
  }
  return without
}

beforeAll(async () => {
  ground.stage = await openStage(folder)
}, 300_000)

afterAll(async () => {
  await ground.stage?.close()
  rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
})

describe("the pools of a running Midnight", () => {
  it("belong to one bulkhead each, by name and role", async () => {
    await warmUp(staged(), few, 1)
    assert.deepStrictEqual(await missing(staged(), 0), [])
  }, 300_000)

  it("are missed by name when two bulkheads share one, and payments fail once video has its connections", async () => {
    const stage = staged()
    const regression = regressions["shared-pool"]
    if (regression?.fault === undefined) return assert.fail("there is no such regression")
    await regression.prepare(stage)
    await stage.useApi(regression.api(stage))
    await warmUp(stage, few, 1)
    assert.deepStrictEqual(await missing(stage, 1), ["video_api"])
    const clip = join(folder, "clip.mp4")
    writeFileSync(clip, "Nobody gets as far as to look at it.")
    const none = { upload: "", submission: "", command: "", videoId: "", sha256: "", submissionId: "", clip }
    // Where others keep the processors, uploads come too slowly now and then to exhaust anything: then it is tried again.
    let errors = 0
    for (let tries = 0; tries < 12 && errors === 0; tries++) {
      const { window } = await faulty(stage, regression.fault, regression.fault.video, none, few)
      errors = Object.values(window.errors).reduce((all, some) => all + some, 0)
    }
    assert.isAbove(errors, 0)
  }, 900_000)
})
