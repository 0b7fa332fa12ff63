import { assert, describe, it } from "@effect/vitest"
import {
  type Channel,
  looked,
  makeBlackDetector,
  makeFrozenDetector,
  makeSoundDetector
} from "../../src/layers/media/Detectors.ts"

const fps = 10
const pixels = looked.width * looked.height
const grey = (level: number) => new Uint8Array(pixels).fill(level)
/** A grey picture with a square of another grey in it. */
const withSquare = (left: number, side: number, level: number) => {
  const luma = grey(100)
  for (let y = 0; y < side; y++) luma.fill(level, y * looked.width + left, y * looked.width + left + side)
  return luma
}

const frozen = (pictures: ReadonlyArray<Uint8Array>, black = false) => {
  const detector = makeFrozenDetector()
  pictures.forEach((luma, at) => detector.look(luma, at / fps, black))
  return detector.finish(pictures.length / fps)
}
const times = (count: number, picture: (at: number) => Uint8Array) =>
  Array.from({ length: count }, (_, at) => picture(at))

describe("frozen pictures", () => {
  it("are found from the first of them to the next that differs, when they last a second", () => {
    const moving = (count: number) => times(count, (at) => withSquare(at * 3, 20, 200))
    assert.deepStrictEqual(frozen([...moving(5), ...times(9, () => grey(90)), ...moving(5)]).seconds, 0)
    const found = frozen([...moving(5), ...times(10, () => grey(90)), ...moving(5)])
    assert.deepStrictEqual(found.intervals, [{ start: 0.5, end: 1.5 }])
  })

  it("are still frozen while an encoder refreshes them, and not while a small clock ticks", () => {
    assert.strictEqual(frozen(times(20, (at) => grey(100 + (at % 4)))).seconds, 2)
    assert.strictEqual(frozen(times(20, (at) => withSquare(64, 6, at % 2 === 0 ? 100 : 200))).seconds, 0)
  })

  it("differ when a part of them does by more than 6 levels", () => {
    assert.strictEqual(frozen(times(20, (at) => grey(at % 2 === 0 ? 100 : 106))).seconds, 2)
    assert.strictEqual(frozen(times(20, (at) => grey(at % 2 === 0 ? 100 : 107))).seconds, 0)
  })

  it("are compared with the first of the stretch, so that what creeps is not frozen", () => {
    assert.strictEqual(frozen(times(40, (at) => grey(60 + 2 * at))).seconds, 0)
  })

  it("are not counted where they are black", () => {
    assert.strictEqual(frozen(times(20, () => grey(0)), true).seconds, 0)
    // A fade that ends in black is not frozen, however little the last step is.
    const detector = makeFrozenDetector()
    for (let at = 0; at < 20; at++) detector.look(grey(at < 5 ? 28 : 24), at / fps, at >= 5)
    assert.strictEqual(detector.finish(2).seconds, 0)
  })
})

describe("black pictures", () => {
  it("are those of which 98 % is below a tenth of white, for 0.3 s", () => {
    const seconds = (picture: Uint8Array, count: number) => {
      const detector = makeBlackDetector()
      for (let at = 0; at < count; at++) detector.look(picture, at / fps)
      return detector.finish(count / fps).seconds
    }
    const spotted = (share: number) => grey(0).fill(255, 0, Math.round(pixels * share))
    assert.strictEqual(seconds(grey(25), 10), 1)
    assert.strictEqual(seconds(grey(26), 10), 0)
    assert.strictEqual(seconds(spotted(0.02), 10), 1)
    assert.strictEqual(seconds(spotted(0.021), 10), 0)
    assert.strictEqual(seconds(grey(0), 2), 0)
    assert.closeTo(seconds(grey(0), 3), 0.3, 1e-9)
  })
})

describe("silence", () => {
  const rate = 1_000
  const channel = (values: ArrayLike<number>, part: Partial<Channel> = {}): Channel => ({
    values,
    first: 0,
    step: 1,
    full: 1,
    zero: 0,
    ...part
  })
  const loud = (samples: number, from: number, to: number, level = 0.5) =>
    Float32Array.from({ length: samples }, (_, at) => at >= from && at < to ? (at % 2 === 0 ? level : -level) : 0)
  const heard = (channels: ReadonlyArray<Channel>, samples: number) => {
    const detector = makeSoundDetector()
    detector.listen(channels, samples, rate, 0)
    return detector.finish(samples / rate)
  }

  it("is what lies before, between and after sounds, each for 0.3 s, by the sample", () => {
    const found = heard([channel(loud(4_000, 1_234, 2_345))], 4_000)
    assert.closeTo(found.silenceSeconds, 1.234 + 4 - 2.345, 0.002)
    assert.strictEqual(heard([channel(loud(4_000, 250, 3_750))], 4_000).silenceSeconds, 0)
  })

  it("is broken by any channel, however its samples lie", () => {
    const quiet = new Float32Array(4_000)
    assert.closeTo(heard([channel(quiet), channel(loud(4_000, 0, 2_000))], 4_000).silenceSeconds, 2, 0.002)
    const pairs = Float32Array.from({ length: 8_000 }, (_, at) => at % 2 === 1 && at < 4_000 ? 0.5 : 0)
    const both = [channel(pairs, { step: 2 }), channel(pairs, { first: 1, step: 2 })]
    assert.closeTo(heard(both, 4_000).silenceSeconds, 2, 0.002)
    const bytes = Uint8Array.from({ length: 4_000 }, (_, at) => at < 2_000 ? 255 : 128)
    assert.closeTo(heard([channel(bytes, { full: 128, zero: 128 })], 4_000).silenceSeconds, 2, 0.002)
  })

  it("lies below -50 dBFS, and the levels are those of the samples", () => {
    const at = (decibels: number) => heard([channel(loud(1_000, 0, 1_000, 10 ** (decibels / 20)))], 1_000)
    assert.strictEqual(at(-50.1).silenceSeconds, 1)
    assert.strictEqual(at(-49.9).silenceSeconds, 0)
    assert.closeTo(at(-6).maxVolumeDb, -6, 0.01)
    assert.closeTo(at(-6).meanVolumeDb, -6, 0.01)
  })
})
