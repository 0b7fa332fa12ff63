import { Effect, Option, Schema } from "effect"
import type { Container, Findings, MediaFacts, Refusal } from "./MediaFacts.ts"
import { judgeSighting, seenBeforePolicies, type Sighting, sightingInWords } from "./Sighting.ts"

/** The checks of a video, in the order in which they are reported. */
export const CheckName = Schema.Literals([
  "container",
  "codec",
  "decodes",
  "duration",
  "resolution",
  "frame_rate",
  "audio",
  "black_frames",
  "frozen_frames",
  "seen_before"
])
export type CheckName = typeof CheckName.Type

export const Check = Schema.Struct({
  name: CheckName,
  outcome: Schema.Literals(["pass", "fail", "unsure"]),
  measured: Schema.String,
  limit: Schema.String
})
export type Check = typeof Check.Type

export const Outcome = Schema.Literals(["approved", "rejected", "needs_review"])
export type Outcome = typeof Outcome.Type

/** Reasons are sentences for a person, each led by the name of the check it comes from. */
export const Judgement = Schema.Struct({
  outcome: Outcome,
  checks: Schema.Array(Check),
  reasons: Schema.Array(Schema.String)
})
export type Judgement = typeof Judgement.Type

// Limits of the engine's sandbox: no rule can ask for more than it lets through.
const longestSeconds = 600
const mostPixels = 8_912_896
const defaulted = <S extends Schema.Constraint>(schema: S, value: S["Encoded"]) =>
  Schema.withDecodingDefaultKey<S>(Effect.succeed(value))(schema)

const Ratio = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))
const Seconds = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: longestSeconds }))
const Side = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 16_384 }))
const Rate = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1_000 }))
const Names = Schema.Array(Schema.String.check(Schema.isMaxLength(32))).check(Schema.isMaxLength(32))

/**
 * Version 1 had no frozen frames and did not ask whether a video was seen before. Before version 3 the name of one container
 * allowed all that the same demuxer reads, and it still does in rules that were set then.
 */
const rulesVersion = 3

/**
 * What a video must be. Every member has a default, so `{}` decodes to the default rules. A ratio above its `review` bound
 * is left to a person, above its `max` it is refused. Sides do not depend on orientation: a portrait video meets them too.
 */
export const VerificationRules = Schema.Struct({
  version: defaulted(Schema.Literals([1, 2, 3]), rulesVersion),
  containers: defaulted(Names, ["mov", "mp4", "matroska", "webm"]),
  videoCodecs: defaulted(Names, ["h264", "hevc", "vp8", "vp9", "av1"]),
  audioCodecs: defaulted(Names, ["aac", "opus", "mp3", "vorbis", "pcm"]),
  minSeconds: defaulted(Seconds, 1),
  maxSeconds: defaulted(Seconds, longestSeconds),
  minLongSide: defaulted(Side, 320),
  minShortSide: defaulted(Side, 240),
  maxPixels: defaulted(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: mostPixels })), mostPixels),
  minFps: defaulted(Rate, 5),
  maxFps: defaulted(Rate, 121),
  reviewBlackRatio: defaulted(Ratio, 0.35),
  maxBlackRatio: defaulted(Ratio, 0.5),
  reviewFrozenRatio: defaulted(Ratio, 0.35),
  maxFrozenRatio: defaulted(Ratio, 0.8),
  audioRequired: defaulted(Schema.Boolean, true),
  reviewSilenceRatio: defaulted(Ratio, 0.75),
  maxSilenceRatio: defaulted(Ratio, 0.9),
  seenBefore: defaulted(Schema.Literals(seenBeforePolicies), "reject")
}).annotate({ identifier: "VerificationRules" })
export type VerificationRules = typeof VerificationRules.Type

export const defaultRules: VerificationRules = Schema.decodeSync(VerificationRules)({})

const seconds = (value: number) => `${value.toFixed(2)} s`
const percent = (ratio: number) => `${(ratio * 100).toFixed(1)} %`

