import { describe, expect, it } from "@effect/vitest"
import { Option } from "effect"
import * as fc from "fast-check"
import { Container, type MediaFacts, type Refusal } from "../../src/domain/MediaFacts.ts"
import { CheckName, defaultRules, judge } from "../../src/domain/Verification.ts"
import type { Judgement } from "../../src/domain/Verification.ts"

interface Shape {
  readonly container?: Container
  readonly codec?: string
  readonly seconds?: number
  readonly declared?: number
  readonly width?: number
  readonly height?: number
  readonly fps?: number
  readonly frames?: number
  readonly errors?: number
  readonly blackRatio?: number
  readonly frozenRatio?: number
  readonly audioCodec?: string
  readonly audioSeconds?: number
  readonly silenceRatio?: number
  readonly mute?: boolean
}

const facts = (shape: Shape = {}): MediaFacts => {
  const seconds = shape.seconds ?? 10
  const audioSeconds = shape.audioSeconds ?? seconds
  const blackRatio = shape.blackRatio ?? 0
  const frozenRatio = shape.frozenRatio ?? 0
  return {
    _tag: "MediaFacts",
    container: shape.container ?? "mp4",
    bytes: 1_000_000,
    measuredSeconds: seconds,
    declaredSeconds: Option.fromUndefinedOr(shape.declared),
    fingerprint: new Uint8Array(),
    pictures: { thumbnail: Option.none(), contactSheet: Option.none() },
    video: {
      codec: shape.codec ?? "h264",
      width: shape.width ?? 1280,
      height: shape.height ?? 720,
      fps: shape.fps ?? 30,
      framesDecoded: shape.frames ?? 300,
      decodeErrors: shape.errors ?? 0,
      black: { seconds: blackRatio * seconds, ratio: blackRatio, intervals: [] },
      frozen: { seconds: frozenRatio * seconds, ratio: frozenRatio, intervals: [] }
    },
    audio: shape.mute === true ? Option.none() : Option.some({
      codec: shape.audioCodec ?? "aac",
      channels: 2,
      sampleRate: 48_000,
      measuredSeconds: audioSeconds,
      decodeErrors: 0,
      meanVolumeDb: -20,
      maxVolumeDb: -3,
      silenceSeconds: (shape.silenceRatio ?? 0) * audioSeconds
    })
  }
}

const failing = (judgement: Judgement) =>
  judgement.checks.filter((check) => check.outcome === "fail").map((check) => check.name)
const verdict = (shape: Shape, rules = defaultRules) => {
  const judgement = judge(facts(shape), rules)
  return [judgement.outcome, failing(judgement)]
}
const approved = ["approved", []]
const passing = (rules: typeof defaultRules) =>
  Container.literals.filter((container) => judge(facts({ container }), rules).outcome === "approved")
const rank = { approved: 0, needs_review: 1, rejected: 2 } as const

const ratio = fc.double({ min: 0, max: 1, noNaN: true })
const shapes = fc.record({
  seconds: fc.double({ min: 0, max: 700, noNaN: true }),
  width: fc.integer({ min: 1, max: 5_000 }),
  height: fc.integer({ min: 1, max: 5_000 }),
  fps: fc.double({ min: 0, max: 300, noNaN: true }),
  errors: fc.integer({ min: 0, max: 3 }),
  blackRatio: ratio,
  frozenRatio: ratio,
  silenceRatio: ratio,
  mute: fc.boolean(),
  codec: fc.constantFrom("h264", "mpeg2video", "vp9")
})

