import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { temporaryFolder } from "../layers/Held.ts"
import { overload } from "./overload/Overload.ts"

// The short form of `npm run test:overload`: what is answered, and no rates or times, since others may share the machine.

it.live(
  "answers three times what was served before with 2xx or 503 and nothing else, and serves again after",
  () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const report = yield* Effect.promise(() =>
        overload({ folder, steps: [400, 800], stepSeconds: 1, seconds: 3, say: () => {} })
      )
      assert.deepStrictEqual([...report.strays], [])
      assert.isTrue(report.payments.good > 0 && report.reads.good > 0)
    }),
  300_000
)
