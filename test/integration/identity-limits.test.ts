import { assert, layer } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer, Logger, Schema } from "effect"
import { HttpServer } from "effect/http"
import { HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApiGroup } from "effect/http-api"
import { AccountApi } from "../../src/http/AccountApi.ts"
import { AccountHandlers } from "../../src/http/AccountHandlers.ts"
import { IdentityApi } from "../../src/http/IdentityApi.ts"
import { IdentityHandlers } from "../../src/http/IdentityHandlers.ts"
import { Admission } from "../../src/http/middleware/Admission.ts"
import { AdmissionLive } from "../../src/http/middleware/AdmissionLive.ts"
import { Authorization } from "../../src/http/middleware/Authorization.ts"
import { AuthorizationLive } from "../../src/http/middleware/AuthorizationLive.ts"
import { RateLimit } from "../../src/http/middleware/RateLimit.ts"
import { AddressRateLimitLive, RateLimitLive } from "../../src/http/middleware/RateLimitLive.ts"
import { serveHttp } from "../../src/layers/HttpServer.ts"
import { identityServices } from "../../src/layers/IdentityLive.ts"
import { LimitsLive } from "../../src/layers/LimitsLive.ts"
import { Health } from "../../src/services/Health.ts"
import { Accounts } from "../../src/services/IdentityAccounts.ts"
import { defaultIdentityFigures, IdentitySettings } from "../../src/services/IdentitySettings.ts"
import { eventually } from "../layers/ApiTest.ts"
import { identityEnvironment } from "../layers/IdentityGround.ts"
import { PgTest } from "../layers/PgTest.ts"
import { testConfig } from "../layers/TestConfig.ts"

/** A route that answers when the test says so. */
class HeldApi extends HttpApiGroup.make("held").add(
  HttpApiEndpoint.get("held", "/held", { success: Schema.String })
    .middleware(Admission).middleware(RateLimit).middleware(Authorization)
) {}

class Gate extends Context.Service<Gate, { inside: number; opened: Deferred.Deferred<void> }>()("midnight/test/Gate") {
  static readonly layer = Layer.effect(
    Gate,
    Effect.map(Deferred.make<void>(), (opened) => ({ inside: 0, opened }))
  )
}

const api = HttpApi.make("midnight").add(IdentityApi).add(AccountApi).add(HeldApi)
const held = HttpApiBuilder.group(
  api,
  "held",
  (handlers) =>
    Effect.map(Gate, (gate) =>
      handlers.handle("held", () =>
        Effect.acquireUseRelease(
          Effect.sync(() => void (gate.inside += 1)),
          () => Effect.as(Deferred.await(gate.opened), "held"),
          () => Effect.sync(() => void (gate.inside -= 1))
        )))
)
const routes = HttpApiBuilder.layer(api).pipe(
  // Export and erasure ask the money side, which is not here, and are not called.
  Layer.provide(
    Layer.mergeAll(IdentityHandlers, AccountHandlers.pipe(Layer.provide(Layer.mock(Accounts, {}))), held)
  ),
  Layer.provide([AuthorizationLive, RateLimitLive, AddressRateLimitLive, AdmissionLive()]),
  Layer.provide(LimitsLive)
)
// The environment takes no hash this cheap; how many logins pass does not depend on what each costs.
const cheap = Layer.succeed(IdentitySettings)({
  ...defaultIdentityFigures,
  hashing: { ...defaultIdentityFigures.hashing, memoryCost: 64, timeCost: 1 }
})
const Server = serveHttp(routes, {
  port: 0,
  host: "127.0.0.1",
  portVariable: "PORT",
  corsOrigins: [],
  grace: 0,
  drain: 0
}).pipe(
  Layer.provide(identityServices(cheap)),
  Layer.provide(Health.layer),
  Layer.provideMerge(Gate.layer),
  Layer.provide(testConfig(identityEnvironment)),
  Layer.provide(PgTest.layer),
  Layer.provide(Logger.layer([]))
)

interface Sent {
  readonly from: string
  readonly body?: unknown
  readonly method?: "GET" | "POST"
  readonly token?: string
  readonly signal?: AbortSignal
}

