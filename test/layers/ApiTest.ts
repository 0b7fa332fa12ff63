import { PgConnection } from "@effect/sql-pg"
import { Context, Effect, Layer, Logger, Option, Predicate, Schedule, Schema } from "effect"
import { FetchHttpClient, HttpClient, HttpClientRequest } from "effect/http"
import { HttpApiClient, HttpApiMiddleware } from "effect/http-api"
import { randomUUID } from "node:crypto"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { freePort } from "../../bench/ports.ts"
import { UserId } from "../../src/domain/Ids.ts"
import { Amount, type Currency } from "../../src/domain/Money.ts"
import type { Role } from "../../src/domain/Principal.ts"
import { between, clearingOf, walletOf } from "../../src/domain/Wallet.ts"
import { Api } from "../../src/http/Api.ts"
import { Authorization } from "../../src/http/middleware/Authorization.ts"
import { tus, uploadRoute, UploadRoutes } from "../../src/http/UploadHandlers.ts"
import { ApiLive, Bulkheads } from "../../src/layers/ApiLive.ts"
import { serveHttp } from "../../src/layers/HttpServer.ts"
import { MediaEngineLive } from "../../src/layers/media/Engine.ts"
import { VideoWorkerServices, VideoWorkerTasks } from "../../src/layers/VideoWorkerLive.ts"
import { Health } from "../../src/services/Health.ts"
import { Identity } from "../../src/services/Identity.ts"
import { Ledger } from "../../src/services/Ledger.ts"
import type { MediaEngine } from "../../src/services/MediaEngine.ts"
import { identityEnvironment } from "./IdentityGround.ts"
import { PgTest } from "./PgTest.ts"
import { Sandbox, sandboxSecrets } from "./sandbox.ts"
import { testConfig } from "./TestConfig.ts"

/** Whom the typed client speaks for, and under which Idempotency-Key. */
export const CurrentToken = Context.Reference<string>("midnight/test/CurrentToken", { defaultValue: () => "" })
export const CurrentKey = Context.Reference<Option.Option<string>>("midnight/test/CurrentKey", {
  defaultValue: () => Option.none()
})

const withToken = HttpApiMiddleware.layerClient(
  Authorization,
  ({ next, request }) => Effect.flatMap(CurrentToken, (token) => next(HttpClientRequest.bearerToken(request, token)))
)

const withKey = HttpClient.mapRequestEffect((request: HttpClientRequest.HttpClientRequest) =>
  Effect.map(CurrentKey, (key) =>
    Option.match(key, {
      onNone: () => request,
      onSome: (key) => HttpClientRequest.setHeader(request, "idempotency-key", key)
    }))
)

const makeClient = (baseUrl: string) =>
  HttpApiClient.make(Api, { baseUrl, transformClient: withKey }).pipe(
    Effect.provide([withToken, FetchHttpClient.layer])
  )
export type ApiClient = Effect.Success<ReturnType<typeof makeClient>>

const temporary = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "midnight-api-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true, maxRetries: 10 }))
)

/** What the whole server reads, on ports and in a folder of its own. */
const Ports = Context.Service<{ readonly api: number; readonly video: number; readonly home: string }>(
  "midnight/test/Ports"
)
const ports = Layer.effect(
  Ports,
  Effect.all({ api: Effect.promise(freePort), video: Effect.promise(freePort), home: temporary })
)

const environment = Layer.unwrap(Effect.gen(function*() {
  const { api, home, video } = yield* Ports
  return testConfig({
    ...identityEnvironment,
    ...sandboxSecrets,
    UPLOAD_SECRET: "a secret for upload URLs, in tests of it all",
    SANDBOX_API_BASE: (yield* Sandbox).base,
    MIDNIGHT_HOME: home,
    HOST: "127.0.0.1",
    PORT: String(api),
    VIDEO_PORT: String(video),
    SPOOL_DIR: join(home, "spool"),
    DRAIN_GRACE: "0 millis",
    RETURN_URL_ORIGINS: "https://app.example.com",
    CURRENCIES: "NGN,USD"
  })
}))

/** The video process, in the test's own: uploads on its port, verifiers with the given engine, and what a test adds. */
const videoProcess = (engine: Layer.Layer<MediaEngine>, more: Layer.Layer<never, never, Health>) =>
  Layer.merge(VideoWorkerTasks, more).pipe(
    Layer.provideMerge(Layer.unwrap(Effect.map(Ports, ({ video }) =>
      serveHttp(UploadRoutes, {
        port: video,
        host: "127.0.0.1",
        portVariable: "VIDEO_PORT",
        corsOrigins: [],
        grace: 0,
        drain: 0,
        protocol: tus,
        maxBodyBytes: (route) => route === uploadRoute ? 1_048_576 : 65_536
      })))),
    Layer.provide(VideoWorkerServices),
    Layer.provide(engine),
    Layer.provide(Health.layer)
  )

