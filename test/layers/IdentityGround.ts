import { Layer } from "effect"
import { generateKeyPairSync } from "node:crypto"
import { IdentityServices } from "../../src/layers/IdentityLive.ts"
import { PgTest } from "./PgTest.ts"
import { testConfig } from "./TestConfig.ts"

const pem = String(generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" }))

/** What identity and the perimeter read from the environment, in a test. Loopback may say whom it speaks for. */
export const identityEnvironment = {
  JWT_PRIVATE_KEY: pem,
  REFRESH_TOKEN_SECRET: "a secret for the refresh tokens of a test",
  ENCRYPTION_SECRET: "a secret for what is sealed in a test",
  TRUSTED_PROXIES: "loopback"
}

/** The identity bulkhead over the database of a test file; no sweep, which a test clock would run for every ten minutes. */
export const IdentityGround = IdentityServices.pipe(
  Layer.provide(testConfig(identityEnvironment)),
  Layer.provideMerge(PgTest.layer)
)
