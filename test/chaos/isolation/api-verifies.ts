// The API process with the verification of videos in it, decoding and all: what the video process is there to prevent.
import { Effect, Layer, Schema } from "effect"
import { open } from "node:fs/promises"
import { Findings } from "../../../src/domain/MediaFacts.ts"
import { ApiLive } from "../../../src/layers/ApiLive.ts"
import { measure } from "../../../src/layers/media/Measure.ts"
import { launchProcess } from "../../../src/layers/ProcessMain.ts"
import { VideoWorkerLive } from "../../../src/layers/VideoWorkerLive.ts"
import { Health } from "../../../src/services/Health.ts"
import { MediaEngine, MediaEngineFailed } from "../../../src/services/MediaEngine.ts"

const decodeFindings = Schema.decodeUnknownEffect(Findings)

const inThisProcess = Layer.succeed(MediaEngine, {
  guards: [],
  analyse: ({ path, rules }) =>
    Effect.tryPromise({
      try: async () => {
        const { maxPixels, maxSeconds } = rules
        await using file = await open(path)
        return await measure(file.fd, { maxSeconds, maxPixels, cpuSeconds: 3_600 }, (_name, work) => work())
      },
      catch: (cause) => cause
    }).pipe(
      Effect.flatMap(decodeFindings),
      Effect.mapError((cause) => new MediaEngineFailed({ reason: "crashed", detail: String(cause) })),
      Effect.map((findings) => ({ findings, cpuSeconds: 0, peakBytes: 0 }))
    )
})

launchProcess("api", Layer.merge(ApiLive, VideoWorkerLive.pipe(Layer.provide([inThisProcess, Health.layer]))))