/** The whole of Midnight in one runtime on a database of its own: every bulkhead, both servers, the sandbox provider. */
export class ApiTest extends Context.Service<ApiTest, {
  readonly base: string
  readonly client: ApiClient
  readonly mailbox: string
}>()("midnight/test/ApiTest") {
  static readonly layer = (
    engine: Layer.Layer<MediaEngine> = MediaEngineLive.layer(),
    more: Layer.Layer<never, never, Health> = Layer.empty
  ) => {
    const self = Layer.effect(
      ApiTest,
      Effect.gen(function*() {
        const { api, home } = yield* Ports
        const base = `http://127.0.0.1:${api}`
        yield* (yield* Sandbox).forwardTo(base)
        return { base, client: yield* makeClient(base), mailbox: join(home, "mailbox") }
      })
    )
    return self.pipe(
      Layer.provideMerge(Layer.mergeAll(ApiLive, videoProcess(engine, more), Bulkheads)),
      Layer.provideMerge(Health.layer),
      Layer.provide(environment),
      Layer.provideMerge(Layer.mergeAll(ports, Sandbox.layer)),
      Layer.provideMerge(PgTest.layer),
      // What the servers log is the telemetry tests' subject; here it would bury the results.
      Layer.provideMerge(Logger.layer([]))
    )
  }
}

export interface Call {
  readonly method: string
  readonly path: string
  readonly token?: string
  readonly key?: string
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  readonly json: Readonly<Record<PropertyKey, unknown>>
}

/** One request over a plain socket, with nothing between the test and what the server says. A string body goes as it is. */
export const send = Effect.fnUntraced(function*({ body, headers, key, method, path, token }: Call) {
  const { base } = yield* ApiTest
  return yield* Effect.promise(async (signal): Promise<Answer> => {
    const answer = await fetch(`${base}${path}`, {
      method,
      signal,
      redirect: "manual",
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(key === undefined ? {} : { "idempotency-key": key }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers
      },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) })
    })
    const text = await answer.text()
    const json: unknown = text.startsWith("{") ? JSON.parse(text) : {}
    return { status: answer.status, headers: answer.headers, text, json: Predicate.isObject(json) ? json : {} }
  })
})

/** A statement by the owner of the database. */
export const owner = Effect.fnUntraced(function*(statement: string) {
  const connection = yield* PgConnection.make({ url: (yield* PgTest).ownerUrl })
  return yield* connection.queryValues(statement, [])
}, Effect.scoped)

export const countOf = (statement: string) => Effect.map(owner(statement), (rows) => Number(rows[0]?.[0]))

let addresses = 0
/** An address that nobody else in this file calls from, for the limits by address. */
export const fromAfar = () => ({ "x-forwarded-for": `198.51.${Math.floor(++addresses / 250)}.${addresses % 250}` })

export interface Member {
  readonly id: UserId
  readonly email: string
  readonly password: string
  readonly token: string
  readonly refreshToken: string
}

const SignedIn = Schema.Struct({ accessToken: Schema.String, refreshToken: Schema.String })
const Registered = Schema.Struct({ user: Schema.Struct({ id: UserId }), tokens: SignedIn })

/** Registers somebody over HTTP. Roles are granted inside, and the tokens of the next refresh carry them. */
export const register = Effect.fnUntraced(function*(...roles: ReadonlyArray<Role>) {
  const email = `${randomUUID()}@example.com`
  const password = "a long enough passphrase"
  const headers = fromAfar()
  const body = { email, password }
  const answer = yield* send({ method: "POST", path: "/api/auth/register", body, headers })
  const { tokens, user: { id } } = yield* Schema.decodeUnknownEffect(Registered)(answer.json)
  if (roles.length === 0) return { id, email, password, token: tokens.accessToken, refreshToken: tokens.refreshToken }
  yield* Effect.flatMap(Identity, (identity) => identity.grantRoles(id, ["member", ...roles]))
  const { refreshToken } = tokens
  const again = yield* send({ method: "POST", path: "/api/auth/refresh", body: { refreshToken }, headers })
  const next = yield* Schema.decodeUnknownEffect(Schema.Struct({ tokens: SignedIn }))(again.json)
  return { id, email, password, token: next.tokens.accessToken, refreshToken: next.tokens.refreshToken }
})

/** Puts money into a wallet from the provider's clearing account, as a settled charge does. */
export const give = (to: UserId, amount: number, currency: Currency = "NGN") =>
  Effect.flatMap(Ledger, (ledger) =>
    ledger.post(between({
      key: `charge:${randomUUID()}`,
      kind: "charge",
      from: clearingOf("sandbox"),
      to: walletOf(to),
      amount: Amount.make(BigInt(amount)),
      currency
    })))

/** The typed client's calls as this member. */
export const as = (member: Member) => Effect.provideService(CurrentToken, member.token)
/** … and under an Idempotency-Key of their own. */
export const keyed = <A, E, R>(work: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => Effect.provideService(work, CurrentKey, Option.some(randomUUID())))

/** Pays a charge at its checkout page, as a person would. */
export const pay = (checkoutUrl: string, outcome: "succeed" | "fail" | "abandon" = "succeed") =>
  Effect.promise(() =>
    fetch(checkoutUrl, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ outcome })
    }).then(({ status }) => status)
  )

/** Looks again until it is so. */
export const eventually = <A, E, R>(look: Effect.Effect<A, E, R>, isSo: (seen: A) => boolean) =>
  look.pipe(Effect.repeat({ schedule: Schedule.spaced("25 millis"), until: isSo }), Effect.timeout("30 seconds"))
