import { PgConnection } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { hashSync } from "@node-rs/argon2"
import { Effect, Option, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { createHash } from "node:crypto"
import { Email } from "../../src/domain/Identity.ts"
import { UserId } from "../../src/domain/Ids.ts"
import { AccessTokens } from "../../src/services/AccessTokens.ts"
import { Identity } from "../../src/services/Identity.ts"
import { Sessions } from "../../src/services/IdentitySessions.ts"
import { newId } from "../../src/services/NewId.ts"
import { Users } from "../../src/services/Users.ts"
import { IdentityGround } from "../layers/IdentityGround.ts"
import { PgTest } from "../layers/PgTest.ts"

// The clock is the test's, not the pool's, whose own rounds would otherwise run for every year since 1970.
const clocked = Effect.provide(TestClock.layer())

const right = Redacted.make("a long enough passphrase")
const wrong = Redacted.make("another long passphrase")
const start = 1_800_000_000_000

const as = Effect.fnUntraced(function*(role: string, statement: string, parameters: ReadonlyArray<string> = []) {
  const pg = yield* PgTest
  const connection = yield* PgConnection.make({ url: role === "owner" ? pg.ownerUrl : pg.urlFor(role) })
  return (yield* connection.query(statement, [...parameters])).rows
}, Effect.scoped)

const member = Effect.fnUntraced(function*(name: string) {
  yield* TestClock.setTime(start)
  const identity = yield* Identity
  const email = Email.make(`${name}@example.org`)
  const { tokens, user } = yield* identity.register({ email, password: right, displayName: Option.none() })
  return { email, user, tokens, first: tokens.refreshToken }
})

const login = Effect.fnUntraced(function*(email: string, password: typeof right, address = "192.0.2.1") {
  const identity = yield* Identity
  return yield* identity.login({ email: Email.make(email), password, address })
})
const refusal = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.flip(effect)
const refresh = (token: typeof right) => Effect.flatMap(Sessions, (sessions) => sessions.refresh(token))
const refreshTag = (token: typeof right) => Effect.map(refusal(refresh(token)), ({ _tag }) => _tag)

layer(IdentityGround, { timeout: "60 seconds", excludeTestServices: true })("identity", (it) => {
  it.effect("refuses an address that is taken, however it was written", () =>
    Effect.gen(function*() {
      const { email } = yield* member("taken")
      const identity = yield* Identity
      const again = identity.register({ email, password: right, displayName: Option.none() })
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

  it.effect("names the account and its session in the access token", () =>
    Effect.gen(function*() {
      const { tokens, user } = yield* member("claims")
      const verified = yield* Effect.flatMap(AccessTokens, (access) => access.verify(tokens.accessToken))
      assert.strictEqual(verified.userId, user.id)
      assert.deepStrictEqual(verified.roles, ["member"])
    }).pipe(clocked))
})

layer(IdentityGround, { timeout: "60 seconds", excludeTestServices: true })("refresh tokens", (it) => {
  it.effect("follow one another; the same one again within ten seconds has the same successor", () =>
    Effect.gen(function*() {
      const { first } = yield* member("rotation")
      const second = yield* refresh(first)
      assert.notStrictEqual(Redacted.value(second.refreshToken), Redacted.value(first))
      yield* TestClock.adjust("10 seconds")
      const again = yield* refresh(first)
      assert.strictEqual(Redacted.value(again.refreshToken), Redacted.value(second.refreshToken))
      yield* refresh(second.refreshToken)
    }).pipe(clocked))

  it.effect("end their whole family when a spent one comes back later", () =>
    Effect.gen(function*() {
      const { first, user } = yield* member("reuse")
      const second = yield* refresh(first)
      yield* TestClock.adjust("10001 millis")
      assert.strictEqual(yield* refreshTag(first), "InvalidRefreshToken")
      assert.strictEqual(yield* refreshTag(second.refreshToken), "InvalidRefreshToken")
      const ended = yield* as("owner", "SELECT revoked_because FROM identity.sessions WHERE user_id = $1", [user.id])
      assert.deepStrictEqual(ended, [{ revoked_because: "reuse" }])
    }).pipe(clocked))

  it.effect("leave one live successor when one of them is used twenty times at once", () =>
    Effect.gen(function*() {
      const { first, user } = yield* member("crowd")
      let token = first
      // Several rounds: in the first the pool is still opening its connections, and the uses come one by one.
      for (let round = 0; round < 5; round++) {
        const spent = token
        const all = yield* Effect.forEach(Array.from({ length: 20 }), () => refresh(spent), { concurrency: 20 })
        assert.strictEqual(new Set(all.map(({ refreshToken }) => Redacted.value(refreshToken))).size, 1)
        token = all[0]?.refreshToken ?? spent
      }
      const live = yield* as(
        "owner",
        `SELECT count(*)::int AS live FROM identity.refresh_tokens t JOIN identity.sessions s ON s.id = t.session_id
          WHERE s.user_id = $1 AND t.used_at IS NULL`,
        [user.id]
      )
      assert.deepStrictEqual(live, [{ live: 1 }])
    }).pipe(clocked))

  it.effect("die after seven days without use, and after thirty days of it", () =>
    Effect.gen(function*() {
      const idle = yield* member("idle")
      yield* TestClock.adjust("7 days")
      assert.strictEqual(yield* refreshTag(idle.first), "InvalidRefreshToken")

      let token = (yield* member("absolute")).first
      for (let week = 0; week < 4; week++) {
        yield* TestClock.adjust("6 days")
        token = (yield* refresh(token)).refreshToken
      }
      yield* TestClock.adjust("143 hours")
      token = (yield* refresh(token)).refreshToken
      yield* TestClock.adjust("1 hours")
      assert.strictEqual(yield* refreshTag(token), "InvalidRefreshToken")
    }).pipe(clocked))

  it.effect("end with a logout, and for a disabled account", () =>
    Effect.gen(function*() {
      const left = yield* member("logout")
      const { sessionId } = yield* Effect.flatMap(AccessTokens, (tokens) => tokens.verify(left.tokens.accessToken))
      yield* Effect.flatMap(Sessions, (sessions) => sessions.end(sessionId))
      assert.strictEqual(yield* refreshTag(left.first), "InvalidRefreshToken")

      const disabled = yield* member("disabled")
      yield* as("owner", "UPDATE identity.users SET disabled_at = now() WHERE id = $1", [disabled.user.id])
      assert.strictEqual(yield* refreshTag(disabled.first), "InvalidRefreshToken")
      const users = yield* Users
      assert.isFalse(yield* users.exists(disabled.user.id))
      assert.isTrue(Option.isNone(yield* users.emailOf(disabled.user.id)))
    }).pipe(clocked))

  it.effect("carry the roles that the account has now", () =>
    Effect.gen(function*() {
      const { first, user } = yield* member("promoted")
      const identity = yield* Identity
      yield* identity.grantRoles(user.id, ["member", "sponsor"])
      const next = yield* refresh(first)
      const { roles } = yield* Effect.flatMap(AccessTokens, (tokens) => tokens.verify(next.accessToken))
      assert.deepStrictEqual(roles, ["member", "sponsor"])
      assert.strictEqual((yield* refusal(identity.grantRoles(yield* newId(UserId), ["admin"])))._tag, "NotFound")
    }).pipe(clocked))
})