describe("judge, at the limits", () => {
  it("allows a duration on the bounds and refuses one outside them", () => {
    expect(verdict({ seconds: 1 })).toEqual(approved)
    expect(verdict({ seconds: 600 })).toEqual(approved)
    expect(verdict({ seconds: 0.999 })).toEqual(["rejected", ["duration"]])
    expect(verdict({ seconds: 600.001 })).toEqual(["rejected", ["duration"]])
  })

  it("judges the sides of a picture without regard to orientation", () => {
    expect(verdict({ width: 320, height: 240 })).toEqual(approved)
    expect(verdict({ width: 240, height: 320 })).toEqual(approved)
    expect(verdict({ width: 319, height: 240 })).toEqual(["rejected", ["resolution"]])
    expect(verdict({ width: 320, height: 239 })).toEqual(["rejected", ["resolution"]])
    expect(verdict({ width: 4096, height: 2176 })).toEqual(approved)
    expect(verdict({ width: 4096, height: 2177 })).toEqual(["rejected", ["resolution"]])
  })

  it("leaves black between the two bounds to a person and refuses it above", () => {
    expect(verdict({ blackRatio: 0.35 })).toEqual(approved)
    expect(verdict({ blackRatio: 0.351 })).toEqual(["needs_review", []])
    expect(verdict({ blackRatio: 0.5 })).toEqual(["needs_review", []])
    expect(verdict({ blackRatio: 0.501 })).toEqual(["rejected", ["black_frames"]])
  })

  it("leaves what is frozen between the two bounds to a person and refuses it above", () => {
    expect(verdict({ frozenRatio: 0.35 })).toEqual(approved)
    expect(verdict({ frozenRatio: 0.351 })).toEqual(["needs_review", []])
    expect(verdict({ frozenRatio: 0.8 })).toEqual(["needs_review", []])
    expect(verdict({ frozenRatio: 0.801 })).toEqual(["rejected", ["frozen_frames"]])
  })

  it("leaves silence between the two bounds to a person and refuses it above", () => {
    expect(verdict({ silenceRatio: 0.75 })).toEqual(approved)
    expect(verdict({ silenceRatio: 0.76 })).toEqual(["needs_review", []])
    expect(verdict({ silenceRatio: 0.91 })).toEqual(["rejected", ["audio"]])
  })

  it("counts what the audio track leaves out as silence", () => {
    expect(verdict({ seconds: 10, audioSeconds: 0.5 })).toEqual(["rejected", ["audio"]])
    expect(verdict({ seconds: 10, audioSeconds: 2 })).toEqual(["needs_review", []])
  })

  it("refuses a single decode error", () => {
    expect(verdict({ errors: 1 })).toEqual(["rejected", ["decodes"]])
    expect(verdict({ frames: 0 })).toEqual(["rejected", ["decodes"]])
  })

  it("refuses a video that ends well before its declared end", () => {
    expect(verdict({ seconds: 10, declared: 10.5 })).toEqual(approved)
    expect(verdict({ seconds: 10, declared: 10.51 })).toEqual(["rejected", ["decodes"]])
    expect(verdict({ seconds: 10, declared: 4 })).toEqual(approved)
  })

  it("tells containers apart, takes for MP4 what MP4 is the general form of, and all of them by default", () => {
    expect(passing(defaultRules)).toEqual(Container.literals)
    expect(passing({ ...defaultRules, containers: ["mp4"] })).toEqual(["mp4", "m4a", "3gp", "3g2", "mj2"])
    for (const one of ["mov", "3gp", "m4a", "webm", "matroska"]) {
      expect(passing({ ...defaultRules, containers: [one] })).toEqual([one])
    }
  })

  it("judges by rules of an earlier version as it did when they were set: a name stands for all that its demuxer reads", () => {
    const old = { ...defaultRules, version: 2 } as const
    expect(passing({ ...old, containers: ["3gp"] })).toEqual(["mp4", "mov", "m4a", "3gp", "3g2", "mj2"])
    expect(passing({ ...old, containers: ["webm"] })).toEqual(["webm", "matroska"])
  })

  it("knows a codec by exactly one name, and PCM as a family", () => {
    expect(verdict({ codec: "h264x" })).toEqual(["rejected", ["codec"]])
    expect(verdict({ audioCodec: "pcm_s16le" })).toEqual(approved)
    expect(verdict({ audioCodec: "ac3" })).toEqual(["rejected", ["audio"]])
  })

  it("holds the frame rate to its bounds and does not guess an unknown one", () => {
    expect(verdict({ fps: 5 })).toEqual(approved)
    expect(verdict({ fps: 4.9 })).toEqual(["rejected", ["frame_rate"]])
    expect(verdict({ fps: 121.1 })).toEqual(["rejected", ["frame_rate"]])
    expect(verdict({ fps: 0 })).toEqual(["needs_review", []])
  })

  it("asks for sound only where the rules do", () => {
    expect(verdict({ mute: true })).toEqual(["rejected", ["audio"]])
    const silent = { ...defaultRules, audioRequired: false }
    expect(verdict({ mute: true }, silent)).toEqual(approved)
    expect(verdict({ silenceRatio: 1 }, silent)).toEqual(approved)
  })
})

