import { assert } from "@effect/vitest"
import { Effect, Option, Redacted, Schema } from "effect"
import { randomUUID } from "node:crypto"
import { Email, NewPassword } from "../../src/domain/Identity.ts"
import { ApiTest, as, fromAfar, register } from "../layers/ApiTest.ts"
import { Cast, type Contracts } from "./RouteContract.ts"

const user = ["id", "email", "displayName", "roles", "emailVerified", "createdAt"]
const tokens = ["accessToken", "refreshToken", "tokenType", "expiresIn"]
const password = "a long enough passphrase"
const redacted = Schema.decodeSync(NewPassword)(password)

export const identityContracts: Contracts = {
  "POST /api/auth/register": {
    status: 201,
    signedIn: false,
    keyed: false,
    shape: { "": ["user", "tokens"], user, tokens },
    attempt: Effect.sync(() => ({
      path: "/api/auth/register",
      body: { email: `${randomUUID()}@example.com`, password, displayName: "Ada" },
      headers: fromAfar()
    })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const email = Email.make(`${randomUUID()}@example.com`)
      const { tokens, user } = yield* client.identity.register({ payload: { email, password: redacted } })
      assert.deepStrictEqual([user.email, user.roles, user.displayName], [email, ["member"], Option.none()])
      assert.strictEqual(tokens.expiresIn, 600)
    }),
    wrong: [
      [{ email: "no address" }, "/body/email"],
      [{ password: "too short" }, "/body/password"],
      [{ password: 5 }, "/body/password"],
      [{ displayName: "" }, "/body/displayName"],
      [{ role: "admin" }, "/body/role"],
      [{ roles: ["admin"] }, "/body/roles"],
      [{ balance: 5 }, "/body/balance"]
    ]
  },
  "POST /api/auth/login": {
    status: 200,
    signedIn: false,
    keyed: false,
    shape: { "": ["user", "tokens"], user, tokens },
    attempt: Effect.map(
      Cast,
      ({ alice: { email, password } }) => ({ path: "/api/auth/login", body: { email, password } })
    ),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { alice } = yield* Cast
      const payload = { email: Email.make(alice.email), password: redacted }
      const { user } = yield* client.identity.login({ payload })
      assert.strictEqual(user.id, alice.id)
      const wrong = yield* Effect.flip(
        client.identity.login({ payload: { ...payload, password: Redacted.make("another passphrase") } })
      )
      assert.strictEqual(wrong._tag, "InvalidCredentials")
    }),
    wrong: [[{ email: 1 }, "/body/email"], [{ password: null }, "/body/password"]]
  },
  "POST /api/auth/refresh": {
    status: 200,
    signedIn: false,
    keyed: false,
    shape: { "": ["tokens"], tokens },
    attempt: Effect.map(register(), ({ refreshToken }) => ({ path: "/api/auth/refresh", body: { refreshToken } })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { refreshToken } = yield* register()
      const { tokens } = yield* client.identity.refresh({ payload: { refreshToken: Redacted.make(refreshToken) } })
      assert.notStrictEqual(Redacted.value(tokens.refreshToken), refreshToken)
      const unknown = { payload: { refreshToken: Redacted.make("nobody's") } }
      assert.strictEqual((yield* Effect.flip(client.identity.refresh(unknown)))._tag, "InvalidRefreshToken")
    }),
    wrong: [[{ refreshToken: 1 }, "/body/refreshToken"], [{ refreshToken: "x".repeat(129) }, "/body/refreshToken"]]
  },
  "POST /api/auth/logout": {
    status: 204,
    signedIn: true,
    keyed: false,
    shape: {},
    attempt: Effect.map(register(), ({ token }) => ({ path: "/api/auth/logout", token })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const member = yield* register()
      yield* client.account.logout().pipe(as(member))
      const spent = { payload: { refreshToken: Redacted.make(member.refreshToken) } }
      assert.strictEqual((yield* Effect.flip(client.identity.refresh(spent)))._tag, "InvalidRefreshToken")
    })
  },
  "GET /api/auth/me": {
    status: 200,
    signedIn: true,
    keyed: false,
    shape: { "": user },
    attempt: Effect.map(Cast, ({ alice: { token } }) => ({ path: "/api/auth/me", token })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { alice, sponsor } = yield* Cast
      assert.strictEqual((yield* client.account.me().pipe(as(alice))).email, alice.email)
      assert.deepStrictEqual((yield* client.account.me().pipe(as(sponsor))).roles, ["member", "sponsor"])
      assert.strictEqual((yield* Effect.flip(client.account.me()))._tag, "Unauthorized")
    })
  },
  "PATCH /api/auth/me": {
    status: 200,
    signedIn: true,
    keyed: false,
    shape: { "": user },
    attempt: Effect.map(Cast, ({ bob: { token } }) => ({ path: "/api/auth/me", token, body: { displayName: "Bob" } })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { alice } = yield* Cast
      const named = yield* client.account.updateMe({ payload: { displayName: Option.some("Alice") } }).pipe(as(alice))
      assert.deepStrictEqual(named.displayName, Option.some("Alice"))
      const unnamed = yield* client.account.updateMe({ payload: { displayName: Option.none() } }).pipe(as(alice))
      assert.deepStrictEqual(unnamed.displayName, Option.none())
    }),
    wrong: [
      [{ displayName: "a\nb" }, "/body/displayName"],
      [{ roles: ["admin"] }, "/body/roles"],
      [{ email: "other@example.com" }, "/body/email"]
    ]
  },
  "GET /.well-known/jwks.json": {
    status: 200,
    signedIn: false,
    keyed: false,
    shape: { "": ["keys"], "keys.0": ["kty", "crv", "x", "kid", "use", "alg"] },
    attempt: Effect.succeed({ path: "/.well-known/jwks.json" }),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { keys } = yield* client.identity.jwks()
      assert.deepStrictEqual(keys.map(({ alg, crv }) => [alg, crv]), [["EdDSA", "Ed25519"]])
    })
  }
}
