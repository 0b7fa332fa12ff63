import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Option, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { createHmac, createSign, generateKeyPairSync, type KeyObject, sign } from "node:crypto"
import { SessionId, UserId } from "../../src/domain/Ids.ts"
import type { Principal } from "../../src/domain/Principal.ts"
import { AccessTokens } from "../../src/services/AccessTokens.ts"
import { accountStands, Revocations, sessionEnded } from "../../src/services/IdentityRevocations.ts"
import { IdentityRevocationStore } from "../../src/services/IdentityRevocationStore.ts"

const ours = generateKeyPairSync("ed25519")
const previous = generateKeyPairSync("ed25519")
const attacker = generateKeyPairSync("ed25519")
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 })

const userId = UserId.make("019c0000-0000-7000-8000-000000000001")
const sessionId = SessionId.make("019c0000-0000-7000-8000-000000000002")
const principal: Principal = { userId, sessionId, roles: ["member", "sponsor"] }

const now = 1_800_000_000
const claims = {
  sub: userId,
  sid: sessionId,
  roles: ["member"],
  iss: "midnight",
  aud: "midnight",
  jti: "one",
  iat: now,
  nbf: now,
  exp: now + 600
}

const encode = (part: unknown) => Buffer.from(JSON.stringify(part)).toString("base64url")
/** Tokens are put together by hand here, so that nothing which verifies them has made them. */
const token = (header: object, payload: object, signature: (input: string) => string) => {
  const input = `${encode(header)}.${encode(payload)}`
  return `${input}.${signature(input)}`
}
const ed25519 = (key: KeyObject) => (input: string) => sign(null, Buffer.from(input), key).toString("base64url")

const kidOf = Effect.map(AccessTokens, ({ publicKeys }) => publicKeys[0]?.kid ?? "")
const verify = (text: string) => Effect.flatMap(AccessTokens, (tokens) => tokens.verify(Redacted.make(text)))
const isRefused = Effect.fnUntraced(function*(what: string, text: string) {
  const answer = yield* Effect.flip(verify(text)).pipe(Effect.orElseSucceed(() => undefined))
  assert.strictEqual(answer?._tag, "Unauthorized", what)
})

const Tokens = AccessTokens.layer({
  signingKey: ours.privateKey,
  publicKeys: [ours.publicKey, previous.publicKey],
  issuer: "midnight",
  audience: "midnight"
}).pipe(
  Layer.provideMerge(Revocations.layer),
  // What other processes revoke is integration/revocations' subject; here nobody else is.
  Layer.provide(
    Layer.succeed(IdentityRevocationStore)({ since: () => Effect.succeed({ rows: [], position: Option.none() }) })
  )
)

