import { Option } from "effect"
import type { MediaFacts } from "../../src/domain/MediaFacts.ts"
import { type Check, type CheckName, defaultRules, type VerificationRules } from "../../src/domain/Verification.ts"
import type { Encoding, Film } from "./film.ts"

export type Outcome = Check["outcome"]
type Shot = Omit<Film, "path">

export interface Side {
  readonly truth: number
  readonly expected: Outcome
  readonly film: Shot
  /** Changes the file once it is written. */
  readonly forge?: (bytes: Buffer) => void
}

/** A limit of a check, with clips as near to it as is asked: within 2 % or a frame, on either side. */
export interface Limit {
  readonly check: CheckName
  readonly name: string
  readonly at: number
  readonly unit: string
  readonly rules: VerificationRules
  readonly measured: (facts: MediaFacts) => number
  readonly sides: ReadonlyArray<Side>
}

const fps = 25
const frames = 8 * fps

const shot = (encoding: Encoding, part: Partial<Shot> = {}): Shot => ({
  encoding,
  seed: 4,
  frames,
  fps,
  width: 640,
  height: 360,
  shows: () => "scene",
  voice: () => 0.4,
  ...part
})

/** So many frames in two stretches, so that four edges are to be found and not two. */
const stretches = (count: number, what: "black" | "frozen"): Film["shows"] => (frame) => {
  const half = Math.floor(count / 2)
  const second = 35 + half
  const inside = (from: number, length: number) =>
    // The first picture of a frozen stretch is the one that freezes.
    frame >= (what === "frozen" ? from + 1 : from) && frame < from + length
  return inside(20, half) || inside(second, count - half) ? what : "scene"
}

const shareOf = (encoding: Encoding, what: "black" | "frozen", bound: "review" | "max"): Limit => {
  const at = {
    black: { review: defaultRules.reviewBlackRatio, max: defaultRules.maxBlackRatio },
    frozen: { review: defaultRules.reviewFrozenRatio, max: defaultRules.maxFrozenRatio }
  }[what][bound]
  const outcomes: ReadonlyArray<Outcome> = bound === "review" ? ["pass", "unsure"] : ["unsure", "fail"]
  return {
    check: `${what}_frames`,
    name: `${bound}, ${encoding}`,
    at: 100 * at,
    unit: "%",
    rules: defaultRules,
    measured: ({ video }) => 100 * video[what].ratio,
    // The limit lies on a frame: the nearest that are on either side.
    sides: outcomes.map((expected, side) => {
      const count = Math.round(at * frames) + (side === 0 ? -1 : 1)
      return { truth: (100 * count) / frames, expected, film: shot(encoding, { shows: stretches(count, what) }) }
    })
  }
}

const seconds = (facts: MediaFacts) => facts.measuredSeconds

const lasting = (name: "minSeconds" | "maxSeconds", limit: number, outcomes: readonly [Outcome, Outcome]): Limit => ({
  check: "duration",
  name,
  at: limit,
  unit: "s",
  rules: { ...defaultRules, [name]: limit },
  measured: seconds,
  sides: outcomes.map((expected, side) => {
    // On the limit itself, and a frame beyond it.
    const count = limit * fps + (name === "minSeconds" ? side - 1 : side)
    return { truth: count / fps, expected, film: shot("h264", { frames: count }) }
  })
})

const rate = (name: "minFps" | "maxFps", limit: number, rates: ReadonlyArray<readonly [number, Outcome]>): Limit => ({
  check: "frame_rate",
  name,
  at: limit,
  unit: "per s",
  rules: { ...defaultRules, [name]: limit },
  measured: ({ video }) => video.fps,
  sides: rates.map(([fps, expected]) => ({ truth: fps, expected, film: shot("h264", { fps, frames: 4 * fps }) }))
})

