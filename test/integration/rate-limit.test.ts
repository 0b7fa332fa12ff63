import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Logger, Schema } from "effect"
import { HttpServer } from "effect/http"
import { HttpApi, HttpApiBuilder } from "effect/http-api"
import { AccountApi } from "../../src/http/AccountApi.ts"
import { AccountHandlers } from "../../src/http/AccountHandlers.ts"
import { IdentityApi } from "../../src/http/IdentityApi.ts"
import { IdentityHandlers } from "../../src/http/IdentityHandlers.ts"
import { AdmissionLive } from "../../src/http/middleware/AdmissionLive.ts"
import { AuthorizationLive } from "../../src/http/middleware/AuthorizationLive.ts"
import { AddressRateLimitLive, RateLimitLive } from "../../src/http/middleware/RateLimitLive.ts"
import { serveHttp } from "../../src/layers/HttpServer.ts"
import { LimitsLive } from "../../src/layers/LimitsLive.ts"
import { Health } from "../../src/services/Health.ts"
import { Accounts } from "../../src/services/IdentityAccounts.ts"
import { identityEnvironment, IdentityGround } from "../layers/IdentityGround.ts"
import { PgTest } from "../layers/PgTest.ts"
import { testConfig } from "../layers/TestConfig.ts"

const api = HttpApi.make("midnight").add(IdentityApi).add(AccountApi)
  .annotate(HttpApi.PayloadParseOptions, { onExcessProperty: "error", errors: "all" })
const routes = HttpApiBuilder.layer(api).pipe(
  // Export and erasure ask the money side, which is not here, and are not called.
  Layer.provide(Layer.merge(IdentityHandlers, AccountHandlers.pipe(Layer.provide(Layer.mock(Accounts, {}))))),
  Layer.provide([AuthorizationLive, RateLimitLive, AddressRateLimitLive, AdmissionLive()]),
  Layer.provide(LimitsLive)
)
const Server = serveHttp(routes, {
  port: 0,
  host: "127.0.0.1",
  portVariable: "PORT",
  corsOrigins: [],
  grace: 0,
  drain: 0
}).pipe(
  Layer.provide(IdentityGround),
  Layer.provide(Health.layer),
  Layer.provide(testConfig(identityEnvironment)),
  Layer.provide(PgTest.layer),
  Layer.provide(Logger.layer([]))
)

const Json = Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown))
const SignedIn = Schema.Struct({
  user: Schema.Struct({ id: Schema.String, email: Schema.String, displayName: Schema.NullOr(Schema.String) }),
  tokens: Schema.Struct({ accessToken: Schema.String, refreshToken: Schema.String, expiresIn: Schema.Int })
})

interface Sent {
  readonly from: string
  readonly method?: string
  readonly body?: unknown
  readonly token?: string
}

