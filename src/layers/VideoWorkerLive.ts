import { Config, Effect, Layer, Schema } from "effect"
import { availableParallelism } from "node:os"
import { join } from "node:path"
import { settlementCommands, verificationCommands } from "../services/Commands.ts"
import { FingerprintStore } from "../services/FingerprintStore.ts"
import { Health } from "../services/Health.ts"
import { Pictures } from "../services/Pictures.ts"
import { SeenBefore } from "../services/SeenBefore.ts"
import { Uploads } from "../services/Uploads.ts"
import { UploadStore } from "../services/UploadStore.ts"
import { VerificationStore } from "../services/VerificationStore.ts"
import { Verifier } from "../services/Verifier.ts"
import { duration } from "./Bounded.ts"
import { videoSettings } from "./BulkheadSettings.ts"
import * as Settings from "./Config.ts"
import { uploadWindow } from "./EdgeSettings.ts"
import { LocalSpool } from "./LocalSpool.ts"
import { pool } from "./Pools.ts"
import { every, supervised } from "./Supervision.ts"
import { processPart, uploadUrls } from "./VideoLive.ts"

const mebibyte = 1_048_576
const Mebibytes = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_048_576 }))

const spool = Layer.unwrap(Effect.gen(function*() {
  const home = yield* Settings.home
  const directory = yield* Config.NonEmptyString("SPOOL_DIR").pipe(Config.withDefault(join(home, "spool")))
  const reserve = yield* Config.schema(Mebibytes, "SPOOL_RESERVE_MIB").pipe(Config.withDefault(256))
  return LocalSpool.layer(directory, reserve * mebibyte)
}))

/** In each window of this length a sender must bring this much. */
const paceBytes = 131_072

const uploads = Layer.unwrap(Effect.gen(function*() {
  const window = yield* uploadWindow
  const retention = yield* duration("VIDEO_RETENTION", "30 days", { from: 0, to: "3650 days" })
  return Uploads.layer({ pace: { window, bytes: paceBytes }, retention })
}))

/**
 * A row that says every 500 ms, by the database's clock, that this process is there and how its video parts are. It is
 * the only way in which the API sees this process, so it works from another machine too.
 */
const heartbeat = Effect.gen(function*() {
  const store = yield* VerificationStore
  const health = yield* Health
  const beat = Effect.gen(function*() {
    // Where the API runs in the same runtime, it reports there what it hears here: echoed back, a fault would never end.
    yield* store.beat(yield* health.statusWithout("video", processPart))
  })
  yield* every("500 millis", Effect.catchTag(beat, "SqlError", (error) => Effect.logWarning("No heartbeat", error)))
    .pipe(
      // An orderly end shows at once; after any other the row falls silent.
      Effect.ensuring(Effect.ignore(store.leave))
    )
})

const quietly = <A, E extends { readonly message: string }, R>(round: Effect.Effect<A, E, R>) =>
  round.pipe(Effect.catch((error) => Effect.logWarning(error.message)))

// The worker's pool has six connections, and each verification needs one now and then.
const Concurrency = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 16 }))

// One processor stays free of decoding: with all of them taken, whoever wakes for a payment first has to drive somebody off,
// at each of its steps (docs/adr/0025).
const processorsLeft = Math.min(4, Math.max(1, availableParallelism() - 1))

const verifiers = Layer.unwrap(Effect.gen(function*() {
  const concurrency = yield* Config.schema(Concurrency, "VIDEO_CONCURRENCY").pipe(Config.withDefault(processorsLeft))
  const one = (number: number) =>
    supervised("video", `verifier-${number}`, Effect.flatMap(Verifier, ({ next }) => Effect.forever(next)))
  return Layer.mergeAll(one(1), ...Array.from({ length: concurrency - 1 }, (_, at) => one(at + 2)))
}))

/** What the worker's side of the video bulkhead can do. Needs a MediaEngine. */
export const VideoWorkerServices = Layer.suspend(() =>
  Layer.mergeAll(Verifier.layer, uploads, Pictures.layer).pipe(
    Layer.provide(videoSettings),
    Layer.provide(spool),
    Layer.provide(uploadUrls),
    Layer.provide(SeenBefore.layer.pipe(Layer.provide(FingerprintStore.layer))),
    Layer.provideMerge(Layer.merge(VerificationStore.layer, UploadStore.layer)),
    Layer.provide(Layer.mergeAll(verificationCommands("consumer"), settlementCommands())),
    Layer.provide(pool("videoWorker"))
  )
)

/** What it does by itself. Ended first, it gives its jobs back to the queue while uploads still come in. */
export const VideoWorkerTasks = Layer.mergeAll(
  supervised("video", "heartbeat", heartbeat),
  verifiers,
  supervised("video", "take-over", Effect.flatMap(Verifier, ({ takeOver }) => every("1 seconds", quietly(takeOver)))),
  supervised("video", "dead-letters", Effect.flatMap(Verifier, ({ sweep }) => every("5 seconds", quietly(sweep)))),
  supervised("video", "uploads-sweep", Effect.flatMap(Uploads, ({ sweep }) => every("5 minutes", quietly(sweep))))
)

/** The worker's side of the video bulkhead: uploads in, verdicts out. Needs a MediaEngine and Health. */
export const VideoWorkerLive = VideoWorkerTasks.pipe(Layer.provideMerge(VideoWorkerServices))
