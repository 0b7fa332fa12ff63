// The video process as it is, and beside its own fibers, or in place of its media child, the fault that it is told.
import { Effect, Layer } from "effect"
import { join } from "node:path"
import { MediaEngineLive } from "../../../src/layers/media/Engine.ts"
import { launchProcess } from "../../../src/layers/ProcessMain.ts"
import { supervised } from "../../../src/layers/Supervision.ts"
import { Health } from "../../../src/services/Health.ts"

const [fault = "", program = ""] = process.argv.slice(2)

/** A supervised fiber ends so every 300 ms, and a hundred fibers a second that nobody watches do. */
const endings = <E>(ending: Effect.Effect<never, E>) =>
  Layer.merge(
    supervised("video", "fault", Effect.andThen(Effect.sleep("300 millis"), ending)),
    Layer.effectDiscard(
      Effect.forkScoped(Effect.forever(Effect.andThen(Effect.forkDetach(ending), Effect.sleep("10 millis"))))
    )
  )

const soon = (work: () => void) => Layer.effectDiscard(Effect.sync(() => void setTimeout(work, 200)))

const leaked: Array<ReadonlyArray<unknown>> = []

const faults: Readonly<Record<string, Layer.Layer<never, never, Health>>> = {
  "fails": endings(Effect.fail("a typed failure")),
  "dies": endings(Effect.die(new Error("a defect"))),
  "throws": soon(() => {
    throw new Error("thrown outside Effect")
  }),
  "cpu": soon(() => {
    for (let n = 1;; n++) Math.sqrt(n)
  }),
  "leaks": soon(() => {
    setInterval(() => leaked.push(Array<number>(1_000_000).fill(leaked.length)), 20)
  }),
  "child": Layer.empty
}

const chosen = faults[fault]
if (chosen === undefined) throw new Error(`there is no fault ${fault}`)

if (fault === "child") {
  const real = MediaEngineLive.layer
  const instead: typeof real = (options) => real({ ...options, program: join(import.meta.dirname, program) })
  Object.defineProperty(MediaEngineLive, "layer", { value: instead })
}
// Only now: the process's layer is made when its module is loaded.
const { VideoProcessLive } = await import("../../../src/layers/VideoProcessLive.ts")

// The process is up before its fault begins.
launchProcess("video", chosen.pipe(Layer.provide(Health.layer), Layer.provide(VideoProcessLive)))
