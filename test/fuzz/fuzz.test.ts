import { randomInt } from "node:crypto"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { openStage, type Stage } from "../chaos/isolation/Stage.ts"
import { fuzz } from "./Fuzz.ts"

// The short form of `npm run test:fuzz`.

const folder = mkdtempSync(join(tmpdir(), "midnight-fuzz-"))
const ground: { stage?: Stage } = {}
const seed = Number(process.env["FUZZ_SEED"] ?? randomInt(1_000_000_000))

beforeAll(async () => {
  const stage = await openStage(folder)
  ground.stage = stage
  // Others may share the machine: a 503 to who waits half a second for a connection is right, and not what is looked for here.
  await stage.useApi({ args: ["src/main/Api.ts"], environment: { DATABASE_ACQUIRE_LIMIT: "3 seconds" } })
}, 300_000)

afterAll(async () => {
  await ground.stage?.close()
  rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
})

describe("a client that sends anything", () => {
  it("gets no 5xx, and only answers that the document describes", async () => {
    const stage = ground.stage ?? assert.fail("the stage is not set")
    const { counted, findings, reached } = await fuzz(stage, { seed, requests: 500 })
    assert.deepStrictEqual(findings, [], `npm run test:fuzz -- --requests 500 --seed ${seed}`)
    assert.isAtLeast(counted, 500)
    // Who is refused everywhere finds nothing.
    assert.isAtLeast(reached, 15)
  }, 300_000)
})
