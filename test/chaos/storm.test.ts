import { assert, layer } from "@effect/vitest"
import { Console, Context, Effect, Layer } from "effect"
import { randomInt } from "node:crypto"
import { fakes } from "../layers/Gateways.ts"
import { temporaryFolder } from "../layers/Held.ts"
import { type CrashingPostgres, crashingPostgres } from "./bank/Postgres.ts"
import { storm } from "./storm/Storm.ts"

// The short form of `npm run test:storm`.

class Ground extends Context.Service<Ground, { readonly postgres: CrashingPostgres; readonly folder: string }>()(
  "midnight/test/StormGround"
) {
  static readonly layer = Layer.effect(
    Ground,
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      return { folder, postgres: yield* crashingPostgres(folder) }
    })
  )
}

const seed = Number(process.env["CHAOS_SEED"] ?? randomInt(1_000_000_000))

layer(Layer.merge(Ground.layer, fakes), { timeout: "60 seconds", excludeTestServices: true })("a storm", (it) => {
  it.effect(
    "ends with every payment where its provider has it, booked once, and nothing stuck",
    () =>
      Effect.gen(function*() {
        const { folder, postgres } = yield* Ground
        const { counts, findings } = yield* storm(postgres, folder, { seed, wishes: 120, people: 8, kills: 2 })
        yield* Console.log(`storm: ${JSON.stringify(counts)}, seed ${seed}`)
        assert.deepStrictEqual(findings, [], `CHAOS_SEED=${seed}`)
        assert.isAbove(Math.min(...Object.values(counts)), 0)
      }),
    300_000
  )
})
