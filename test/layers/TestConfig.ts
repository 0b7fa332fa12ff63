import { ConfigProvider, Effect, Layer } from "effect"
import { PgTest } from "./PgTest.ts"

// Test files share the machine, and one that waits half a second for its turn is not what they are about; `pools.test.ts` is.
const patient = { DATABASE_ACQUIRE_LIMIT: "3 seconds" }
// By default it depends on the machine.
const verifiers = { VIDEO_CONCURRENCY: "2" }

/** What a server of this test file reads from its environment: its own database, and what the test adds. */
export const testConfig = (more: Readonly<Record<string, string>> = {}) =>
  Layer.unwrap(
    Effect.map(PgTest, (pg) =>
      ConfigProvider.layer(ConfigProvider.fromUnknown({
        ...patient,
        ...verifiers,
        ...pg.environment,
        ENCRYPTION_SECRET: "a secret for what is sealed in a test",
        ...more
      })))
  )
