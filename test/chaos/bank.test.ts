import { assert, describe, layer } from "@effect/vitest"
import { Console, Context, Effect, Layer } from "effect"
import { randomInt } from "node:crypto"
import { temporaryFolder } from "../layers/Held.ts"
import { bank, type BankOptions, type BankReport } from "./bank/Bank.ts"
import { mutants } from "./bank/Mutants.ts"
import { type CrashingPostgres, crashingPostgres } from "./bank/Postgres.ts"

// The short form of `npm run test:chaos`: the same bank, kills and judge, for as long as a test may take.

class Ground extends Context.Service<Ground, { readonly postgres: CrashingPostgres; readonly folder: string }>()(
  "midnight/test/BankGround"
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

const run = Effect.fnUntraced(function*(options: Partial<BankOptions>) {
  const { folder, postgres } = yield* Ground
  return yield* bank(postgres, folder, {
    seed,
    seconds: 6,
    clients: 16,
    accounts: 12,
    servers: 1,
    kills: [],
    calm: 800,
    ...options
  })
})

const say = ({ findings }: BankReport) =>
  findings.map(({ claim, first, times }) => `${claim} (${times} times: ${first.join("; ")})`)

layer(Ground.layer, { timeout: "60 seconds", excludeTestServices: true })("a bank under fire", (it) => {
  it.effect(
    "keeps every acknowledgement and every invariant while server and PostgreSQL are killed",
    () =>
      Effect.gen(function*() {
        // By what happened and not by the clock: two test runs on two cores leave a bank little time between its kills.
        const report = yield* run({ kills: ["server", "postgres"], atLeast: { kills: 2, acknowledged: 50 } })
        const { acknowledged, kills } = report
        yield* Console.log(
          `bank: ${acknowledged} acknowledged, ${kills.server} + ${kills.postgres} kills, seed ${seed}`
        )
        assert.deepStrictEqual(say(report), [], `CHAOS_SEED=${seed}`)
        assert.notStrictEqual(report.psql?.clean, false, report.psql?.output)
        assert.isAtLeast(acknowledged, 50)
        assert.isAtLeast(kills.server + kills.postgres, 2)
      }),
    300_000
  )

  describe("finds", () => {
    for (const mutant of Object.values(mutants)) {
      it.effect(
        mutant.says,
        () =>
          Effect.gen(function*() {
            const kills = mutant.kills === "postgres" ? ["postgres"] as const : []
            const atLeast = { kills: kills.length * 2, acknowledged: 100 }
            // A fault of a moment shows where somebody is in the moment: on a slow machine few are, and it is tried again.
            let found = 0
            for (let tries = 0; tries < 4 && found === 0; tries++) {
              const more = { seed: seed + tries, atLeast }
              const report = yield* run({ mutant, kills, servers: mutant.servers, untilBroken: true, ...more })
              found = report.findings.length
            }
            assert.isAbove(found, 0, `not caught, CHAOS_SEED=${seed}`)
          }),
        480_000
      )
    }
  })
})
