import { Context, Effect, Layer, Option } from "effect"
import type { SubmissionId } from "../domain/Ids.ts"
import type { Unavailable } from "../domain/Problem.ts"
import { compare, fingerprintOf, indexKeys, lookupKeys } from "../domain/SeenBefore.ts"
import { bestOf, judgeMatch, type Sighting } from "../domain/Sighting.ts"
import { withDatabase } from "./Database.ts"
import { FingerprintStore } from "./FingerprintStore.ts"

/**
 * Looks a submission up among all that came before it, of any member and campaign. First it is put in the order, then
 * what stands before it is looked at: of two equal videos that come at the same instant, exactly one finds the other.
 */
export class SeenBefore extends Context.Service<SeenBefore, {
  /** `frames` is the fingerprint, empty for a file that has none. Repeated, it answers by the same place in the order. */
  lookUp(submissionId: SubmissionId, frames: Uint8Array): Effect.Effect<Sighting, Unavailable>
}>()("midnight/services/video/SeenBefore") {
  static readonly layer = Layer.effect(
    SeenBefore,
    Effect.gen(function*() {
      const store = yield* FingerprintStore

      const lookUp = Effect.fn("SeenBefore.lookUp")(function*(submissionId: SubmissionId, frames: Uint8Array) {
        const mine = fingerprintOf(frames)
        const position = yield* withDatabase(store.remember({ submissionId, frames, keys: indexKeys(mine) }))
        const file = yield* withDatabase(store.sameFile(position))
        if (Option.isSome(file)) {
          yield* withDatabase(store.keep(position, file.value, { sure: true, match: Option.none() }))
          return { _tag: "SameFile" } as const
        }
        const keys = lookupKeys(mine)
        if (keys.length === 0) return { _tag: "NothingToCompare" } as const
        const candidates = yield* withDatabase(store.candidates(position, keys))
        yield* Effect.annotateCurrentSpan({
          "midnight.fingerprint.keys": keys.length,
          "midnight.fingerprint.candidates": candidates.length
        })
        const found = yield* Effect.forEach(candidates, (candidate) =>
          // Comparing ten minutes with ten minutes takes a while; the heartbeat must not wait for all of them.
          Effect.andThen(
            Effect.yieldNow,
            Effect.sync(() => {
              const match = compare(mine, fingerprintOf(candidate.frames))
              const judged = match === null ? null : judgeMatch(match)
              return match === null || judged === null
                ? []
                : [{ position: candidate.position, sure: judged === "sure", match }]
            })
          ))
        const best = bestOf(found.flat())
        if (best === null) return { _tag: "Nothing" } as const
        const { match, sure } = best
        yield* withDatabase(store.keep(position, best.position, { sure, match: Option.some(match) }))
        return { _tag: "SamePictures", sure, match } as const
      })
      return SeenBefore.of({ lookUp })
    })
  )
}
