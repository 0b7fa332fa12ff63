import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { temporaryFolder } from "../layers/Held.ts"
import { outage } from "./outage/Outage.ts"

// The short form of `npm run test:outage`: what is answered, and no times, since others may share the machine.

it.live(
  "answers 503 and nothing else while PostgreSQL is away, does not end, and serves again when it is back",
  () =>
    Effect.gen(function*() {
      const report = yield* outage(yield* temporaryFolder, { seconds: 3, rate: 20, hang: false })
      assert.deepStrictEqual([...report.during.keys()], [503])
      assert.isFalse(report.crashed)
      assert.isTrue((report.after.get(200) ?? 0) > 0 && (report.after.get(422) ?? 0) > 0)
      for (const tally of [report.before, report.across, report.after]) assert.isFalse(tally.has(500) || tally.has(0))
    }),
  300_000
)
