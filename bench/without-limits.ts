import { Effect, Layer } from "effect"
import { Limits } from "../src/http/middleware/Limits.ts"

// Loaded into a server before its own modules, for the row that tells what counting costs: nobody is counted.
Object.defineProperty(Limits, "layer", {
  value: Layer.succeed(Limits, { consume: () => Effect.void, telling: (handler) => handler })
})
