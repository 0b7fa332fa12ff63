import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { Config, Effect, Layer, Ref } from "effect"
import { look, unwatched } from "../domain/Video.ts"
import { settlementCommands, verificationCommands } from "../services/Commands.ts"
import { VerificationQueue, verificationQueue } from "../services/CommandStore.ts"
import { withDatabase } from "../services/Database.ts"
import { Health } from "../services/Health.ts"
import { videoKeys } from "../services/IdempotencyStore.ts"
import { PictureUrls } from "../services/PictureUrls.ts"
import { Reviews } from "../services/Reviews.ts"
import { ReviewStore } from "../services/ReviewStore.ts"
import { UploadUrls } from "../services/UploadUrls.ts"
import { Verdicts } from "../services/Verdicts.ts"
import { Videos } from "../services/Videos.ts"
import { VideoStore } from "../services/VideoStore.ts"
import { videoSettings } from "./BulkheadSettings.ts"
import * as Settings from "./Config.ts"
import { pool } from "./Pools.ts"
import { queueMetrics } from "./QueueMetrics.ts"
import { secret } from "./Secrets.ts"
import { every, supervised } from "./Supervision.ts"

/** Signed URLs of uploads and pictures under UPLOAD_SECRET, on VIDEO_PUBLIC_URL: where clients reach the video process. */
export const uploadUrls = Layer.unwrap(Effect.gen(function*() {
  const port = yield* Settings.port("VIDEO_PORT", 3001)
  const base = yield* Config.URL("VIDEO_PUBLIC_URL").pipe(
    Config.map((url) => url.href),
    Config.withDefault(`http://127.0.0.1:${port}`)
  )
  const key = yield* secret("UPLOAD_SECRET")
  return Layer.merge(UploadUrls.layer({ secret: key, base }), PictureUrls.layer({ secret: key, base }))
})).pipe(Layer.provide(NodeCrypto.layerMac))

/** The part of the bulkhead that stands for the processes that verify. */
export const processPart = "process"

/** Says in `/health` whether any process verifies, seen through the database and so also from another machine. */
const watchProcesses = Effect.gen(function*() {
  const store = yield* VideoStore
  const health = yield* Health
  const watch = yield* Ref.make(unwatched)
  const round = Effect.gen(function*() {
    const fresh = yield* withDatabase(store.aliveProcesses)
    const { restarts } = yield* Ref.updateAndGet(watch, (before) => look(before, fresh.map(({ id }) => id)))
    const well = fresh.some(({ status }) => status === "ok")
    yield* health.report("video", processPart, well ? "ok" : "degraded", restarts)
  }).pipe(
    // Without the database nobody can tell, and it is not this task that is broken.
    Effect.catchTag("Unavailable", () => health.report("video", processPart, "degraded"))
  )
  // 1.5 s of silence and a quarter to notice it: a dead process shows within two seconds.
  return yield* every("250 millis", round)
})

const settleReservations = Effect.flatMap(
  Videos,
  ({ settleReservations }) =>
    every("15 seconds", Effect.catchTag(settleReservations, "Unavailable", (error) => Effect.logWarning(error.message)))
)

// What the bulkhead does for itself and what it tells the money side stand on one pool: this layer is built once for both.
const stores = Layer.mergeAll(VideoStore.layer, ReviewStore.layer, verificationQueue(), videoKeys()).pipe(
  Layer.provide(Layer.merge(verificationCommands(), settlementCommands())),
  Layer.provide(pool("videoApi")),
  Layer.provide(videoSettings)
)

/** The verdicts, for the money side. */
export const VerdictsLive = Verdicts.layer.pipe(Layer.provide(stores))

/** The API's side of the video bulkhead. Needs the rewards bulkhead's public face and Health. */
export const VideoLive = Layer.suspend(() =>
  Layer.mergeAll(
    supervised("video", "process-watch", watchProcesses),
    supervised("video", "reservations", settleReservations),
    queueMetrics("verification_commands", VerificationQueue)
  ).pipe(
    Layer.provideMerge(Layer.merge(Videos.layer, Reviews.layer)),
    Layer.provide(uploadUrls),
    Layer.provide(videoSettings),
    Layer.provideMerge(stores)
  )
)
