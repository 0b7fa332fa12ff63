import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Context, Effect, Layer, Logger, Schedule } from "effect"
import { HttpServer } from "effect/http"
import { HttpApi, HttpApiBuilder } from "effect/http-api"
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { connect } from "node:net"
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
import { freePorts } from "../layers/DevServer.ts"
import { identityEnvironment, IdentityGround } from "../layers/IdentityGround.ts"
import { PgTest } from "../layers/PgTest.ts"

const noRedis = spawnSync("redis-server", ["--version"]).error !== undefined
if (noRedis) {
  process.stderr.write("SKIPPED: limits on Redis. There is no redis-server (Debian: apt-get install redis-server)\n")
}

/** Answers once the server takes commands. */
const answersPing = async (port: number, until = performance.now() + 60_000): Promise<void> => {
  const socket = connect(port, "127.0.0.1")
  const pong = await new Promise<boolean>((settle) => {
    socket.once("connect", () => socket.write("PING\r\n"))
    socket.once("data", (data) => settle(data.toString().startsWith("+PONG")))
    socket.once("error", () => settle(false))
  })
  socket.destroy()
  if (pong) return
  if (performance.now() > until) throw new Error("redis-server did not start")
  await new Promise((settle) => setImmediate(settle))
  return answersPing(port, until)
}

const start = (port: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const words = ["--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
      const child = spawn("redis-server", words, { stdio: "ignore" })
      await answersPing(Number(port))
      return child
    }),
    (child) => Effect.promise(() => end(child))
  )

const end = async (child: ChildProcess) => {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, "exit")
  child.kill("SIGKILL")
  await gone
}

const api = HttpApi.make("midnight").add(IdentityApi).add(AccountApi)
  .annotate(HttpApi.PayloadParseOptions, { onExcessProperty: "error", errors: "all" })

/** A server of its own: its own connection to Redis, and nothing in memory that another one sees. */
const server = (redis: string) =>
  serveHttp(
    HttpApiBuilder.layer(api).pipe(
      // Export and erasure ask the money side, which is not here, and are not called.
      Layer.provide(Layer.merge(IdentityHandlers, AccountHandlers.pipe(Layer.provide(Layer.mock(Accounts, {}))))),
      Layer.provide([AuthorizationLive, RateLimitLive, AddressRateLimitLive, AdmissionLive()]),
      Layer.provide(LimitsLive)
    ),
    { port: 0, host: "127.0.0.1", portVariable: "PORT", corsOrigins: [], grace: 0, drain: 0 }
  ).pipe(
    Layer.provide(IdentityGround),
    Layer.provide(Health.layer),
    Layer.provide(Layer.unwrap(Effect.map(PgTest, (pg) =>
      ConfigProvider.layer(
        ConfigProvider.fromUnknown({
          ...pg.environment,
          ...identityEnvironment,
          REDIS_URL: `redis://127.0.0.1:${redis}`,
          // On a machine that does much else a stall of 50 ms is no outage, and five of them would open the limits.
          REDIS_CALL_LIMIT: "250 millis"
        })
      )))),
    Layer.provide(Logger.layer([])),
    Layer.fresh
  )

const portOf = (context: Context.Context<HttpServer.HttpServer>) => {
  const { address } = Context.get(context, HttpServer.HttpServer)
  return "port" in address ? address.port : 0
}

const get = (port: number, from: string) =>
  Effect.promise(async () => {
    const began = performance.now()
    const answer = await fetch(`http://127.0.0.1:${port}/api/auth/me`, { headers: { "x-forwarded-for": from } })
    await answer.body?.cancel()
    return { status: answer.status, limit: answer.headers.get("ratelimit"), millis: performance.now() - began }
  })

/** The statuses of a login and of a refresh that nobody has a right to, and when a login may be tried again. */
const signIns = (port: number, from: string) =>
  Effect.promise(async () => {
    const post = async (path: string, body: object) => {
      const answer = await fetch(`http://127.0.0.1:${port}/api/auth/${path}`, {
        method: "POST",
        headers: { "x-forwarded-for": from, "content-type": "application/json" },
        body: JSON.stringify(body)
      })
      await answer.body?.cancel()
      return answer
    }
    const login = await post("login", { email: "nobody@example.org", password: "a long enough passphrase" })
    const refresh = await post("refresh", { refreshToken: "none" })
    return { login: login.status, retryAfter: login.headers.get("retry-after"), refresh: refresh.status }
  })

