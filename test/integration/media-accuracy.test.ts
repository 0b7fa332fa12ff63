import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { find } from "../../bench/video/find.ts"
import { someLimits } from "../../bench/video/limits.ts"
import { ordinaryEngine } from "../layers/ordinaryEngine.ts"

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "midnight-accuracy-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true, maxRetries: 10 }))
)

// The whole of it is `npm run accuracy`. Not at idle priority: beside other tests such a child hardly runs at all.
layer(ordinaryEngine, { timeout: "60 seconds", excludeTestServices: true })(
  "the limits of the checks",
  (it) => {
    for (const limit of someLimits) {
      it.effect(
        `find ${limit.check} ${limit.name} between clips that are a frame or 2 % apart`,
        () =>
          Effect.gen(function*() {
            const found = yield* find(limit, join(yield* folder, "side"))
            assert.deepStrictEqual(
              found.map(({ outcome }) => outcome),
              limit.sides.map(({ expected }) => expected)
            )
            for (const { measured, truth } of found) {
              if (measured !== null) assert.closeTo(measured, truth, Math.max(0.02 * limit.at, 0.05))
            }
          }),
        180_000
      )
    }
  }
)
