import { assert, layer } from "@effect/vitest"
import { Effect, Option, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { UserId } from "../../src/domain/Ids.ts"
import { AccessTokens } from "../../src/services/AccessTokens.ts"
import { Identity } from "../../src/services/Identity.ts"
import { Sessions } from "../../src/services/IdentitySessions.ts"
import { newId } from "../../src/services/NewId.ts"
import { Users } from "../../src/services/Users.ts"
import { IdentityGround } from "../layers/IdentityGround.ts"
import { as, clocked, member, refresh, refreshTag, refusal } from "../layers/Members.ts"

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

  it.effect("end their whole family when one comes back whose successor was used, however soon", () =>
    Effect.gen(function*() {
      const { first, user } = yield* member("grandparent")
      const second = yield* refresh(first)
      const third = yield* refresh(second.refreshToken)
      assert.strictEqual(yield* refreshTag(first), "InvalidRefreshToken")
      assert.strictEqual(yield* refreshTag(third.refreshToken), "InvalidRefreshToken")
      const ended = yield* as("owner", "SELECT revoked_because FROM identity.sessions WHERE user_id = $1", [user.id])
      assert.deepStrictEqual(ended, [{ revoked_because: "reuse" }])
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
      const principal = yield* Effect.flatMap(AccessTokens, (tokens) => tokens.verify(left.tokens.accessToken))
      yield* Effect.flatMap(Sessions, (sessions) => sessions.end(principal))
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
