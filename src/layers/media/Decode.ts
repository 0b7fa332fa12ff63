// Part of the child program (see Detectors.ts).
import { AV_NOPTS_VALUE, AV_PKT_FLAG_CORRUPT, AVERROR_EAGAIN, AVERROR_ENOMEM, AVERROR_EOF } from "node-av/constants"
import { avGetCodecName, Codec, CodecContext, Dictionary, FFmpegError, Frame } from "node-av/lib"
import type { Packet, Stream } from "node-av/lib"

export class OutOfMemory extends Error {}

/** FFmpeg's own words for a code. Memory that it cannot have says nothing about the file, so that ends the work. */
export const explain = (code: number): string => {
  if (code === AVERROR_ENOMEM) throw new OutOfMemory("out of memory")
  return new FFmpegError(code).message
}

/** One thread, stop at the first damage inside a frame, and never a picture above the limit. */
export const decoderOptions = (maxPixels: number) =>
  Dictionary.fromObject({
    threads: "1",
    err_detect: "crccheck+bitstream+buffer+explode",
    max_pixels: String(maxPixels),
    // Smoothing block edges is a quarter of the work and changes neither what is black nor what is broken.
    skip_loop_filter: "all"
  })

/** Seconds from a stream's timestamp, or null where the file gives none. */
export const secondsOf = (stream: Stream, timestamp: bigint): number | null =>
  timestamp === AV_NOPTS_VALUE ? null : (Number(timestamp) * stream.timeBase.num) / stream.timeBase.den

// FFmpeg has some four hundred decoders more, most of them for formats of the last century that no telephone writes and few
// people look after. A file must not choose among them.
const decoded =
  /^(h264|hevc|vp8|vp9|av1|mpeg4|mpeg2video|h263|aac|opus|mp3|vorbis|flac|alac|ac3|eac3|amr_nb|amr_wb|pcm_\w+)$/

export interface Track {
  readonly stream: Stream
  readonly codec: string
  readonly span: () => { readonly start: number; readonly end: number }
  readonly counts: { frames: number; errors: number }
  /** Of the largest picture, as decoded: what the container says about it need not be true. */
  readonly size: { width: number; height: number }
  readonly decode: (packet: Packet | null) => void
  readonly close: () => void
}

/** Opens a stream's decoder; `onFrame` gets each frame with its time. A string says why there is none. */
export const openTrack = async (
  stream: Stream,
  maxPixels: number,
  onFrame: (frame: Frame, seconds: number, origin: number) => void
): Promise<Track | string> => {
  if (!decoded.test(avGetCodecName(stream.codecpar.codecId) ?? "")) {
    return "it is not among the codecs that are decoded here"
  }
  const codec = Codec.findDecoder(stream.codecpar.codecId)
  if (codec === null) return "no decoder for it"
  const context = new CodecContext()
  context.allocContext3(codec)
  const copied = context.parametersToContext(stream.codecpar)
  if (copied < 0) return explain(copied)
  context.pktTimebase = stream.timeBase
  const opened = await context.open2(codec, decoderOptions(maxPixels))
  if (opened < 0) return explain(opened)

  const frame = new Frame()
  frame.alloc()
  const counts = { frames: 0, errors: 0 }
  const size = { width: 0, height: 0 }
  let start: number | null = null
  let last: number | null = null
  let end = 0

  const take = () => {
    const seconds = secondsOf(stream, frame.bestEffortTimestamp) ?? end
    start = Math.min(start ?? seconds, seconds)
    // WebM does not say how long its last frame lasts: as long as the one before.
    const length = secondsOf(stream, frame.duration) || Math.max(0, seconds - (last ?? seconds))
    last = seconds
    end = Math.max(end, seconds + length)
    counts.frames += 1
    if (frame.width * frame.height > size.width * size.height) {
      size.width = frame.width
      size.height = frame.height
    }
    if (frame.decodeErrorFlags !== 0) counts.errors += 1
    frame.timeBase = stream.timeBase
    onFrame(frame, seconds, start)
  }

  const decode = (packet: Packet | null) => {
    const sent = context.sendPacketSync(packet)
    if ((packet?.flags ?? 0) & AV_PKT_FLAG_CORRUPT || (sent < 0 && sent !== AVERROR_EOF)) counts.errors += 1
    if (sent < 0) explain(sent)
    for (;;) {
      const received = context.receiveFrameSync(frame)
      if (received === AVERROR_EAGAIN || received === AVERROR_EOF) return
      if (received < 0) {
        explain(received)
        counts.errors += 1
        return
      }
      take()
      frame.unref()
    }
  }

  const close = () => {
    frame.free()
    context.freeContext()
  }
  return {
    stream,
    codec: avGetCodecName(stream.codecpar.codecId) ?? "unknown",
    counts,
    size,
    decode,
    close,
    span: () => ({ start: start ?? 0, end })
  }
}
