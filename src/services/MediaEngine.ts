import { Context, Schema } from "effect"
import type { Effect, Option } from "effect"
import type { Findings } from "../domain/MediaFacts.ts"
import type { VerificationRules } from "../domain/Verification.ts"

/** The engine itself failed, not the file: the same job may succeed when it is tried again. */
export class MediaEngineFailed extends Schema.TaggedError<MediaEngineFailed>()("MediaEngineFailed", {
  reason: Schema.Literals(["crashed", "timed_out", "out_of_memory", "spawn_failed"]),
  detail: Schema.String
}) {}

/** What the engine found, and what it cost. */
export interface MediaReport {
  readonly findings: Findings
  readonly cpuSeconds: number
  /** The child's largest resident size. */
  readonly peakBytes: number
}

/** One wall of the engine's sandbox, and whether this machine has it. */
export interface Guard {
  readonly name: string
  readonly active: boolean
}

/**
 * Measures a stored video in isolation. A file that is no good is a report with a refusal in it; only a failure of the
 * engine is an error. `traceparent` (W3C) is the parent of the work when the calling fiber has no span of its own.
 */
export class MediaEngine extends Context.Service<MediaEngine, {
  readonly guards: ReadonlyArray<Guard>
  analyse(input: {
    readonly path: string
    readonly jobId: string
    readonly rules: VerificationRules
    readonly traceparent: Option.Option<string>
  }): Effect.Effect<MediaReport, MediaEngineFailed>
}>()("midnight/services/video/MediaEngine") {}
