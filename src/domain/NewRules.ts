import { Schema } from "effect"
import { VerificationRules } from "./Verification.ts"

const bounds: ReadonlyArray<readonly [lower: keyof VerificationRules, upper: keyof VerificationRules]> = [
  ["minSeconds", "maxSeconds"],
  ["minShortSide", "minLongSide"],
  ["minFps", "maxFps"],
  ["reviewBlackRatio", "maxBlackRatio"],
  ["reviewFrozenRatio", "maxFrozenRatio"],
  ["reviewSilenceRatio", "maxSilenceRatio"]
]

// What the media child opens and decodes, by FFmpeg's names. Rules that ask for anything else pay for videos that never pass.
const known = {
  containers: /^(mov|mp4|m4a|3gp|3g2|mj2|matroska|webm)$/,
  videoCodecs: /^(h264|hevc|vp8|vp9|av1|mpeg4|mpeg2video|h263)$/,
  audioCodecs: /^(aac|opus|mp3|vorbis|flac|alac|ac3|eac3|amr_nb|amr_wb|pcm(_[a-z0-9]+)?)$/
}
const namesOf = ["containers", "videoCodecs", "audioCodecs"] as const

/** What no video at all could meet, or no person would ever see, with the place where it is said. */
const contradictions = (rules: VerificationRules) => [
  ...bounds.filter(([lower, upper]) => rules[lower] > rules[upper]).map(([lower, upper]) => ({
    path: [lower],
    issue: `This is above ${upper}, ${String(rules[upper])}`
  })),
  ...(rules.minLongSide * rules.minShortSide > rules.maxPixels
    ? [{ path: ["maxPixels"], issue: "This is less than minLongSide x minShortSide" }]
    : []),
  ...(["containers", "videoCodecs"] as const).filter((name) => rules[name].length === 0).map((name) => ({
    path: [name],
    issue: "This allows nothing"
  })),
  ...namesOf.flatMap((list) =>
    rules[list].flatMap((name, at) =>
      known[list].test(name) ? [] : [{ path: [list, at], issue: "Nothing by this name is read here" }]
    )
  ),
  ...(["maxSeconds", "maxFps"] as const).filter((name) => rules[name] === 0).map((name) => ({
    path: [name],
    issue: "This allows nothing"
  })),
  ...(rules.audioRequired && rules.audioCodecs.length === 0
    ? [{ path: ["audioCodecs"], issue: "This allows nothing, and audioRequired asks for sound" }]
    : [])
]

/** Rules that somebody sets. What was stored before stays readable, whatever it says. */
export const NewRules = VerificationRules.check(Schema.makeFilter(contradictions))
