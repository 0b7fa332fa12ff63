import { Schema } from "effect"
import { Findings } from "../../domain/MediaFacts.ts"

/** What the engine asks of its child: one line of JSON on its standard input, which then stays open until the answer. */
export interface Job {
  readonly maxSeconds: number
  readonly maxPixels: number
  /** What the child may spend before it says that the file costs too much. */
  readonly cpuSeconds: number
}

/** A phase of the child's work, in milliseconds of the wall clock; the engine makes a span of it. */
export const Phase = Schema.Struct({
  name: Schema.String.check(Schema.isMaxLength(64)),
  startMs: Schema.Finite,
  endMs: Schema.Finite,
  attributes: Schema.Record(Schema.String, Schema.Union([Schema.String, Schema.Finite]))
})
export type Phase = typeof Phase.Type

/** The child's one line of JSON on its standard output. */
export const Answer = Schema.Struct({
  findings: Findings,
  cpuSeconds: Schema.Finite,
  peakBytes: Schema.Int,
  phases: Schema.Array(Phase).check(Schema.isMaxLength(16))
})
export type Answer = typeof Answer.Type
