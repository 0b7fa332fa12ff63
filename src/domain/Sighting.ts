import type { Match } from "./SeenBefore.ts"

/** What the look-up of a submission among the earlier ones says. */
export type Sighting =
  | { readonly _tag: "Nothing" }
  /** Nothing is like it, but neither is there a picture in it that could be. */
  | { readonly _tag: "NothingToCompare" }
  | { readonly _tag: "SameFile" }
  | { readonly _tag: "SamePictures"; readonly sure: boolean; readonly match: Match }

/** Fewer pictures than these that agree, 1.6 s, happen by themselves. */
const fewestFrames = 8
/** With fewer new pictures than these, the same place may have been filmed twice. */
const fewestDistinct = 4
const leastShare = 0.5
/** How alike pictures of one place must be to ask a person about them. */
const samePlaceBits = 10

/** Whether a match is one for sure or for a person to decide; null when it is none. */
export const judgeMatch = ({ bits, distinct, frames, share }: Match): "sure" | "unsure" | null => {
  const much = frames >= fewestFrames
  if (!much && share < leastShare) return null
  if (distinct < fewestDistinct) return bits <= samePlaceBits ? "unsure" : null
  return much && share >= leastShare ? "sure" : "unsure"
}

/** The match that says most: a sure one before an unsure one, a longer before a shorter. */
export const bestOf = <A extends { readonly sure: boolean; readonly match: Match }>(
  found: ReadonlyArray<A>
): A | null =>
  found.reduce<A | null>(
    (best, one) =>
      best === null || (one.sure && !best.sure) || (one.sure === best.sure && one.match.frames > best.match.frames)
        ? one
        : best,
    null
  )

const at = (seconds: number) => seconds.toFixed(1)

/** In words for the member, who is told when, but never whose or which. */
export const sightingInWords = (sighting: Sighting): string => {
  switch (sighting._tag) {
    case "Nothing":
      return "no earlier video agrees"
    case "NothingToCompare":
      return "no picture in it can be compared"
    case "SameFile":
      return "an earlier video is the same file"
    case "SamePictures": {
      const { from, mirrored, theirFrom, theirTo, to } = sighting.match
      return `${at(from)} to ${at(to)} s shows ${at(theirFrom)} to ${at(theirTo)} s of an earlier video`
        + (mirrored ? ", mirrored" : "")
    }
  }
}

/** What a campaign does about a video that was seen before. */
export const seenBeforePolicies = ["reject", "review", "allow"] as const

export const judgeSighting = (
  sighting: Sighting,
  policy: (typeof seenBeforePolicies)[number]
): "pass" | "unsure" | "fail" => {
  if (policy === "allow" || sighting._tag === "Nothing") return "pass"
  const sure = sighting._tag === "SameFile" || (sighting._tag === "SamePictures" && sighting.sure)
  return sure && policy === "reject" ? "fail" : "unsure"
}