const limits = (rules: VerificationRules): Record<CheckName, string> => ({
  container: `one of ${rules.containers.join(", ")}`,
  codec: `one of ${rules.videoCodecs.join(", ")}`,
  decodes: "every frame, to the declared end, without error",
  duration: `${seconds(rules.minSeconds)} to ${seconds(rules.maxSeconds)}`,
  resolution: `${rules.minLongSide}x${rules.minShortSide} or more, at most ${rules.maxPixels} pixels`,
  frame_rate: `${rules.minFps} to ${rules.maxFps} frames per second`,
  audio: rules.audioRequired
    ? `one of ${rules.audioCodecs.join(", ")}, silent for at most ${percent(rules.maxSilenceRatio)}`
    : `none, or one of ${rules.audioCodecs.join(", ")}`,
  black_frames: `black for at most ${percent(rules.maxBlackRatio)}`,
  frozen_frames: `frozen for at most ${percent(rules.maxFrozenRatio)}`,
  seen_before: {
    reject: "not submitted before",
    review: "not submitted before, or a person agrees",
    allow: "may have been submitted before"
  }[rules.seenBefore]
})

type Finding = { readonly outcome: Check["outcome"]; readonly measured: string }
const verdictOn = (passes: boolean, measured: string): Finding => ({ outcome: passes ? "pass" : "fail", measured })

const banded = (ratio: number, review: number, max: number): Check["outcome"] =>
  ratio > max ? "fail" : ratio > review ? "unsure" : "pass"

const mp4Family: ReadonlyArray<string> = ["mp4", "m4a", "3gp", "3g2", "mj2"]
const demuxers: ReadonlyArray<ReadonlyArray<string>> = [[...mp4Family, "mov"], ["matroska", "webm"]]

const containerAllowed = (container: Container, { containers, version }: VerificationRules): boolean => {
  const names = version < 3
    ? demuxers.find((family) => family.includes(container)) ?? []
    : mp4Family.includes(container)
    ? ["mp4", container]
    : [container]
  return names.some((name) => containers.includes(name))
}

const resolution = ({ height, width }: MediaFacts["video"], rules: VerificationRules) =>
  verdictOn(
    Math.max(width, height) >= rules.minLongSide && Math.min(width, height) >= rules.minShortSide
      && width * height <= rules.maxPixels,
    `${width}x${height}`
  )

const decodes = (facts: MediaFacts): Finding => {
  const frames = facts.video.framesDecoded
  const errors = facts.video.decodeErrors + (facts.audio._tag === "Some" ? facts.audio.value.decodeErrors : 0)
  const declared = Option.getOrElse(facts.declaredSeconds, () => facts.measuredSeconds)
  // Containers round their duration, and sound may outlast the picture a little.
  const early = facts.measuredSeconds < declared - Math.max(0.5, declared * 0.02)
    ? `, ends at ${seconds(facts.measuredSeconds)} of ${seconds(declared)}`
    : ""
  return verdictOn(frames > 0 && errors === 0 && early === "", `${frames} frames, ${errors} errors${early}`)
}

// PCM is a family: pcm_s16le and its kin, all named by their prefix.
const audioAllowed = (codec: string, rules: VerificationRules) =>
  rules.audioCodecs.some((allowed) => codec === allowed || (allowed === "pcm" && codec.startsWith("pcm_")))

const audio = (facts: MediaFacts, rules: VerificationRules): Finding => {
  if (facts.audio._tag === "None") return verdictOn(!rules.audioRequired, "no audio")
  const { channels, codec, maxVolumeDb, measuredSeconds, sampleRate, silenceSeconds } = facts.audio.value
  // Sound must cover the picture: what the audio track leaves out counts as silence.
  const span = Math.max(measuredSeconds, facts.measuredSeconds)
  const ratio = span === 0 ? 1 : Math.min(1, (silenceSeconds + span - measuredSeconds) / span)
  const measured = `${codec}, ${channels} channels, ${sampleRate} Hz, peak ${maxVolumeDb.toFixed(1)} dB, `
    + `silent for ${percent(ratio)}`
  if (!audioAllowed(codec, rules)) return verdictOn(false, measured)
  if (!rules.audioRequired) return verdictOn(true, measured)
  return { outcome: banded(ratio, rules.reviewSilenceRatio, rules.maxSilenceRatio), measured }
}

