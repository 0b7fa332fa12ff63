import { assert, describe, it } from "@effect/vitest"
import { nameOf } from "../../src/layers/telemetry/SqlSpans.ts"

describe("names of SQL spans", () => {
  const cases = [
    ["SELECT id FROM rewards.campaigns c WHERE c.id = $1", "SELECT rewards.campaigns"],
    ["\n  INSERT INTO \"idempotency\".\"payments\" AS k (user_id) VALUES ($1)", "INSERT idempotency.payments"],
    ["UPDATE rewards.slots SET status = $1", "UPDATE rewards.slots"],
    ["SELECT wallet.post($1::text::jsonb)::text AS answer", "SELECT wallet.post"],
    [
      "WITH cte AS (UPDATE \"payment_commands\" SET attempts = 1 RETURNING id) SELECT id FROM cte",
      "UPDATE payment_commands"
    ],
    ["DELETE FROM identity.sessions WHERE id = $1", "DELETE identity.sessions"],
    ["BEGIN", "BEGIN"]
  ] as const
  for (const [query, name] of cases) {
    it(`calls it ${name}`, () => {
      const { operation, target } = nameOf(query)
      assert.strictEqual(`${operation} ${target}`.trim(), name)
    })
  }
})
