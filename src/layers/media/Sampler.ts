// Part of the child program (see Detectors.ts).
import { AV_PIX_FMT_GRAY8, AV_PIX_FMT_YUVJ420P, SWS_AREA, SWS_FAST_BILINEAR } from "node-av/constants"
import type { Frame } from "node-av/lib"
import { framesPerSecond } from "../../domain/SeenBefore.ts"
import type { LumaFrame } from "./Fingerprint.ts"
import { lumaOf, makeScaler, type Size } from "./Scaler.ts"

const longestSide = 320
const luma: Size = { width: 160, height: 90 }

const even = (length: number) => Math.max(2, 2 * Math.round(length / 2))

/** The picture's shape as it is meant to be seen: pixels need not be square. */
const shown = (frame: Frame): Size => {
  const { den, num } = frame.sampleAspectRatio
  const width = frame.width * (num > 0 && den > 0 ? num / den : 1)
  const by = longestSide / Math.max(width, frame.height)
  return { width: even(width * by), height: even(frame.height * by) }
}

/** What looks at the samples. Both are lent for the time of the call. */
export interface Listeners {
  /** A picture in colour, 320 pixels wide or high. */
  readonly picture: (picture: Frame, grey: Uint8Array, seconds: number) => void
  /** Exactly `framesPerSecond` a second of video, all of one size: where it has fewer pictures, the last is given again. */
  readonly luma: (frame: LumaFrame) => void
}

/**
 * Takes small pictures from a video at a fixed rate. Choosing them here, and not by FFmpeg's fps filter, keeps a forged jump
 * in time from being filled with thousands of copies.
 */
export const makeSampler = (maxSeconds: number, listeners: Listeners) => {
  const small = makeScaler(shown, AV_PIX_FMT_YUVJ420P, SWS_FAST_BILINEAR)
  const grey = makeScaler(() => luma, AV_PIX_FMT_GRAY8, SWS_AREA)
  const most = Math.ceil(maxSeconds * framesPerSecond)
  let taken = 0
  let last: LumaFrame | null = null
  const repeatUntil = (slot: number) => {
    for (; last !== null && taken < slot; taken++) listeners.luma(last)
  }
  return {
    look: (frame: Frame, seconds: number, origin: number) => {
      // Half a millisecond is more than a container's rounding and less than any frame.
      const slot = Math.min(most, Math.floor((seconds - origin + 0.0005) * framesPerSecond))
      if (slot < taken) return
      repeatUntil(slot)
      taken = slot
      const picture = small.scale(frame)
      last = { ...luma, luma: Uint8Array.from(lumaOf(grey.scale(picture))) }
      listeners.picture(picture, last.luma, Math.max(0, seconds - origin))
      repeatUntil(slot + 1)
    },
    finish: () => {
      small.close()
      grey.close()
    }
  }
}