describe("judge, for everything", () => {
  it("reports every check once, in order, and a reason for every one that decided", () => {
    fc.assert(fc.property(shapes, (shape) => {
      const { checks, outcome, reasons } = judge(facts(shape), defaultRules)
      const decisive = outcome === "rejected" ? "fail" : "unsure"
      const decided = checks.filter((check) => check.outcome === decisive).map((check) => check.name)
      expect(checks.map((check) => check.name)).toEqual(CheckName.literals)
      expect(reasons.map((reason) => reason.split(":")[0])).toEqual(decided)
      expect(outcome === "approved").toBe(checks.every((check) => check.outcome === "pass"))
    }))
  })

  it("never judges better when the video gets worse", () => {
    const worse = fc.record({
      black: ratio,
      silence: ratio,
      errors: fc.integer({ min: 0, max: 2 }),
      mute: fc.boolean()
    })
    fc.assert(fc.property(shapes, worse, (shape, by) => {
      const before = judge(facts(shape), defaultRules).outcome
      const after = judge(
        facts({
          ...shape,
          blackRatio: Math.max(shape.blackRatio, by.black),
          silenceRatio: Math.max(shape.silenceRatio, by.silence),
          errors: shape.errors + by.errors,
          mute: shape.mute || by.mute
        }),
        defaultRules
      ).outcome
      expect(rank[after]).toBeGreaterThanOrEqual(rank[before])
    }))
  })

  it("never judges better when the rules get stricter", () => {
    fc.assert(fc.property(shapes, ratio, ratio, (shape, black, silence) => {
      const strict = {
        ...defaultRules,
        reviewBlackRatio: Math.min(defaultRules.reviewBlackRatio, black),
        maxBlackRatio: Math.min(defaultRules.maxBlackRatio, black),
        reviewSilenceRatio: Math.min(defaultRules.reviewSilenceRatio, silence),
        maxSilenceRatio: Math.min(defaultRules.maxSilenceRatio, silence)
      }
      expect(rank[judge(facts(shape), strict).outcome]).toBeGreaterThanOrEqual(
        rank[judge(facts(shape), defaultRules).outcome]
      )
    }))
  })

  it("ends every refusal of the engine in the one check that it decides, with its reason, the rest not measured", () => {
    const detail = "a detail of the engine"
    const refusals: ReadonlyArray<readonly [Refusal, CheckName, "rejected" | "needs_review", string]> = [
      [{ _tag: "Empty" }, "container", "rejected", "empty"],
      [{ _tag: "NotAVideo", detail }, "container", "rejected", detail],
      [{ _tag: "Truncated", detail }, "decodes", "rejected", detail],
      [{ _tag: "Undecodable", codec: "av1", detail }, "decodes", "rejected", "av1"],
      [{ _tag: "TooLong", seconds: 601 }, "duration", "rejected", "601.00 s"],
      [{ _tag: "TooManyPixels", width: 16_384, height: 16_384 }, "resolution", "rejected", "16384x16384"],
      [{ _tag: "TooCostly", detail }, "decodes", "needs_review", detail]
    ]
    for (const [refusal, name, expected, words] of refusals) {
      const { checks, outcome, reasons } = judge(refusal, defaultRules)
      expect(outcome).toBe(expected)
      expect(reasons).toHaveLength(1)
      expect(reasons[0]).toMatch(new RegExp(`^${name}: .*${words}`))
      expect(checks.map((check) => check.name)).toEqual(CheckName.literals)
      const measured = checks.filter((check) => check.name !== "seen_before" && check.measured !== "not measured")
      expect(measured.map((check) => check.name)).toEqual([name])
    }
  })
})