const send = Effect.fnUntraced(function*(path: string, { body, from, method = "POST", signal, token }: Sent) {
  const { address } = yield* HttpServer.HttpServer
  const port = "port" in address ? address.port : 0
  return yield* Effect.promise(async () => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      method,
      headers: {
        "x-forwarded-for": from,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` })
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal })
    })
    return { status: response.status, headers: response.headers, text: await response.text() }
  })
})

const Tokens = Schema.fromJsonString(Schema.Struct({ tokens: Schema.Struct({ accessToken: Schema.String }) }))
const password = "a long enough passphrase"
let people = 0
/** Each from an address of its own, of which few may register. */
const member = Effect.fnUntraced(function*() {
  const name = `member-${++people}`
  const body = { email: `${name}@example.org`, password }
  const answer = yield* send("/api/auth/register", { from: `192.0.2.${people}`, body })
  const { tokens } = yield* Schema.decodeUnknownEffect(Tokens)(answer.text)
  return { ...body, token: tokens.accessToken }
})

const statuses = (times: number, path: string, sent: Sent) =>
  Effect.map(
    Effect.forEach(Array.from({ length: times }), () => send(path, sent), { concurrency: 8 }),
    (answers) => answers.map(({ status }) => status)
  )
const count = (all: ReadonlyArray<number>, status: number) => all.filter((one) => one === status).length

layer(Server, { timeout: "60 seconds", excludeTestServices: true })("limits of identity over HTTP", (it) => {
  it.effect(
    "let 300 good logins from one address pass, as behind a carrier's NAT, and not one more",
    () =>
      Effect.gen(function*() {
        const { email } = yield* member()
        const login = { from: "198.51.100.1", body: { email, password } }
        const all = yield* statuses(300, "/api/auth/login", login)
        assert.strictEqual(count(all, 200), 300, `${[...new Set(all)]}`)
        const more = yield* send("/api/auth/login", login)
        assert.strictEqual(more.status, 429)
        assert.include(more.text, "\"policy\":\"login\"")
        assert.strictEqual((yield* send("/api/auth/login", { ...login, from: "198.51.100.2" })).status, 200)
      }),
    120_000
  )

  it.effect("let 20 passwords an hour be forgotten from one address, whosever they are", () =>
    Effect.gen(function*() {
      const from = "198.51.100.10"
      const { email } = yield* member()
      const known = yield* statuses(10, "/api/auth/password/forgot", { from, body: { email } })
      const unknown = yield* statuses(12, "/api/auth/password/forgot", { from, body: { email: "nobody@example.org" } })
      assert.deepStrictEqual([count(known, 202), count(unknown, 202), count(unknown, 429)], [10, 10, 2])
      const elsewhere = yield* send("/api/auth/password/forgot", { from: "198.51.100.11", body: { email } })
      assert.strictEqual(elsewhere.status, 202)
    }))

  it.effect("let an account ask for its confirmation five times an hour, and an address twenty times", () =>
    Effect.gen(function*() {
      const from = "198.51.100.20"
      const path = "/api/auth/email/resend"
      for (let n = 0; n < 4; n++) {
        const { token } = yield* member()
        const all = yield* statuses(5, path, { from, token })
        assert.strictEqual(count(all, 202), 5, `${[...new Set(all)]}`)
        // From wherever: it is the account's limit.
        const sixth = yield* send(path, { from: `198.51.100.3${n}`, token })
        assert.strictEqual(sixth.status, 429)
        assert.include(sixth.text, "\"policy\":\"resend\"")
      }
      const { token } = yield* member()
      const another = yield* send(path, { from, token })
      assert.strictEqual(another.status, 429)
      assert.include(another.text, "\"policy\":\"forgot\"")
      assert.strictEqual((yield* send(path, { from: "198.51.100.21", token })).status, 202)
    }))

  it.effect(
    "work on 64 requests of one user at once, refuse the 65th, and take others as places come back",
    () =>
      Effect.gen(function*() {
        const gate = yield* Gate
        const [one, other] = [yield* member(), yield* member()]
        const hold = (token: string, signal?: AbortSignal) =>
          Effect.forkChild(
            send("/held", { method: "GET", from: "198.51.100.40", token, ...(signal === undefined ? {} : { signal }) })
          )
        const inside = (wanted: number) => eventually(Effect.sync(() => gate.inside), (present) => present === wanted)

        const leaver = new AbortController()
        const left = yield* hold(one.token, leaver.signal)
        const fibers = yield* Effect.all(Array.from({ length: 63 }, () => hold(one.token)))
        yield* inside(64)
        const refused = yield* send("/held", { method: "GET", from: "198.51.100.41", token: one.token })
        assert.strictEqual(refused.status, 429)
        assert.strictEqual(refused.headers.get("retry-after"), "1")
        assert.include(refused.text, "\"code\":\"TooManyRequests\"")
        assert.include(refused.text, "64 requests of yours are being worked on.")

        // Others have places of their own.
        fibers.push(yield* hold(other.token))
        yield* inside(65)
        // Whoever hangs up gives its place back.
        leaver.abort()
        yield* inside(64)
        fibers.push(yield* hold(one.token))
        yield* inside(65)
        // … and so does whoever is answered.
        yield* Deferred.succeed(gate.opened, undefined)
        for (const fiber of fibers) assert.strictEqual((yield* Fiber.join(fiber)).status, 200)
        yield* Fiber.await(left)
        yield* inside(0)
        const again = yield* Effect.all(Array.from({ length: 64 }, () => hold(one.token)))
        for (const fiber of again) assert.strictEqual((yield* Fiber.join(fiber)).status, 200)
      }),
    60_000
  )
})