const frameRate = (facts: MediaFacts, rules: VerificationRules): Finding =>
  facts.video.fps === 0
    ? { outcome: "unsure", measured: "too few frames to tell" }
    : verdictOn(
      facts.video.fps >= rules.minFps && facts.video.fps <= rules.maxFps,
      `${facts.video.fps.toFixed(2)} frames per second`
    )

const measuredChecks = (
  facts: MediaFacts,
  rules: VerificationRules
): Record<Exclude<CheckName, "seen_before">, Finding> => ({
  container: verdictOn(containerAllowed(facts.container, rules), facts.container),
  codec: verdictOn(rules.videoCodecs.includes(facts.video.codec), facts.video.codec),
  decodes: decodes(facts),
  duration: verdictOn(
    facts.measuredSeconds >= rules.minSeconds && facts.measuredSeconds <= rules.maxSeconds,
    seconds(facts.measuredSeconds)
  ),
  resolution: resolution(facts.video, rules),
  frame_rate: frameRate(facts, rules),
  audio: audio(facts, rules),
  black_frames: {
    outcome: banded(facts.video.black.ratio, rules.reviewBlackRatio, rules.maxBlackRatio),
    measured: `black for ${percent(facts.video.black.ratio)}, ${seconds(facts.video.black.seconds)}`
  },
  frozen_frames: {
    outcome: banded(facts.video.frozen.ratio, rules.reviewFrozenRatio, rules.maxFrozenRatio),
    measured: `frozen for ${percent(facts.video.frozen.ratio)}, ${seconds(facts.video.frozen.seconds)}`
  }
})

const notMeasured: Finding = { outcome: "unsure", measured: "not measured" }

/** The one check that a refusal fails, with what was seen; the others were never reached. */
const refused = (refusal: Refusal): Partial<Record<CheckName, Finding>> => {
  switch (refusal._tag) {
    case "Empty":
      return { container: verdictOn(false, "an empty file") }
    case "NotAVideo":
      return { container: verdictOn(false, `not a video: ${refusal.detail}`) }
    case "Truncated":
      return { decodes: verdictOn(false, `cut off: ${refusal.detail}`) }
    case "Undecodable":
      return { decodes: verdictOn(false, `${refusal.codec} cannot be decoded: ${refusal.detail}`) }
    case "TooLong":
      return { duration: verdictOn(false, `${seconds(refusal.seconds)} or more`) }
    case "TooManyPixels":
      return { resolution: verdictOn(false, `${refusal.width}x${refusal.height}`) }
    // Nothing is known to be wrong with it, so a person decides.
    case "TooCostly":
      return { decodes: { outcome: "unsure", measured: `not to its end: ${refusal.detail}` } }
  }
}

const outcomeOf = (checks: ReadonlyArray<Check>): Outcome => {
  if (checks.some((check) => check.outcome === "fail")) return "rejected"
  return checks.some((check) => check.outcome === "unsure") ? "needs_review" : "approved"
}

/** Judges what was found by the rules. Every check is reported; one that was never reached is `unsure`, "not measured". */
export const judge = (
  findings: Findings,
  rules: VerificationRules,
  sighting: Sighting = { _tag: "Nothing" }
): Judgement => {
  const limit = limits(rules)
  const found: Partial<Record<CheckName, Finding>> = {
    ...(findings._tag === "MediaFacts" ? measuredChecks(findings, rules) : refused(findings)),
    seen_before: { outcome: judgeSighting(sighting, rules.seenBefore), measured: sightingInWords(sighting) }
  }
  const checks = CheckName.literals.map((name): Check => {
    const { measured, outcome } = found[name] ?? notMeasured
    return { name, outcome, measured, limit: limit[name] }
  })
  const outcome = outcomeOf(checks)
  const decisive = outcome === "rejected" ? "fail" : "unsure"
  const reasons = checks.filter((check) => check.outcome === decisive && found[check.name] !== undefined)
    .map((check) => `${check.name}: ${check.measured}; allowed: ${check.limit}`)
  return { outcome, checks, reasons }
}
