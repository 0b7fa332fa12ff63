import { Context, Effect, Layer, Option } from "effect"
import type { SubmissionId } from "../domain/Ids.ts"
import type { Unavailable } from "../domain/Problem.ts"
import type { SettledVerdict } from "../domain/Review.ts"
import { withDatabase } from "./Database.ts"
import { ReviewStore, type VerdictRow } from "./ReviewStore.ts"

/**
 * The video bulkhead's public face for the money side, in the API process and under the API's own role. What is paid
 * rests on the verdict itself, never on what a command says: commands come from the process that decodes strangers' files.
 */
export class Verdicts extends Context.Service<Verdicts, {
  /** The verdict on a campaign's submission; none while there is none. */
  of(id: SubmissionId): Effect.Effect<Option.Option<SettledVerdict>, Unavailable>
}>()("midnight/services/video/Verdicts") {
  static readonly layer = Layer.effect(
    Verdicts,
    Effect.gen(function*() {
      const store = yield* ReviewStore
      return Verdicts.of({
        of: Effect.fn("Verdicts.of")(function*(id) {
          return Option.flatMap(yield* withDatabase(store.verdict(id)), settled)
        })
      })
    })
  )
}

const settled = ({ campaignId, decidedBy, outcome, rulesVersion, sha256, userId }: VerdictRow) =>
  Option.map(campaignId, (campaignId): SettledVerdict => ({
    outcome,
    campaignId,
    userId,
    reference: { verdict: outcome, decidedBy, videoSha256: sha256, rulesVersion }
  }))