/** The same, as somebody does who is told to come again while a busy server takes Redis for one that hangs. */
const signInsCounted = (port: number, from: string) =>
  Effect.repeat(signIns(port, from), {
    schedule: Schedule.spaced("200 millis"),
    times: 100,
    until: ({ login }) => login !== 503
  })

/** Asks until the store counts, which it says by its headers. */
const counted = (port: number, tries = 2_000): Effect.Effect<void> =>
  Effect.flatMap(
    get(port, `10.0.${tries >> 8}.${tries & 255}`),
    ({ limit }) =>
      limit !== null ? Effect.void : tries > 0 ? counted(port, tries - 1) : Effect.die("the store never answered")
  )

describe.skipIf(noRedis)("limits on Redis", () => {
  it.live(
    "hold across two servers: of 300 requests at once exactly 100 pass; without Redis all do, fast, but logins",
    () =>
      Effect.gen(function*() {
        const { PORT } = yield* freePorts
        const redis = yield* start(PORT)
        const one = portOf(yield* Layer.build(server(PORT)))
        const two = portOf(yield* Layer.build(server(PORT)))
        yield* counted(one)
        yield* counted(two)

        const hundreds = (from: string, concurrency = 60) =>
          Effect.forEach(Array.from({ length: 300 }, (_, n) => n), (n) => get(n % 2 === 0 ? one : two, from), {
            concurrency
          })
        // A server that stands still for 50 ms takes Redis for one that hangs, and lets what it could not count pass: on a busy machine
        // it is asked again, from another address and less at once, until all were counted.
        const allCounted = Effect.fnUntraced(function*(network: string) {
          for (let host = 1; host < 30; host++) {
            const answers = yield* hundreds(`${network}.${host}`, Math.max(2, Math.floor(60 / host)))
            const passed = answers.filter(({ limit, status }) => status === 401 && limit !== null).length
            assert.isAtMost(passed, 100)
            if (answers.every(({ limit }) => limit !== null)) return answers
            yield* counted(one)
            yield* counted(two)
          }
          return assert.fail("Redis never counted all of them")
        })
        const shared = yield* allCounted("198.51.101")
        assert.strictEqual(shared.filter(({ status }) => status === 401).length, 100)
        assert.strictEqual(shared.filter(({ status }) => status === 429).length, 200)

        assert.deepInclude(yield* signInsCounted(one, "198.51.100.5"), { login: 401, refresh: 401 })

        // It hangs: it takes commands and answers none.
        redis.kill("SIGSTOP")
        const hanging = yield* hundreds("198.51.100.2")
        assert.deepStrictEqual(new Set(hanging.map(({ status }) => status)), new Set([401]))
        // Nobody waits for Redis itself, which would be for good; a second each would be five for the sixty that go at once.
        const slow = hanging.filter(({ millis }) => millis > 5_000).length
        assert.strictEqual(slow, 0, "answers that took more than five seconds")
        const away = { login: 503, retryAfter: "2", refresh: 401 }
        assert.deepStrictEqual(yield* signIns(one, "198.51.100.6"), away)

        // It is gone.
        yield* Effect.promise(() => end(redis))
        const gone = yield* hundreds("198.51.100.3")
        assert.deepStrictEqual(new Set(gone.map(({ status }) => status)), new Set([401]))

        assert.deepStrictEqual(yield* signIns(two, "198.51.100.7"), away)

        // It returns, with nothing in it.
        yield* start(PORT)
        yield* counted(one)
        yield* counted(two)
        const again = yield* allCounted("198.51.102")
        assert.strictEqual(again.filter(({ status }) => status === 401).length, 100)
        assert.deepInclude(yield* signInsCounted(two, "198.51.100.8"), { login: 401, refresh: 401 })
      }).pipe(Effect.scoped, Effect.provide(PgTest.layer)),
    300_000
  )
})
