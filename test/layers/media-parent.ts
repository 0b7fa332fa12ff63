// A process with a media engine in it, to be killed by a test: says its child's pid and then waits for the answer.
import { Console, Effect, Logger, Option } from "effect"
import { defaultRules } from "../../src/domain/Verification.ts"
import { MediaEngineLive } from "../../src/layers/media/Engine.ts"
import { MediaEngine } from "../../src/services/MediaEngine.ts"
import { recordedTracer } from "./recorded-tracer.ts"

const [, , path = "", program = ""] = process.argv

const main = Effect.gen(function*() {
  const engine = yield* MediaEngine
  const { pid, tracer } = yield* recordedTracer
  yield* Effect.forkChild(Effect.flatMap(pid, (value) => Console.log(value)))
  yield* engine.analyse({ path, jobId: "killed", rules: defaultRules, traceparent: Option.none() }).pipe(
    Effect.withTracer(tracer)
  )
})

// Where a guard is missing, a warning would come before the pid.
await Effect.runPromise(main.pipe(Effect.provide(MediaEngineLive.layer({ program })), Effect.provide(Logger.layer([]))))