const send = Effect.fnUntraced(function*(path: string, { body, from, method, token }: Sent) {
  const { address } = yield* HttpServer.HttpServer
  const port = "port" in address ? address.port : 0
  return yield* Effect.promise(async () => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      method: method ?? (body === undefined ? "GET" : "POST"),
      headers: {
        "x-forwarded-for": from,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` })
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) })
    })
    const text = await response.text()
    const json = text.startsWith("{") ? Schema.decodeUnknownSync(Json)(text) : {}
    return { status: response.status, headers: response.headers, text, json }
  })
})

const password = "a long enough passphrase"
const register = Effect.fnUntraced(function*(name: string, from: string) {
  const answer = yield* send("/api/auth/register", { from, body: { email: `${name}@example.org`, password } })
  assert.strictEqual(answer.status, 201, answer.text)
  return Schema.decodeUnknownSync(SignedIn)(answer.json)
})

const statuses = (times: number, path: string, sent: Sent) =>
  Effect.map(
    Effect.forEach(Array.from({ length: times }), () => send(path, sent), { concurrency: 8 }),
    (answers) => answers.map(({ status }) => status)
  )
const count = (all: ReadonlyArray<number>, status: number) => all.filter((one) => one === status).length

layer(Server, { timeout: "60 seconds", excludeTestServices: true })("identity over HTTP", (it) => {
  it.effect("registers, shows, renames, refreshes and signs out", () =>
    Effect.gen(function*() {
      const from = "192.0.2.1"
      const { tokens, user } = yield* register("ada", from)
      const token = tokens.accessToken
      const me = yield* send("/api/auth/me", { from, token })
      assert.deepInclude(me.json, { id: user.id, email: "ada@example.org", displayName: null, roles: ["member"] })
      const renamed = yield* send("/api/auth/me", { from, token, method: "PATCH", body: { displayName: "Ada" } })
      assert.deepInclude(renamed.json, { displayName: "Ada", emailVerified: false })
      const cleared = yield* send("/api/auth/me", { from, token, method: "PATCH", body: { displayName: null } })
      assert.deepInclude(cleared.json, { displayName: null })

      const refreshed = yield* send("/api/auth/refresh", { from, body: { refreshToken: tokens.refreshToken } })
      assert.strictEqual(refreshed.status, 200)
      const login = yield* send("/api/auth/login", { from, body: { email: " ADA@example.org", password } })
      assert.strictEqual(login.status, 200)
      assert.strictEqual((yield* send("/api/auth/logout", { from, token, method: "POST" })).status, 204)
      const after = yield* send("/api/auth/refresh", { from, body: { refreshToken: tokens.refreshToken } })
      assert.deepInclude(after.json, { status: 401, code: "InvalidRefreshToken" })
    }))

  it.effect("refuses what is malformed with its place, and never repeats a password", () =>
    Effect.gen(function*() {
      const email = "x@example.org"
      const bad: ReadonlyArray<readonly [object, string]> = [
        [{ email, password: "hunter2hunter2" }, "/body/password"],
        [{ email, password: "x".repeat(129) }, "/body/password"],
        [{ email, password: "CorrectHorseBatteryStaple" }, "/body/password"],
        [{ email: "nobody", password }, "/body/email"],
        [{ email, password, roles: ["admin"] }, "/body/roles"],
        [{ email, password, displayName: "bell\u0007" }, "/body/displayName"],
        [{ email, password, displayName: "nul\u0000" }, "/body"],
        [{ email, password, displayName: "\ud800" }, "/body"]
      ]
      for (const [index, [body, pointer]] of bad.entries()) {
        const answer = yield* send("/api/auth/register", { from: `192.0.2.${10 + index}`, body })
        assert.strictEqual(answer.status, 400)
        assert.include(answer.text, `"pointer":"${pointer}"`)
        assert.notInclude(answer.text, "hunter2")
      }
    }))

  it.effect("answers the sixth failed login with 429 and when to come back", () =>
    Effect.gen(function*() {
      yield* register("locked", "192.0.2.30")
      const began = performance.now()
      const wrong = { email: "locked@example.org", password: "not the right one" }
      for (let n = 0; n < 5; n++) {
        const answer = yield* send("/api/auth/login", { from: "192.0.2.30", body: wrong })
        assert.deepInclude(answer.json, { status: 401, code: "InvalidCredentials" })
      }
      const sixth = yield* send("/api/auth/login", { from: "192.0.2.31", body: { ...wrong, password } })
      assert.strictEqual(sixth.status, 429)
      const passed = (performance.now() - began) / 1_000
      const wait = Number(sixth.headers.get("retry-after"))
      assert.isTrue(wait <= 900 && wait >= 900 - passed - 2, `${wait} s, ${passed} s after the first`)
    }))

  it.effect("shows the public keys, which may be cached", () =>
    Effect.gen(function*() {
      const answer = yield* send("/.well-known/jwks.json", { from: "192.0.2.1" })
      assert.strictEqual(answer.headers.get("cache-control"), "public, max-age=300")
      assert.isNull(answer.headers.get("ratelimit-limit"))
      assert.notInclude(answer.text, "\"d\"")
      assert.include(answer.text, "\"crv\":\"Ed25519\"")
    }))

  it.effect("counts requests without a valid token by address: 100, then 429", () =>
    Effect.gen(function*() {
      const from = "198.51.100.1"
      const all = yield* statuses(105, "/api/auth/me", { from, token: "not.a.token" })
      assert.strictEqual(count(all, 401), 100)
      assert.strictEqual(count(all, 429), 5)
      const refused = yield* send("/api/auth/me", { from })
      assert.deepInclude(refused.json, { status: 429, code: "TooManyRequests" })
      assert.isAbove(Number(refused.headers.get("retry-after")), 0)
      assert.match(refused.headers.get("ratelimit") ?? "", /^"anonymous";r=0;t=\d+$/)
      assert.strictEqual(refused.headers.get("ratelimit-policy"), "\"anonymous\";q=100;w=900")
      assert.strictEqual((yield* send("/api/auth/me", { from: "198.51.100.2" })).status, 401)
      // Whoever is signed in is not stopped by what others do from the same address.
      const { tokens } = yield* register("neighbour", "198.51.100.3")
      assert.strictEqual((yield* send("/api/auth/me", { from, token: tokens.accessToken })).status, 200)
    }))

  it.effect("counts signed-in requests by user: 300 in 10 seconds, from wherever", () =>
    Effect.gen(function*() {
      const { tokens } = yield* register("busy", "198.51.100.10")
      const token = tokens.accessToken
      const first = yield* send("/api/auth/me", { from: "198.51.100.10", token })
      assert.strictEqual(first.headers.get("ratelimit-policy"), "\"user\";q=300;w=10")
      assert.match(first.headers.get("ratelimit") ?? "", /^"user";r=299;t=1$/)
      assert.strictEqual(first.headers.get("ratelimit-limit"), "300")
      assert.strictEqual(first.headers.get("ratelimit-remaining"), "299")
      assert.strictEqual(first.headers.get("ratelimit-reset"), "1")
      const all = yield* Effect.forEach(Array.from({ length: 700 }, (_, n) => n), (n) =>
        Effect.map(send("/api/auth/me", { from: `203.0.113.${n % 200}`, token }), ({ status }) => status), {
        concurrency: 40
      })
      assert.isAbove(count(all, 429), 0)
      assert.isAtLeast(count(all, 200), 299)
      assert.strictEqual(count(all, 200) + count(all, 429), 700)
    }))

  it.effect("takes an IPv6 network of 64 bits for one caller, and the last address that a proxy of ours wrote", () =>
    Effect.gen(function*() {
      const seen = Effect.fnUntraced(function*(from: string) {
        return (yield* send("/api/auth/me", { from })).headers.get("ratelimit-remaining")
      })
      assert.strictEqual(yield* seen("2001:db8:1:2::1"), "99")
      assert.strictEqual(yield* seen("2001:db8:1:2:ffff::2"), "98")
      assert.strictEqual(yield* seen("2001:db8:1:3::1"), "99")
      assert.strictEqual(yield* seen("::ffff:203.0.113.250"), "99")
      assert.strictEqual(yield* seen("203.0.113.250"), "98")
      // What stands left of the first address that is not a proxy's is the client's own invention.
      assert.strictEqual(yield* seen("9.9.9.9, 203.0.113.250"), "97")
      assert.strictEqual(yield* seen("203.0.113.250, 127.0.0.9"), "96")
      assert.strictEqual(yield* seen("203.0.113.250:4711"), "95")
    }))

  it.effect("lets 20 an hour register from one address", () =>
    Effect.gen(function*() {
      const body = { email: "nobody", password }
      const all = yield* statuses(22, "/api/auth/register", { from: "198.51.100.40", body })
      assert.strictEqual(count(all, 429), 2)
    }))
})
