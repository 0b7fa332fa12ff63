import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  ParentBasedSampler,
  type Sampler,
  TraceIdRatioBasedSampler
} from "@opentelemetry/sdk-trace-base"
import { Config, Effect, Schema } from "effect"

const names = [
  "always_on",
  "always_off",
  "traceidratio",
  "parentbased_always_on",
  "parentbased_always_off",
  "parentbased_traceidratio"
] as const

const Ratio = Schema.FiniteFromString.check(Schema.isBetween({ minimum: 0, maximum: 1 }))

const make = (name: (typeof names)[number], ratio: number): Sampler => {
  switch (name) {
    case "always_on":
      return new AlwaysOnSampler()
    case "always_off":
      return new AlwaysOffSampler()
    case "traceidratio":
      return new TraceIdRatioBasedSampler(ratio)
    case "parentbased_always_on":
      return new ParentBasedSampler({ root: new AlwaysOnSampler() })
    case "parentbased_always_off":
      return new ParentBasedSampler({ root: new AlwaysOffSampler() })
    case "parentbased_traceidratio":
      return new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) })
  }
}

/** The standard variables. The SDK reads them too, but takes a misspelt sampler for "sample everything", silently. */
export const sampler: Effect.Effect<{ readonly sampler: Sampler; readonly off: boolean }, Config.ConfigError> = Effect
  .gen(function*() {
    const name = yield* Config.Literals(names, "OTEL_TRACES_SAMPLER").pipe(Config.withDefault("parentbased_always_on"))
    const ratio = yield* Config.schema(Ratio, "OTEL_TRACES_SAMPLER_ARG").pipe(Config.withDefault(1))
    return { sampler: make(name, ratio), off: name === "always_off" || name === "parentbased_always_off" }
  })