/** Pictures have even sides, as good as all encoders want them. */
const side = (name: "minLongSide" | "minShortSide", limit: number): Limit => ({
  check: "resolution",
  name,
  at: limit,
  unit: "px",
  rules: { ...defaultRules, [name]: limit },
  measured: ({ video }) => name === "minLongSide" ? video.width : video.height,
  sides: ([[limit - 2, "fail"], [limit, "pass"]] as const).map(([length, expected]) => ({
    truth: length,
    expected,
    film: shot("h264", { frames: 50, ...(name === "minLongSide" ? { width: length } : { height: length }) })
  }))
})

/** Silent at the start for so much of the clip. */
const silentFor = (percent: number) => (at: number) => at < (percent / 100) * (frames / fps) ? 0 : 0.4

const silent = (encoding: Encoding, bound: "review" | "max"): Limit => {
  const at = 100 * (bound === "review" ? defaultRules.reviewSilenceRatio : defaultRules.maxSilenceRatio)
  const outcomes: ReadonlyArray<Outcome> = bound === "review" ? ["pass", "unsure"] : ["unsure", "fail"]
  return {
    check: "audio",
    name: `silent, ${bound}, ${encoding === "vp8" ? "opus" : "aac"}`,
    at,
    unit: "%",
    rules: defaultRules,
    measured: (facts) =>
      Option.match(facts.audio, {
        onNone: () => 100,
        onSome: (one) => (100 * one.silenceSeconds) / facts.measuredSeconds
      }),
    sides: outcomes.map((expected, side) => {
      const truth = at * (side === 0 ? 0.98 : 1.02)
      return { truth, expected, film: shot(encoding, { voice: silentFor(truth) }) }
    })
  }
}

/** A voice at this level all the time: sound above the limit of silence, none below it. */
const quiet: Limit = {
  check: "audio",
  name: "silence",
  at: -50,
  unit: "dBFS",
  rules: defaultRules,
  measured: (facts) => Option.match(facts.audio, { onNone: () => 0, onSome: (one) => one.maxVolumeDb }),
  sides: ([[-49, "pass"], [-51, "fail"]] as const).map(([truth, expected]) => ({
    truth,
    expected,
    // Of a voice of amplitude 1 the loudest sample is at -0.7 dB.
    film: shot("h264", { voice: () => 10 ** ((truth + 0.7) / 20) })
  }))
}

/** Has the WebM's header say that it lasts so long: the element Duration, milliseconds in a double. */
const declare = (length: number) => (bytes: Buffer) => {
  bytes.writeDoubleBE(length * 1_000, bytes.indexOf(Buffer.from([0x44, 0x89, 0x88])) + 3)
}

const early: Limit = {
  check: "decodes",
  name: "ends before its declared end",
  at: 8.5,
  unit: "s declared",
  rules: defaultRules,
  measured: ({ declaredSeconds }) => Option.getOrElse(declaredSeconds, () => 0),
  sides: ([[8.48, "pass"], [8.52, "fail"]] as const).map(([truth, expected]) => ({
    truth,
    expected,
    film: shot("vp8"),
    forge: declare(truth)
  }))
}

const bounds = ["review", "max"] as const

/** Every limit that is a number, on every encoding that could move it. */
export const allLimits: ReadonlyArray<Limit> = [
  lasting("minSeconds", 4, ["fail", "pass"]),
  lasting("maxSeconds", 6, ["pass", "fail"]),
  side("minLongSide", 640),
  side("minShortSide", 360),
  rate("minFps", 50, [[49, "fail"], [50, "pass"]]),
  rate("maxFps", 50, [[50, "pass"], [51, "fail"]]),
  early,
  ...(["h264", "h264 poor", "vp8"] as const).flatMap((encoding) =>
    (["black", "frozen"] as const).flatMap((what) => bounds.map((bound) => shareOf(encoding, what, bound)))
  ),
  ...(["h264", "vp8"] as const).flatMap((encoding) => bounds.map((bound) => silent(encoding, bound))),
  quiet
]

/** Some of them, for a test that has seconds and not minutes. */
export const someLimits: ReadonlyArray<Limit> = [
  lasting("maxSeconds", 4, ["pass", "fail"]),
  shareOf("h264", "black", "max"),
  shareOf("h264 poor", "frozen", "max"),
  silent("h264", "max")
]
