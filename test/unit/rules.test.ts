import { describe, expect, it } from "@effect/vitest"
import { Cause, Exit, Option, Schema } from "effect"
import { CreateCampaign } from "../../src/domain/Rewards.ts"
import { defaultRules, VerificationRules } from "../../src/domain/Verification.ts"
import { invalidRequest } from "../../src/http/middleware/InputIssues.ts"

describe("VerificationRules", () => {
  it("decodes an empty object to the default rules", () => {
    expect(defaultRules).toMatchObject({ version: 3, minSeconds: 1, maxSeconds: 600, maxPixels: 8_912_896 })
  })

  it("refuses rules that ask for more than the engine's sandbox lets through", () => {
    const accepts = Schema.is(VerificationRules)
    expect(accepts(defaultRules)).toBe(true)
    expect(accepts({ ...defaultRules, maxSeconds: 601 })).toBe(false)
    expect(accepts({ ...defaultRules, maxPixels: 8_912_897 })).toBe(false)
    expect(accepts({ ...defaultRules, maxBlackRatio: 1.1 })).toBe(false)
  })
})

/** The places that are wrong, as the route that takes them answers. */
const wrong = (rules: object) => {
  const campaign = { title: "T", brief: "B", reward: { amount: 1, currency: "NGN" }, slots: 1, rules }
  const result = Schema.decodeUnknownExit(CreateCampaign)(campaign)
  const error = Exit.isFailure(result) ? Option.getOrUndefined(Cause.findErrorOption(result.cause)) : undefined
  return error === undefined ? [] : invalidRequest("Payload", error).errors.map(({ pointer }) => pointer)
}

describe("rules that somebody sets", () => {
  it("are refused where they contradict themselves, each at its place", () => {
    expect(wrong({})).toEqual([])
    expect(wrong({ minSeconds: 10, maxSeconds: 10 })).toEqual([])
    expect(wrong({ minSeconds: 11, maxSeconds: 10 })).toEqual(["/body/rules/minSeconds"])
    expect(wrong({ maxFps: 4 })).toEqual(["/body/rules/minFps"])
    expect(wrong({ reviewFrozenRatio: 0.9 })).toEqual(["/body/rules/reviewFrozenRatio"])
    expect(wrong({ maxBlackRatio: 0.1, maxSilenceRatio: 0.1 })).toEqual([
      "/body/rules/reviewBlackRatio",
      "/body/rules/reviewSilenceRatio"
    ])
    expect(wrong({ minShortSide: 500, minLongSide: 400 })).toEqual(["/body/rules/minShortSide"])
    expect(wrong({ maxPixels: 100 })).toEqual(["/body/rules/maxPixels"])
    expect(wrong({ containers: [], audioCodecs: [] })).toEqual(["/body/rules/containers", "/body/rules/audioCodecs"])
    expect(wrong({ audioCodecs: [], audioRequired: false })).toEqual([])
    expect(wrong({ minSeconds: 0, maxSeconds: 0 })).toEqual(["/body/rules/maxSeconds"])
    expect(wrong({ minFps: 0, maxFps: 0 })).toEqual(["/body/rules/maxFps"])
  })

  it("are refused where they name what the media child does not read", () => {
    expect(wrong({ videoCodecs: ["h264", "H264", "prores"] })).toEqual([
      "/body/rules/videoCodecs/1",
      "/body/rules/videoCodecs/2"
    ])
    expect(wrong({ containers: ["avi"], audioCodecs: ["pcm_s16le", "pcm", "a\u0000b"] })).toEqual([
      "/body/rules/containers/0",
      "/body/rules/audioCodecs/2"
    ])
    expect(wrong({ containers: ["webm"], videoCodecs: ["mpeg4"], audioCodecs: ["flac"] })).toEqual([])
  })

  it("stay readable as they were stored, also those of version 1 and those that contradict themselves", () => {
    const old = Schema.decodeUnknownSync(VerificationRules)({ version: 1, minSeconds: 9, maxSeconds: 3 })
    expect(old).toMatchObject({ version: 1, minSeconds: 9, maxSeconds: 3, maxFrozenRatio: 0.8 })
  })
})
