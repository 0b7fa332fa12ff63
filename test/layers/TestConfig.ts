import { ConfigProvider, Effect, Layer } from "effect"
import { PgTest } from "./PgTest.ts"

/** What a server of this test file reads from its environment: its own database, and what the test adds. */
export const testConfig = (more: Readonly<Record<string, string>> = {}) =>
  Layer.unwrap(
    Effect.map(PgTest, (pg) =>
      ConfigProvider.layer(ConfigProvider.fromUnknown({
        ...pg.environment,
        ENCRYPTION_SECRET: "a secret for what is sealed in a test",
        ...more
      })))
  )
