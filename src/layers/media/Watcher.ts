// Part of the child program (see Detectors.ts).
import { AV_PIX_FMT_GRAY8, AV_PKT_DATA_DISPLAYMATRIX, SWS_POINT } from "node-av/constants"
import type { Frame, Stream } from "node-av/lib"
import { looked, makeBlackDetector, makeFrozenDetector } from "./Detectors.ts"
import { makeFingerprint } from "./Fingerprint.ts"
import { makePictures } from "./Pictures.ts"
import { makeSampler } from "./Sampler.ts"
import { lumaOf, makeScaler } from "./Scaler.ts"

const toBase64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64")

/** Quarter turns, clockwise, that the container asks for. */
const quartersOf = (stream: Stream): number => {
  const matrix = stream.codecpar.getCodedSideData(AV_PKT_DATA_DISPLAYMATRIX)
  if (matrix === null || matrix.length < 8) return 0
  const turn = Math.atan2(matrix.readInt32LE(4), matrix.readInt32LE(0)) / (Math.PI / 2)
  return (Math.round(turn) + 4) % 4
}

/** Everything that is looked for in the pictures, in one go. */
export const makeWatcher = (stream: Stream, maxSeconds: number) => {
  const points = makeScaler(() => looked, AV_PIX_FMT_GRAY8, SWS_POINT)
  const black = makeBlackDetector()
  const frozen = makeFrozenDetector()
  const fingerprint = makeFingerprint()
  const pictures = makePictures(quartersOf(stream))
  const sampler = makeSampler(maxSeconds, { picture: pictures.look, luma: fingerprint.look })
  const share = (found: ReturnType<typeof black.finish>, end: number) => ({
    ...found,
    ratio: end === 0 ? 0 : Math.min(1, found.seconds / end)
  })
  return {
    look: (frame: Frame, seconds: number, origin: number) => {
      const luma = lumaOf(points.scale(frame))
      const at = Math.max(0, seconds - origin)
      frozen.look(luma, at, black.look(luma, at))
      sampler.look(frame, seconds, origin)
    },
    finish: (end: number) => {
      points.close()
      sampler.finish()
      const { contactSheet, thumbnail } = pictures.finish(end)
      return {
        black: share(black.finish(end), end),
        frozen: share(frozen.finish(end), end),
        fingerprint: toBase64(fingerprint.finish()),
        pictures: { thumbnail: thumbnail && toBase64(thumbnail), contactSheet: contactSheet && toBase64(contactSheet) }
      }
    }
  }
}
