// Part of the child program (see Detectors.ts).
import { AV_CODEC_FLAG_QSCALE, AV_CODEC_ID_MJPEG, AV_PIX_FMT_YUVJ420P } from "node-av/constants"
import { Codec, CodecContext, FFmpegError, Frame, Packet, Rational } from "node-av/lib"
import { largestContactSheet, largestThumbnail } from "../../domain/Pictures.ts"
import { makePicture, planesOf, type Size } from "./Scaler.ts"

const across = 4
const tiles = across * across
/** FFmpeg's scale of quality (QP to lambda). */
const lambda = 118

const encode = (picture: Frame, quality: number): Uint8Array | null => {
  const codec = Codec.findEncoder(AV_CODEC_ID_MJPEG)
  if (codec === null) return null
  const context = new CodecContext()
  context.allocContext3(codec)
  context.width = picture.width
  context.height = picture.height
  context.pixelFormat = AV_PIX_FMT_YUVJ420P
  context.timeBase = new Rational(1, 1)
  context.threadCount = 1
  context.setFlags(AV_CODEC_FLAG_QSCALE)
  context.globalQuality = quality * lambda
  const packet = new Packet()
  packet.alloc()
  try {
    FFmpegError.throwIfError(context.open2Sync(codec), "no JPEG encoder")
    picture.pts = 0n
    picture.quality = quality * lambda
    FFmpegError.throwIfError(context.sendFrameSync(picture), "the JPEG encoder refused a picture")
    FFmpegError.throwIfError(context.receivePacketSync(packet), "the JPEG encoder made nothing")
    return packet.data === null ? null : Uint8Array.from(packet.data)
  } finally {
    packet.free()
    context.freeContext()
  }
}

/** As good as fits; noise, which nothing compresses, may not fit at all. */
const jpeg = (picture: Frame, largest: number): Uint8Array | null => {
  for (const quality of [4, 8, 16, 31]) {
    const made = encode(picture, quality)
    if (made !== null && made.length <= largest) return made
  }
  return null
}

interface Kept {
  readonly size: Size
  readonly planes: ReadonlyArray<Uint8Array>
  readonly seconds: number
  readonly contrast: number
}

const contrastOf = (grey: Uint8Array): number => {
  let sum = 0
  let squares = 0
  for (const value of grey) {
    sum += value
    squares += value * value
  }
  return Math.sqrt(Math.max(0, squares / grey.length - (sum / grey.length) ** 2))
}

/** Writes a picture into another, plane by plane; what does not fit is left out. */
const paste = (from: Kept, to: ReadonlyArray<Uint8Array>, width: number, left: number, top: number) => {
  from.planes.forEach((plane, at) => {
    const by = at === 0 ? 1 : 2
    const [line, into] = [Math.ceil(from.size.width / by), Math.ceil(width / by)]
    for (let y = 0; y < Math.ceil(from.size.height / by); y++) {
      to[at]?.set(plane.subarray(y * line, (y + 1) * line), (top / by + y) * into + left / by)
    }
  })
}

const draw = (
  size: Size,
  parts: ReadonlyArray<{ readonly picture: Kept; readonly left: number; readonly top: number }>
) => {
  const sheet = makePicture(size, AV_PIX_FMT_YUVJ420P)
  const planes = planesOf(sheet)
  planes.forEach((plane, at) => plane.fill(at === 0 ? 0 : 128))
  for (const { left, picture, top } of parts) paste(picture, planes, size.width, left, top)
  return sheet
}

/** Turned clockwise by a quarter: a column becomes a row, read from below. */
const turned = ({ planes, size: { height, width }, ...rest }: Kept): Kept => ({
  ...rest,
  size: { width: height, height: width },
  planes: planes.map((plane, at) => {
    const [w, h] = at === 0 ? [width, height] : [width / 2, height / 2]
    return Uint8Array.from(plane, (_, to) => plane[(h - 1 - (to % h)) * w + Math.floor(to / h)] ?? 0)
  })
})

/**
 * Keeps some pictures of a video, evenly spread over it however long it turns out to be. A phone held upright films lying
 * pictures and says by how many quarters they are to be turned.
 */
export const makePictures = (quarters: number) => {
  let kept: Array<Kept> = []
  let every = 0
  const look = (picture: Frame, grey: Uint8Array, seconds: number) => {
    const last = kept.at(-1)
    if (last !== undefined && seconds < last.seconds + every) return
    // Every other one goes, and from here on they are taken half as often.
    if (kept.length === 2 * tiles) {
      kept = kept.filter((_, at) => at % 2 === 0)
      every = (seconds - (kept[0]?.seconds ?? 0)) / tiles - 0.001
    }
    const size = { width: picture.width, height: picture.height }
    const planes = planesOf(picture).map((plane) => Uint8Array.from(plane))
    kept.push({ size, planes, seconds, contrast: contrastOf(grey) })
  }
  const thumbnail = (): Uint8Array | null => {
    const best = kept.reduce<Kept | null>(
      (best, one) => best === null || one.contrast > best.contrast ? one : best,
      null
    )
    return best === null ? null : jpeg(draw(best.size, [{ picture: best, left: 0, top: 0 }]), largestThumbnail)
  }
  const contactSheet = (end: number): Uint8Array | null => {
    const [first] = kept
    if (first === undefined) return null
    const { height, width } = first.size
    const parts = Array.from({ length: tiles }, (_, at) => {
      const wanted = ((at + 0.5) / tiles) * end
      const picture = kept.reduce(
        (best, one) =>
          one.size.width === width && Math.abs(one.seconds - wanted) < Math.abs(best.seconds - wanted) ? one : best,
        first
      )
      return { picture, left: (at % across) * width, top: Math.floor(at / across) * height }
    })
    return jpeg(draw({ width: across * width, height: across * height }, parts), largestContactSheet)
  }
  /** JPEG files; null where there was nothing to see. */
  const finish = (end: number) => {
    for (let turn = 0; turn < quarters; turn++) kept = kept.map(turned)
    return { thumbnail: thumbnail(), contactSheet: contactSheet(end) }
  }
  return { look, finish }
}
