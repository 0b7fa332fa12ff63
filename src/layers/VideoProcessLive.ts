import { Effect, Layer } from "effect"
import { largestUpload } from "../domain/Video.ts"
import * as Strangers from "../http/middleware/Strangers.ts"
import { PictureRoutes } from "../http/PictureHandlers.ts"
import { tus, uploadRoute, UploadRoutes } from "../http/UploadHandlers.ts"
import { Health } from "../services/Health.ts"
import { mediaSettings } from "./BulkheadSettings.ts"
import * as Settings from "./Config.ts"
import * as Edge from "./EdgeSettings.ts"
import { serveHttp } from "./HttpServer.ts"
import { LimitsLive } from "./LimitsLive.ts"
import { MediaEngineLive } from "./media/Engine.ts"
import { yieldProcessor } from "./Priority.ts"
import { VideoWorkerServices, VideoWorkerTasks } from "./VideoWorkerLive.ts"

const uploadServer = Layer.unwrap(Effect.gen(function*() {
  const { most } = yield* Edge.bodies
  return serveHttp(Layer.merge(UploadRoutes, PictureRoutes), {
    ...(yield* Edge.connections),
    ...(yield* Edge.uploadRequests),
    port: yield* Settings.port("VIDEO_PORT", 3001),
    host: yield* Settings.host,
    portVariable: "VIDEO_PORT",
    corsOrigins: yield* Settings.corsOrigins,
    protocol: tus,
    maxBodyBytes: (route) => route === uploadRoute ? largestUpload : most,
    strangers: yield* Strangers.ofVideo
  })
})).pipe(Layer.provide(LimitsLive))

/**
 * The video process: takes uploads on VIDEO_PORT and verifies what the queue holds. It is released from the top: no more
 * jobs, those that run go back to the queue; then uploads end; then the pool closes.
 */
export const VideoProcessLive = VideoWorkerTasks.pipe(
  Layer.provideMerge(uploadServer),
  Layer.provide(VideoWorkerServices),
  Layer.provide(Layer.unwrap(Effect.map(mediaSettings, MediaEngineLive.layer))),
  Layer.provide(Health.layer),
  // Where it shares a machine with the API and PostgreSQL, these go first.
  Layer.provide(Layer.effectDiscard(yieldProcessor(10)))
)
