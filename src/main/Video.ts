import { NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer } from "effect"
import { join } from "node:path"
import { largestUpload } from "../domain/Video.ts"
import { uploadRoute, UploadRoutes } from "../http/UploadHandlers.ts"
import * as Settings from "../layers/Config.ts"
import { serveHttp } from "../layers/HttpServer.ts"
import { MediaEngineLive } from "../layers/media/Engine.ts"
import { ParentWatch } from "../layers/ParentWatch.ts"
import { configurationExitCode } from "../layers/Processes.ts"
import * as Telemetry from "../layers/Telemetry.ts"
import { VideoWorkerServices, VideoWorkerTasks } from "../layers/VideoWorkerLive.ts"
import { Health } from "../services/Health.ts"

/** An upload of 200 MiB over a slow mobile line takes this long. */
const slowestUploadMillis = 30 * 60 * 1_000
const otherBodies = 64 * 1_024

const telemetry = Layer.unwrap(Effect.gen(function*() {
  const home = yield* Settings.home
  const spanFolder = (yield* Config.Boolean("MIDNIGHT_SUPERVISED").pipe(Config.withDefault(false)))
    ? join(home, "spans")
    : undefined
  return Telemetry.layer({ serviceName: "video", version: "0.1.0", spanFolder, ...(yield* Telemetry.logConfig) })
}))

const uploadServer = Layer.unwrap(Effect.gen(function*() {
  return serveHttp(UploadRoutes, {
    port: yield* Settings.port("VIDEO_PORT", 3001),
    host: yield* Settings.host,
    portVariable: "VIDEO_PORT",
    corsOrigins: yield* Settings.corsOrigins,
    grace: yield* Settings.drainGrace,
    maxBodyBytes: (route) => route === uploadRoute ? largestUpload : otherBodies,
    requestTimeout: slowestUploadMillis
  })
}))

// Released from the top: no more jobs, those that run go back to the queue; then uploads end; then the pool closes.
const videoProcess = VideoWorkerTasks.pipe(
  Layer.provideMerge(uploadServer),
  Layer.provide(VideoWorkerServices),
  Layer.provide(MediaEngineLive.layer()),
  Layer.provide(Health.layer),
  Layer.provide(ParentWatch),
  Layer.provide(telemetry)
)

/** The video process: takes uploads on VIDEO_PORT and verifies what the queue holds, until SIGTERM. */
const main = Layer.launch(videoProcess).pipe(
  Effect.catchTag(["ConfigError", "CannotListen"], (error) =>
    Effect.andThen(
      Console.error(`The video process cannot start. ${error.message}`),
      Effect.sync(() => {
        process.exitCode = error._tag === "ConfigError" ? configurationExitCode : 1
      })
    ))
)

NodeRuntime.runMain(main)