layer(Tokens)("access tokens", (it) => {
  it.effect("are accepted as signed, with whom they name", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(now * 1000)
      const tokens = yield* AccessTokens
      const signed = yield* tokens.sign(principal)
      assert.deepStrictEqual(yield* tokens.verify(signed), principal)
      const [header = "", payload = ""] = Redacted.value(signed).split(".")
      const read = (part: string) => JSON.parse(Buffer.from(part, "base64url").toString())
      assert.deepStrictEqual(read(header), { alg: "EdDSA", typ: "at+jwt", kid: yield* kidOf })
      assert.deepInclude(read(payload), { sub: userId, sid: sessionId, iss: "midnight", aud: "midnight" })
      assert.strictEqual(read(payload).exp - read(payload).iat, 600)
      assert.isString(read(payload).jti)
    }))

  it.effect("are accepted when made by hand, and when a previous key signed them", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(now * 1000)
      const header = { alg: "EdDSA", typ: "at+jwt", kid: yield* kidOf }
      assert.strictEqual((yield* verify(token(header, claims, ed25519(ours.privateKey)))).userId, userId)
      const { publicKeys } = yield* AccessTokens
      const old = { ...header, kid: publicKeys[1]?.kid }
      assert.strictEqual((yield* verify(token(old, claims, ed25519(previous.privateKey)))).userId, userId)
    }))

  it.effect("are refused unsigned, or with any other algorithm or key", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(now * 1000)
      const kid = yield* kidOf
      const header = { alg: "EdDSA", typ: "at+jwt", kid }
      const pem = String(ours.publicKey.export({ type: "spki", format: "pem" }))
      const hmac = (input: string) => createHmac("sha256", pem).update(input).digest("base64url")
      const rs256 = (input: string) => createSign("RSA-SHA256").update(input).sign(rsa.privateKey).toString("base64url")
      const evil = ed25519(attacker.privateKey)
      yield* isRefused("none", token({ ...header, alg: "none" }, claims, () => ""))
      yield* isRefused("None", token({ ...header, alg: "None" }, claims, () => ""))
      yield* isRefused("no signature", token(header, claims, () => ""))
      yield* isRefused("HS256 keyed by the public key", token({ ...header, alg: "HS256" }, claims, hmac))
      yield* isRefused("RS256", token({ ...header, alg: "RS256" }, claims, rs256))
      yield* isRefused("another key under our kid", token(header, claims, evil))
      yield* isRefused("unknown kid", token({ ...header, kid: "other" }, claims, ed25519(ours.privateKey)))
      yield* isRefused("no kid", token({ alg: "EdDSA", typ: "at+jwt" }, claims, ed25519(ours.privateKey)))
      const jwk = attacker.publicKey.export({ format: "jwk" })
      yield* isRefused("a key in the header", token({ ...header, jwk }, claims, evil))
      yield* isRefused("a key at a URL", token({ ...header, jku: "https://evil.example/jwks.json" }, claims, evil))
      yield* isRefused("a certificate at a URL", token({ ...header, x5u: "https://evil.example/x" }, claims, evil))
      yield* isRefused("kid as a path", token({ ...header, kid: "../../../../dev/null" }, claims, evil))
      yield* isRefused("kid of a prototype", token({ ...header, kid: "__proto__" }, claims, evil))
    }))

  it.effect("are refused for another audience, issuer, type or time, or without a claim", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(now * 1000)
      const header = { alg: "EdDSA", typ: "at+jwt", kid: yield* kidOf }
      const by = ed25519(ours.privateKey)
      const wrong: ReadonlyArray<readonly [string, object]> = [
        ["audience", { aud: "another" }],
        ["issuer", { iss: "another" }],
        ["expired", { exp: now - 31 }],
        ["not yet valid", { nbf: now + 31 }],
        ["issued in the future", { iat: now + 31 }],
        ["older than ten minutes, though it says that it lives for a year", { iat: now - 631, exp: now + 31_536_000 }],
        ["subject is not an id", { sub: "admin" }],
        ["unknown role", { roles: ["root"] }],
        ["exp is a string", { exp: String(now + 600) }],
        ...["sub", "sid", "roles", "jti", "iat", "nbf", "exp", "aud", "iss"].map((name) =>
          [`no ${name}`, { [name]: undefined }] as const
        )
      ]
      for (const [what, change] of wrong) yield* isRefused(what, token(header, { ...claims, ...change }, by))
      yield* isRefused("type of an id token", token({ ...header, typ: "JWT" }, claims, by))
      yield* isRefused("no type", token({ alg: "EdDSA", kid: header.kid }, claims, by))
      yield* isRefused("an extension we do not know", token({ ...header, crit: ["exp2"], exp2: 1 }, claims, by))
      const genuine = token(header, claims, by)
      const [head = "", , signature = ""] = genuine.split(".")
      yield* isRefused("edited", `${head}.${encode({ ...claims, roles: ["admin"] })}.${signature}`)
      for (const text of ["", ".", "..", "a.b.c", genuine.slice(0, -2), `${genuine}.x`]) yield* isRefused(text, text)
    }))

  it.effect("are refused once expired, although they were verified before", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(now * 1000)
      const tokens = yield* AccessTokens
      const signed = yield* tokens.sign(principal)
      yield* tokens.verify(signed)
      yield* TestClock.adjust("629 seconds")
      assert.deepStrictEqual(yield* tokens.verify(signed), principal)
      yield* TestClock.adjust("1 seconds")
      assert.strictEqual((yield* Effect.flip(tokens.verify(signed)))._tag, "Unauthorized")
    }))

  it.effect("have public keys that show no private part", () =>
    Effect.gen(function*() {
      const { publicKeys } = yield* AccessTokens
      assert.strictEqual(publicKeys.length, 2)
      for (const key of publicKeys) assert.sameMembers(Object.keys(key), ["kty", "crv", "x", "kid", "use", "alg"])
      assert.strictEqual(publicKeys[0]?.x, ours.publicKey.export({ format: "jwk" }).x)
    }))

  it.effect("are refused when their session has ended, for as long as they could live", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime((now + 10_000) * 1000)
      const tokens = yield* AccessTokens
      const revocations = yield* Revocations
      const signed = yield* tokens.sign(principal)
      assert.deepStrictEqual(yield* tokens.verify(signed), principal)
      yield* revocations.note([sessionEnded(sessionId)])
      assert.strictEqual((yield* Effect.flip(tokens.verify(signed)))._tag, "Unauthorized")
      yield* TestClock.adjust("629 seconds")
      yield* revocations.catchUp
      assert.strictEqual((yield* Effect.flip(tokens.verify(signed)))._tag, "Unauthorized")
      yield* TestClock.adjust("31 seconds")
      yield* revocations.catchUp
      assert.deepStrictEqual(yield* tokens.verify(yield* tokens.sign(principal)), principal)
    }))

  it.effect("are refused with roles that the account has no more, and whatever they say when it is disabled", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime((now + 20_000) * 1000)
      const tokens = yield* AccessTokens
      const revocations = yield* Revocations
      const signed = yield* tokens.sign(principal)
      yield* revocations.note(accountStands(userId, ["member"], 1n))
      assert.strictEqual((yield* Effect.flip(tokens.verify(signed)))._tag, "Unauthorized")
      const next: Principal = { ...principal, roles: ["member"] }
      const renewed = yield* tokens.sign(next)
      assert.deepStrictEqual(yield* tokens.verify(renewed), next)
      yield* revocations.note(accountStands(userId, null, 2n))
      assert.strictEqual((yield* Effect.flip(tokens.verify(renewed)))._tag, "Unauthorized")
    }))
})
