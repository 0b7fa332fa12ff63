import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer, Redacted } from "effect"
import { generateKeyPairSync, type KeyObject } from "node:crypto"
import { SessionId, UserId } from "../../src/domain/Ids.ts"
import type { Principal } from "../../src/domain/Principal.ts"
import { IdentityServices } from "../../src/layers/IdentityLive.ts"
import { AccessTokens } from "../../src/services/AccessTokens.ts"
import { newId } from "../../src/services/NewId.ts"
import { identityEnvironment } from "../layers/IdentityGround.ts"
import { PgTest } from "../layers/PgTest.ts"
import { testConfig } from "../layers/TestConfig.ts"

const [old, current, next] = [1, 2, 3].map(() => generateKeyPairSync("ed25519"))
const pem = (key: KeyObject | undefined, type: "pkcs8" | "spki") =>
  key === undefined ? "" : key.export({ type, format: "pem" }).toString()

/** A process that signs with one key and takes others. */
const processWith = (signing: string, others: string) =>
  Effect.map(
    Layer.build(
      Layer.fresh(IdentityServices).pipe(Layer.provide(testConfig({
        ...identityEnvironment,
        JWT_PRIVATE_KEY: signing,
        ...(others === "" ? {} : { JWT_PREVIOUS_KEYS: others })
      })))
    ),
    (built) => Context.get(built, AccessTokens)
  )

layer(PgTest.layer, { timeout: "60 seconds", excludeTestServices: true })("the keys of access tokens", (it) => {
  it.effect("are rotated without anybody being signed out: all are shown and taken, the first signs", () =>
    Effect.gen(function*() {
      const principal: Principal = {
        userId: yield* newId(UserId),
        sessionId: yield* newId(SessionId),
        roles: ["member"]
      }
      const before = yield* processWith(pem(old?.privateKey, "pkcs8"), "")
      // An old private key as it was in its variable, and the public half of one that is to sign later.
      const others = [pem(old?.privateKey, "pkcs8"), pem(next?.publicKey, "spki")].join("\n").replaceAll("\n", "\\n")
      const after = yield* processWith(pem(current?.privateKey, "pkcs8"), others)
      const without = yield* processWith(pem(current?.privateKey, "pkcs8"), "")
      const signed = yield* before.sign(principal)
      assert.deepStrictEqual(yield* after.verify(signed), principal)
      assert.strictEqual((yield* Effect.flip(without.verify(signed)))._tag, "Unauthorized")
      assert.lengthOf(after.publicKeys, 3)
      assert.deepStrictEqual(after.publicKeys[1], before.publicKeys[0])
      const header = Redacted.value(yield* after.sign(principal)).split(".")[0] ?? ""
      assert.include(Buffer.from(header, "base64url").toString(), after.publicKeys[0]?.kid ?? "no key")
      assert.notInclude(JSON.stringify(after.publicKeys), "\"d\"")
    }))

  it.effect("are refused at start when one of them is none, by the name of their variable", () =>
    Effect.gen(function*() {
      const wrong = yield* Effect.flip(processWith(pem(current?.privateKey, "pkcs8"), "not a key"))
      assert.include(String(wrong), "JWT_PREVIOUS_KEYS")
      assert.notInclude(String(wrong), "not a key")
    }))
})
