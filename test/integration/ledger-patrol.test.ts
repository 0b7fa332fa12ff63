import { PgConnection } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Metric } from "effect"
import { WalletLive } from "../../src/layers/WalletLive.ts"
import { Health } from "../../src/services/Health.ts"
import { Users } from "../../src/services/Users.ts"
import { PgTest } from "../layers/PgTest.ts"
import { testConfig } from "../layers/TestConfig.ts"

const broken = Metric.gauge("midnight.ledger.broken_invariants", {
  description: "Invariants of the ledger that the last audit found broken; 0 is well"
})

layer(PgTest.layer, { timeout: "60 seconds", excludeTestServices: true })("a server", (it) => {
  it.effect("looks through the ledger by itself after its start, and counts what it finds broken", () =>
    Effect.gen(function*() {
      const owner = yield* PgConnection.make({ url: (yield* PgTest).ownerUrl })
      yield* owner.query(
        `INSERT INTO wallet.accounts (id, kind, owner, currency, balance, floor, created_at)
           VALUES (gen_random_uuid(), 'wallet', 'from-nowhere', 'NGN', 5, 0, now())`
      )
      const server = WalletLive.pipe(
        Layer.provide([Health.layer, Layer.mock(Users, {})]),
        Layer.provide(testConfig({ AUDIT_AFTER: "0 seconds" }))
      )
      yield* Layer.build(server)
      const seen = Effect.andThen(owner.query("SELECT 1"), Metric.value(broken))
      const { value } = yield* Effect.repeat(seen, { until: (gauge) => gauge.value > 0 })
      assert.strictEqual(value, 1)
    }))
})
