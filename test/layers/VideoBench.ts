import { PgConnection } from "@effect/sql-pg"
import { Context, Effect, Layer, Logger, Option, Ref, Schedule, Schema } from "effect"
import { HttpServer } from "effect/http"
import { createHash } from "node:crypto"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type CampaignId, OperationId, type SubmissionId, UserId, type VideoId } from "../../src/domain/Ids.ts"
import { Amount, type Money } from "../../src/domain/Money.ts"
import { MoneyRequest } from "../../src/domain/MoneyRequest.ts"
import { Unavailable } from "../../src/domain/Problem.ts"
import { CampaignFull } from "../../src/domain/Rewards.ts"
import { defaultRules } from "../../src/domain/Verification.ts"
import { PictureRoutes } from "../../src/http/PictureHandlers.ts"
import { tus, uploadRoute, UploadRoutes } from "../../src/http/UploadHandlers.ts"
import { serveHttp } from "../../src/layers/HttpServer.ts"
import { VerdictsLive, VideoLive } from "../../src/layers/VideoLive.ts"
import { VideoWorkerServices } from "../../src/layers/VideoWorkerLive.ts"
import { Health } from "../../src/services/Health.ts"
import { MediaEngine } from "../../src/services/MediaEngine.ts"
import { newId } from "../../src/services/NewId.ts"
import { Rewards } from "../../src/services/Rewards.ts"
import { Videos } from "../../src/services/Videos.ts"
import { moneyRequest } from "./moneyRequest.ts"
import { ordinaryEngine } from "./ordinaryEngine.ts"
import { PgTest } from "./PgTest.ts"
import { testConfig } from "./TestConfig.ts"

type Analyse = MediaEngine["Service"]["analyse"]
export const uploadSecret = "a secret for upload URLs, for tests"
export const reward: Money = { amount: Amount.make(2_500n), currency: "NGN" }

/** Faults to order: what the rewards bulkhead and the media engine do next. */
export class Faults extends Context.Service<Faults, {
  readonly slots: Ref.Ref<"granted" | "full" | "away">
  /** What happens elsewhere while a slot is asked for the next time. */
  readonly meanwhile: Ref.Ref<Effect.Effect<unknown>>
  readonly reserved: Ref.Ref<ReadonlyArray<string>>
  readonly released: Ref.Ref<ReadonlyArray<string>>
  /** None: the real engine. */
  readonly analyse: Ref.Ref<Option.Option<Analyse>>
}>()("midnight/test/Faults") {
  static readonly layer = Layer.effect(
    Faults,
    Effect.gen(function*() {
      return {
        slots: yield* Ref.make<"granted" | "full" | "away">("granted"),
        meanwhile: yield* Ref.make<Effect.Effect<unknown>>(Effect.void),
        reserved: yield* Ref.make<ReadonlyArray<string>>([]),
        released: yield* Ref.make<ReadonlyArray<string>>([]),
        analyse: yield* Ref.make(Option.none<Analyse>())
      }
    })
  )
}

/** The rewards bulkhead as video sees it, without a ledger behind it. */
const rewards = Layer.effect(
  Rewards,
  Effect.map(Faults, ({ meanwhile, released, reserved, slots }) => {
    const reserve = Effect.fnUntraced(function*({ submissionId }: { readonly submissionId: string }) {
      const answer = yield* Ref.get(slots)
      yield* Effect.flatten(Ref.getAndSet(meanwhile, Effect.void))
      if (answer === "full") return yield* new CampaignFull({})
      if (answer === "away") return yield* new Unavailable({ retry_after: 1 })
      yield* Ref.update(reserved, (all) => [...all, submissionId])
      return { reward, rules: defaultRules }
    })
    return {
      reserve,
      release: (id) => Ref.update(released, (all) => [...all, id]),
      settle: () => Effect.die("settlement is the money side's"),
      isInvolved: () => Effect.succeed(false),
      sponsors: () => Effect.succeed(false),
      sweep: Effect.void
    }
  })
)

const engine = Layer.effect(
  MediaEngine,
  Effect.gen(function*() {
    const real = yield* MediaEngine
    const { analyse } = yield* Faults
    return {
      ...real,
      analyse: (input) =>
        Effect.flatMap(Ref.get(analyse), Option.match({ onNone: () => real.analyse(input), onSome: (f) => f(input) }))
    }
  })
).pipe(Layer.provide(ordinaryEngine))

