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
  ...(rules.audioRequired && rules.audioCodecs.length === 0
    ? [{ path: ["audioCodecs"], issue: "This allows nothing, and audioRequired asks for sound" }]
    : [])
]

/** Rules that somebody sets. What was stored before stays readable, whatever it says. */
export const NewRules = VerificationRules.check(Schema.makeFilter(contradictions))
