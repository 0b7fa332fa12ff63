// Part of the child program (see Detectors.ts).
import { AV_PIX_FMT_YUV420P, AV_PIX_FMT_YUVJ420P, AVCOL_RANGE_JPEG } from "node-av/constants"
import type { AVPixelFormat, AVSampleFormat, SwsFlags } from "node-av/constants"
import { FFmpegError, Frame, SoftwareScaleContext } from "node-av/lib"

export interface Size {
  readonly width: number
  readonly height: number
}

/** A picture without padding: rows follow one another in each of its planes. */
export const makePicture = ({ height, width }: Size, format: AVPixelFormat): Frame => {
  const frame = new Frame()
  frame.alloc()
  frame.width = width
  frame.height = height
  frame.format = format
  FFmpegError.throwIfError(frame.getBuffer(1), "no memory for a picture")
  return frame
}

/** The planes of a picture made by `makePicture`, without what its allocation has behind them. */
export const planesOf = (picture: Frame): ReadonlyArray<Uint8Array> =>
  (picture.data ?? []).map((plane, at) => {
    const rows = at === 0 ? picture.height : Math.ceil(picture.height / 2)
    return plane.subarray(0, (picture.linesize[at] ?? 0) * rows)
  })

/** Its grey values. */
export const lumaOf = (picture: Frame): Uint8Array => planesOf(picture)[0] ?? new Uint8Array()

const formatOf = (frame: Frame): AVPixelFormat => {
  // One number means a format of pictures or of sound; a frame with a width is a picture.
  const isPicture = (_: AVPixelFormat | AVSampleFormat): _ is AVPixelFormat => frame.width > 0
  const { colorRange, format } = frame
  if (!isPicture(format)) throw new Error("not a picture")
  // VP9 and AV1 say beside the format, and not by it, that black is 0 and not 16.
  return format === AV_PIX_FMT_YUV420P && colorRange === AVCOL_RANGE_JPEG ? AV_PIX_FMT_YUVJ420P : format
}

/**
 * Scales pictures of any size and format, which may change within a video, to one format. The answer is lent until the next
 * call. This is FFmpeg's scaler without a filter graph around it, which would cost more than the scaling.
 */
export const makeScaler = (sizeOf: (frame: Frame) => Size, format: AVPixelFormat, flags: SwsFlags) => {
  let open: { readonly shape: string; readonly context: SoftwareScaleContext; readonly to: Frame } | null = null
  const close = () => {
    open?.context.freeContext()
    open?.to.free()
    open = null
  }
  const openFor = (frame: Frame, from: AVPixelFormat, shape: string) => {
    close()
    const to = makePicture(sizeOf(frame), format)
    const context = new SoftwareScaleContext()
    context.getContext(frame.width, frame.height, from, to.width, to.height, format, flags)
    open = { shape, context, to }
    return open
  }
  const scale = (frame: Frame): Frame => {
    const from = formatOf(frame)
    const shape = `${frame.width}x${frame.height} ${from}`
    const { context, to } = open?.shape === shape ? open : openFor(frame, from, shape)
    FFmpegError.throwIfError(context.scaleFrameSync(to, frame), "a picture cannot be scaled")
    return to
  }
  return { scale, close }
}
