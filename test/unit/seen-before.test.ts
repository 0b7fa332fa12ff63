import { assert, describe, it } from "@effect/vitest"
import {
  compare,
  fingerprintOf,
  framesPerSecond,
  indexKeys,
  lookupKeys,
  type Match
} from "../../src/domain/SeenBefore.ts"
import { bestOf, judgeMatch, judgeSighting, type Sighting } from "../../src/domain/Sighting.ts"
import type { LumaFrame } from "../../src/layers/media/Fingerprint.ts"
import { makeFingerprint } from "../../src/layers/media/Fingerprint.ts"
import { draw, randoms, type Scene, sceneFps, sceneHeight, sceneWidth, variedScene } from "../layers/scenes.ts"

const film = (scene: Scene): ReadonlyArray<LumaFrame> =>
  [...draw(scene)].map((luma) => ({ width: sceneWidth, height: sceneHeight, luma }))

/** Every third picture, as the sampler takes them, from a moment on. */
const printOf = (frames: ReadonlyArray<LumaFrame>, from = 0) => {
  const fingerprint = makeFingerprint()
  for (let at = from; at < frames.length; at += sceneFps / framesPerSecond) {
    const frame = frames[at]
    if (frame !== undefined) fingerprint.look(frame)
  }
  return fingerprintOf(fingerprint.finish())
}

const each = (
  frames: ReadonlyArray<LumaFrame>,
  value: (pixel: (x: number, y: number) => number, x: number, y: number, frame: LumaFrame) => number
): ReadonlyArray<LumaFrame> =>
  frames.map((frame) => ({
    ...frame,
    luma: Uint8Array.from(frame.luma, (_, at) => {
      const pixel = (x: number, y: number) => frame.luma[Math.floor(y) * frame.width + Math.floor(x)] ?? 16
      return value(pixel, at % frame.width, Math.floor(at / frame.width), frame)
    })
  }))

const scene = { ...variedScene(4), seconds: 6, shots: 2, pan: 0.8 }
const original = film(scene)
const print = printOf(original)
const other = printOf(film({ ...variedScene(5), seconds: 6, pan: 0.8 }))
const shared = (frames: ReadonlyArray<LumaFrame>, from = 0) => {
  const keys = new Set(indexKeys(print))
  return lookupKeys(printOf(frames, from)).filter((key) => keys.has(key)).length
}

const found = (frames: ReadonlyArray<LumaFrame>, from = 0) => {
  const match = compare(printOf(frames, from), print)
  assert.isNotNull(match)
  assert.isAtLeast(match?.share ?? 0, 0.8)
  assert.isAtLeast(match?.distinct ?? 0, 8)
  assert.isAtLeast(shared(frames, from), 4)
  return match
}

describe("a fingerprint", () => {
  it("finds the same pictures from their start to their end", () => {
    const match = found(original)
    assert.deepInclude(match, { mirrored: false, from: 0, to: 6, theirFrom: 0, theirTo: 6, share: 1, bits: 0 })
  })

  it("finds nothing in other pictures", () => {
    assert.isBelow(compare(other, print)?.frames ?? 0, 5)
  })

  it("finds mirrored pictures, and says that they are", () => {
    const match = found(each(original, (pixel, x, y) => pixel(sceneWidth - 1 - x, y)))
    assert.deepInclude(match, { mirrored: true, from: 0, theirFrom: 0 })
  })

  it("finds pictures between borders above and below, or at the sides", () => {
    found(each(original, (pixel, x, y) => y < 22 || y >= 158 ? 16 : pixel(x, (y - 22) * (180 / 136))))
    found(each(original, (pixel, x, y) => x < 40 || x >= 280 ? 16 : pixel((x - 40) * (320 / 240), y)))
  })

  it("finds noisier, brighter pictures", () => {
    const random = randoms(1)
    found(each(original, (pixel, x, y) => Math.min(235, pixel(x, y) * 1.1 + 8 + (random() - 0.5) * 30)))
  })

  it("finds what is left after a third was cut off, and tells where it was", () => {
    for (const from of [30, 31, 32]) {
      const match = found(original, from)
      assert.isBelow(match?.from ?? 9, 0.5)
      assert.approximately((match?.theirFrom ?? 0) - (match?.from ?? 0), from / sceneFps, 0.21)
      assert.isAtLeast(match?.theirTo ?? 0, 5.5)
    }
  })

  it("leaves out pictures in which there is nothing to see", () => {
    const black = printOf(each(original, () => 16))
    assert.deepStrictEqual(indexKeys(black), [])
    assert.isNull(compare(black, black))
    const between = printOf(original.map((frame, at) => at < 45 ? { ...frame, luma: new Uint8Array(57_600) } : frame))
    assert.isAtMost(compare(between, print)?.frames ?? 99, 16)
    assert.isAtLeast(compare(between, print)?.from ?? 0, 2.8)
  })

  it("counts a picture that stands still as one, however long it stands", () => {
    const still = original.map(() => original[0]).filter((frame) => frame !== undefined)
    const match = compare(printOf(still), printOf(still))
    assert.strictEqual(match?.frames, 30)
    assert.strictEqual(match?.distinct, 1)
  })
})

describe("the judgement on what was found", () => {
  const match: Match = {
    mirrored: false,
    from: 0,
    to: 6,
    theirFrom: 0,
    theirTo: 6,
    frames: 30,
    share: 1,
    distinct: 12,
    bits: 5
  }

  it("is sure of half a video with enough in it, and leaves to a person what is less", () => {
    assert.strictEqual(judgeMatch(match), "sure")
    assert.strictEqual(judgeMatch({ ...match, share: 0.5, frames: 8, distinct: 4, bits: 25 }), "sure")
    assert.strictEqual(judgeMatch({ ...match, share: 0.49 }), "unsure")
    assert.strictEqual(judgeMatch({ ...match, frames: 7 }), "unsure")
    assert.strictEqual(judgeMatch({ ...match, distinct: 3 }), "unsure")
    assert.isNull(judgeMatch({ ...match, distinct: 3, bits: 11 }))
    assert.isNull(judgeMatch({ ...match, frames: 7, share: 0.49 }))
  })

  it("follows from what the campaign wants", () => {
    const sightings: ReadonlyArray<Sighting> = [
      { _tag: "Nothing" },
      { _tag: "NothingToCompare" },
      { _tag: "SameFile" },
      { _tag: "SamePictures", sure: true, match },
      { _tag: "SamePictures", sure: false, match }
    ]
    const judged = (policy: "reject" | "review" | "allow") => sightings.map((one) => judgeSighting(one, policy))
    assert.deepStrictEqual(judged("reject"), ["pass", "unsure", "fail", "fail", "unsure"])
    assert.deepStrictEqual(judged("review"), ["pass", "unsure", "unsure", "unsure", "unsure"])
    assert.deepStrictEqual(judged("allow"), ["pass", "pass", "pass", "pass", "pass"])
  })

  it("takes a sure match before a longer one that is not", () => {
    const [short, long] = [{ sure: true, match: { ...match, frames: 9 } }, { sure: false, match }]
    assert.strictEqual(bestOf([long, short]), short)
    assert.strictEqual(bestOf([short, { ...long, sure: true }])?.match.frames, 30)
    assert.isNull(bestOf([]))
  })
})
