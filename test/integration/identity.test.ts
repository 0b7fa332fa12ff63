import { assert, layer } from "@effect/vitest"
import { hashSync } from "@node-rs/argon2"
import { Effect, Layer, Option, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { createHash } from "node:crypto"
import { Unavailable } from "../../src/domain/Problem.ts"
import { AccessTokens } from "../../src/services/AccessTokens.ts"
import { Identity } from "../../src/services/Identity.ts"
import { Passwords } from "../../src/services/Passwords.ts"
import { Users } from "../../src/services/Users.ts"
import { IdentityGround } from "../layers/IdentityGround.ts"
import { as, clocked, device, login, member, refusal, right, start, wrong } from "../layers/Members.ts"

layer(IdentityGround, { timeout: "60 seconds", excludeTestServices: true })("identity", (it) => {
  it.effect("refuses an address that is taken, however it was written", () =>
    Effect.gen(function*() {
      const { email } = yield* member("taken")
      const identity = yield* Identity
      const again = identity.register({ email, password: right, displayName: Option.none() }, device())
      assert.strictEqual((yield* refusal(again))._tag, "EmailTaken")
      const users = yield* Users
      assert.isTrue(Option.isSome(yield* users.findByEmail("  TAKEN@Example.ORG ")))
      assert.isTrue(Option.isNone(yield* users.findByEmail("not an address")))
    }).pipe(clocked))

  it.effect("stores tokens and passwords only as hashes", () =>
    Effect.gen(function*() {
      const { first, user } = yield* member("hashes")
      const hash = createHash("sha256").update(Redacted.value(first)).digest("hex")
      const rows = yield* as(
        "owner",
        `SELECT encode(t.hash, 'hex') AS hash, left(u.password_hash, 31) AS password FROM identity.refresh_tokens t
           JOIN identity.sessions s ON s.id = t.session_id JOIN identity.users u ON u.id = s.user_id
          WHERE s.user_id = $1`,
        [user.id]
      )
      assert.deepStrictEqual(rows, [{ hash, password: "$argon2id$v=19$m=19456,t=2,p=1$" }])
    }).pipe(clocked))

  it.effect("answers an unknown address, a wrong password and a disabled account alike", () =>
    Effect.gen(function*() {
      const { email, user } = yield* member("alike")
      const known = yield* refusal(login(email, wrong))
      const unknown = yield* refusal(login("nobody@example.org", wrong))
      yield* as("owner", "UPDATE identity.users SET disabled_at = now() WHERE id = $1", [user.id])
      const disabled = yield* refusal(login(email, right))
      assert.strictEqual(known._tag, "InvalidCredentials")
      assert.deepStrictEqual(JSON.stringify(unknown), JSON.stringify(known))
      assert.deepStrictEqual(JSON.stringify(disabled), JSON.stringify(known))
    }).pipe(clocked))

  it.effect("answers the sixth attempt with 429 for 15 minutes, even with the right password, known or not", () =>
    Effect.gen(function*() {
      const { email } = yield* member("locked")
      for (const address of [email, "ghost@example.org"]) {
        for (let n = 0; n < 5; n++) {
          assert.strictEqual((yield* refusal(login(address, wrong)))._tag, "InvalidCredentials")
        }
        const sixth = yield* refusal(login(address, right))
        assert.strictEqual(sixth._tag, "TooManyRequests")
        assert.strictEqual(sixth._tag === "TooManyRequests" ? sixth.retry_after : 0, 900)
      }
      yield* TestClock.adjust("14 minutes")
      assert.strictEqual((yield* refusal(login(email, right)))._tag, "TooManyRequests")
      yield* TestClock.adjust("1 minutes")
      assert.strictEqual((yield* login(email, right)).user.email, email)
    }).pipe(clocked))

  it.effect("counts guesses that come at once", () =>
    Effect.gen(function*() {
      const { email } = yield* member("parallel")
      const tags = yield* Effect.forEach(
        Array.from({ length: 20 }),
        () => Effect.map(refusal(login(email, wrong)), ({ _tag }) => _tag),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(tags.filter((tag) => tag === "InvalidCredentials").length, 5)
      assert.strictEqual(tags.filter((tag) => tag === "TooManyRequests").length, 15)
    }).pipe(clocked))

  it.effect("does not count logins that succeed", () =>
    Effect.gen(function*() {
      const { email } = yield* member("good")
      for (let n = 0; n < 4; n++) yield* refusal(login(email, wrong))
      for (let n = 0; n < 4; n++) yield* login(email, right)
      assert.strictEqual((yield* refusal(login(email, wrong)))._tag, "InvalidCredentials")
      assert.strictEqual((yield* refusal(login(email, right)))._tag, "TooManyRequests")
    }).pipe(clocked))

  it.effect("stops an address after fifty failures, whatever accounts it tried", () =>
    Effect.gen(function*() {
      const { email } = yield* member("neighbour")
      yield* as(
        "identity",
        `INSERT INTO identity.login_failures (account, address, failed_at)
         SELECT sha256(n::text::bytea), '198.51.100.9', to_timestamp($1::float8 / 1000) FROM generate_series(1, 49) n`,
        [String(start)]
      )
      assert.strictEqual((yield* login(email, right, "198.51.100.9")).user.email, email)
      yield* refusal(login(email, wrong, "198.51.100.9"))
      assert.strictEqual((yield* refusal(login(email, right, "198.51.100.9")))._tag, "TooManyRequests")
      assert.strictEqual((yield* login(email, right, "198.51.100.10")).user.email, email)
    }).pipe(clocked))

  it.effect("renews a hash that was made with other parameters when its owner signs in", () =>
    Effect.gen(function*() {
      const { email, user } = yield* member("rehash")
      const weak = hashSync(Redacted.value(right), { memoryCost: 8192, timeCost: 1, parallelism: 1 })
      yield* as("owner", "UPDATE identity.users SET password_hash = $2 WHERE id = $1", [user.id, weak])
      yield* login(email, right)
      const stored = yield* as(
        "owner",
        "SELECT password_hash LIKE '%m=19456,t=2,p=1%' AS new FROM identity.users WHERE id = $1",
        [
          user.id
        ]
      )
      assert.deepStrictEqual(stored, [{ new: true }])
      yield* login(email, right)
    }).pipe(clocked))

  it.effect("signs somebody in whose hash is outdated also when there is no room to make another", () =>
    Effect.gen(function*() {
      const { email, user } = yield* member("crowd")
      const weak = hashSync(Redacted.value(right), { memoryCost: 8192, timeCost: 1, parallelism: 1 })
      yield* as("owner", "UPDATE identity.users SET password_hash = $2 WHERE id = $1", [user.id, weak])
      const full = Layer.effect(
        Passwords,
        Effect.map(Passwords, (real) => ({ ...real, hash: () => Effect.fail(new Unavailable({ retry_after: 1 })) }))
      )
      const crowded = yield* Layer.build(Layer.fresh(Identity.layer).pipe(Layer.provide(full)))
      assert.strictEqual((yield* login(email, right).pipe(Effect.provide(crowded))).user.id, user.id)
      const [row] = yield* as("owner", "SELECT password_hash AS hash FROM identity.users WHERE id = $1", [user.id])
      assert.deepStrictEqual(row, { hash: weak })
    }).pipe(Effect.scoped, clocked))

  it.effect("names the account and its session in the access token", () =>
    Effect.gen(function*() {
      const { tokens, user } = yield* member("claims")
      const verified = yield* Effect.flatMap(AccessTokens, (access) => access.verify(tokens.accessToken))
      assert.strictEqual(verified.userId, user.id)
      assert.deepStrictEqual(verified.roles, ["member"])
    }).pipe(clocked))
})