/** Both sides of the video bulkhead on one database, the upload server on a free port, and no background task of the worker. */
export const VideoBench = Layer.unwrap(Effect.gen(function*() {
  const spool = yield* Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "midnight-spool-"))),
    (path) => Effect.promise(() => rm(path, { recursive: true, force: true, maxRetries: 10 }))
  )
  const server = serveHttp(Layer.merge(UploadRoutes, PictureRoutes), {
    port: 0,
    host: "127.0.0.1",
    portVariable: "VIDEO_PORT",
    corsOrigins: ["https://app.example"],
    grace: 0,
    drain: 0,
    protocol: tus,
    maxBodyBytes: (route) => route === uploadRoute ? 209_715_200 : 65_536
  })
  return server.pipe(
    Layer.provideMerge(VideoWorkerServices),
    Layer.provideMerge(Layer.merge(VideoLive, VerdictsLive)),
    Layer.provide(engine),
    Layer.provide(rewards),
    Layer.provideMerge(Layer.mergeAll(Health.layer, Faults.layer)),
    Layer.provide(testConfig({
      UPLOAD_SECRET: uploadSecret,
      SPOOL_DIR: spool
    })),
    Layer.provideMerge(Layer.succeed(SpoolFolder, { path: spool }))
  )
})).pipe(Layer.provideMerge(PgTest.layer), Layer.provideMerge(Logger.layer([])))

export class SpoolFolder
  extends Context.Service<SpoolFolder, { readonly path: string }>()("midnight/test/SpoolFolder")
{}

/** A statement by a role, or by the owner; rows come as they are. */
export const asRole = Effect.fnUntraced(function*(role: string, statement: string) {
  const pg = yield* PgTest
  const connection = yield* PgConnection.make({ url: role === "owner" ? pg.ownerUrl : pg.urlFor(role) })
  return yield* connection.queryValues(statement, [])
}, Effect.scoped)

export const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex")

export interface Answer {
  readonly status: number
  readonly json: Readonly<Record<string, unknown>>
  readonly headers: Headers
}

const Json = Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown))

/** Sends bytes to an upload URL, on the port that the test's server took. */
export const put = Effect.fnUntraced(function*(uploadUrl: string, body: BodyInit, init: RequestInit = {}) {
  const { address } = yield* HttpServer.HttpServer
  const url = new URL(uploadUrl)
  url.port = String("port" in address ? address.port : 0)
  return yield* Effect.promise(async (): Promise<Answer> => {
    const response = await fetch(url, { method: "PUT", body, ...init })
    return {
      status: response.status,
      headers: response.headers,
      json: Schema.decodeUnknownSync(Json)(await response.text())
    }
  })
})

/** The same, sent again while senders that hung up before are still being cleared away. */
export const putInTurn = (uploadUrl: string, body: BodyInit) =>
  put(uploadUrl, body).pipe(
    Effect.repeat({ schedule: Schedule.spaced("10 millis"), until: ({ status }) => status !== 503 }),
    Effect.timeout("30 seconds")
  )

export const announce = Effect.fnUntraced(function*(owner: UserId, bytes: number, digest?: string) {
  const videos = yield* Videos
  return yield* videos.createUpload(owner, {
    bytes,
    contentType: "video/mp4",
    ...(digest === undefined ? {} : { sha256: digest })
  })
})

export const member = newId(UserId)

/** A finished upload of a member's. */
export const uploaded = Effect.fnUntraced(function*(owner: UserId, bytes: Uint8Array<ArrayBuffer>) {
  const ticket = yield* announce(owner, bytes.length)
  yield* put(ticket.uploadUrl, bytes)
  return ticket.videoId
})

/** Asks for verification as the route does; the same `key` is the same request again. */
export const verifying = Effect.fnUntraced(
  function*(userId: UserId, videoId: VideoId, campaignId?: CampaignId, key?: OperationId) {
    const videos = yield* Videos
    const operationId = key ?? (yield* newId(OperationId))
    return yield* videos.verify({ videoId, ...(campaignId === undefined ? {} : { campaignId }) }).pipe(
      Effect.provideService(MoneyRequest, moneyRequest(userId, operationId))
    )
  }
)

export const seen = (user: UserId, id: SubmissionId) => Effect.flatMap(Videos, (videos) => videos.submission(user, id))

const Settlement = Schema.fromJsonString(
  Schema.Struct({ submissionId: Schema.String, traceparent: Schema.NullOr(Schema.String) })
)
/** What the money side was told of a submission. */
export const settlements = Effect.fnUntraced(function*(id: SubmissionId) {
  const rows = yield* asRole("owner", `SELECT element FROM queue.settlement_commands WHERE id = '${id}'`)
  return rows.map(([element]) => Schema.decodeUnknownSync(Settlement)(element))
})

/** What the queue knows of a submission. */
export const commandsOf = (id: SubmissionId) =>
  Effect.map(
    asRole("owner", `SELECT state, attempts FROM queue.verification_commands WHERE id = '${id}'`),
    (rows) => rows.map(([state, attempts]) => ({ state, attempts }))
  )
