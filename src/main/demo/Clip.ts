import { Effect, Schema } from "effect"
import { Encoder, Muxer } from "node-av/api"
import {
  AV_LOG_ERROR,
  AVERROR_EAGAIN,
  AVERROR_EOF,
  FF_ENCODER_AAC,
  FF_ENCODER_LIBOPUS,
  FF_ENCODER_LIBVPX_VP8,
  FF_ENCODER_LIBX264
} from "node-av/constants"
import { FilterGraph, Frame, Log } from "node-av/lib"

export class ClipError extends Schema.TaggedError<ClipError>()("ClipError", {
  path: Schema.String,
  cause: Schema.Defect()
}) {}

/** `scene` moves and sounds, `scene_silent` has a track of silence, `scene_mute` has none, `black_silent` shows nothing too. */
export type ClipKind = "scene" | "scene_silent" | "scene_mute" | "black_silent"

export interface ClipOptions {
  readonly path: string
  readonly seconds: number
  readonly width: number
  readonly height: number
  readonly kind: ClipKind
  /** Frames per second; 30 by default. */
  readonly fps?: number
  /** Covers most of the picture with things of its own: without it every clip of a kind shows the same. */
  readonly seed?: number
  /** H.264 and AAC in MP4 by default, the same in QuickTime, Matroska, 3GP and MPEG-TS; webm is VP8 and Opus. */
  readonly format?: "mp4" | "mov" | "matroska" | "3gp" | "mpegts" | "webm"
}

/** Tiles, each of a shade of its own, over three quarters of the picture: two seeds have little to see in common. */
const things = (seed: number): string => {
  let state = seed
  const random = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
  return Array.from({ length: 16 }, (_, at) => {
    const shade = Math.floor(random() * 256).toString(16).padStart(2, "0")
    const [x, y] = [at % 4, Math.floor(at / 4)]
    // What stays open shows that the picture moves.
    return (x + 2 * y + seed) % 4 !== 0
      ? `,drawbox=x=iw*${x}/4:y=ih*${y}/4:w=iw/4:h=ih/4:color=0x${shade.repeat(3)}:t=fill`
      : ""
  }).join("")
}

const picture = ({ fps = 30, height, kind, seconds, seed, width }: ClipOptions): string => {
  const source = `size=${width}x${height}:rate=${fps}:duration=${seconds}`
  // Grain, because a flat test pattern compresses to next to nothing and no phone films one.
  return kind === "black_silent"
    ? `color=black:${source}`
    : `testsrc2=${source}${seed === undefined ? "" : things(seed)},noise=alls=8:allf=t`
}

// A voice-like tone: a fundamental with two overtones whose loudness rises and falls four times a second.
const voice = "(0.6+0.4*sin(2*PI*4*t))*(0.25*sin(2*PI*170*t)+0.12*sin(2*PI*340*t)+0.06*sin(2*PI*1020*t))"

const sound = ({ kind, seconds }: ClipOptions): string =>
  kind === "scene" ? `aevalsrc='${voice}':s=48000:d=${seconds}` : `anullsrc=r=48000:cl=mono:d=${seconds}`

/** A generator of frames from FFmpeg's own sources, each with its time base and its time in seconds. */
const openSource = (description: string, kind: "video" | "audio") => {
  const graph = new FilterGraph()
  graph.alloc()
  const parsed = graph.parse2(`${description},${kind === "video" ? "buffersink" : "abuffersink"}`)
  const configured = parsed < 0 ? parsed : graph.configSync()
  const sink = graph.filters?.find((filter) => filter.isSink())
  if (configured < 0 || sink === undefined) throw new Error(`FFmpeg refused the source ${description}: ${configured}`)
  const timeBase = sink.buffersinkGetTimeBase()
  const next = (): { readonly frame: Frame; readonly seconds: number } | null => {
    const frame = new Frame()
    frame.alloc()
    const got = sink.buffersinkGetFrameSync(frame)
    if (got === AVERROR_EOF || got === AVERROR_EAGAIN) {
      frame.free()
      return null
    }
    if (got < 0) throw new Error(`FFmpeg's source failed: ${got}`)
    frame.timeBase = timeBase
    return { frame, seconds: (Number(frame.pts) * timeBase.num) / timeBase.den }
  }
  return { next, free: () => graph.free() }
}

const encodeVideo = (options: ClipOptions) =>
  options.format === "webm"
    ? Encoder.create(FF_ENCODER_LIBVPX_VP8, {
      bitrate: "1M",
      gopSize: 60,
      threadCount: 2,
      options: { deadline: "realtime" }
    })
    : Encoder.create(FF_ENCODER_LIBX264, { gopSize: 60, threadCount: 2, options: { preset: "ultrafast", crf: 28 } })

const encode = async (options: ClipOptions): Promise<void> => {
  Log.setLevel(AV_LOG_ERROR)
  await using output = await Muxer.open(options.path, { format: options.format ?? "mp4" })
  const tracks = [{
    source: openSource(`${picture(options)},format=yuv420p`, "video"),
    encoder: await encodeVideo(options)
  }]
  if (options.kind !== "scene_mute") {
    const webm = options.format === "webm"
    tracks.push({
      source: openSource(
        `${sound(options)},aformat=sample_fmts=${webm ? "flt" : "fltp"}:channel_layouts=stereo,`
          + `asetnsamples=n=${webm ? 960 : 1024}:p=0`,
        "audio"
      ),
      encoder: await Encoder.create(webm ? FF_ENCODER_LIBOPUS : FF_ENCODER_AAC, { bitrate: "96k" })
    })
  }
  const writers = tracks.map(({ encoder, source }) => ({
    source,
    encoder,
    index: output.addStream(encoder),
    pending: source.next()
  }))
  for (;;) {
    // The track that is behind goes first, so that picture and sound lie side by side in the file.
    const writer = writers.filter((candidate) => candidate.pending !== null)
      .sort((a, b) => (a.pending?.seconds ?? 0) - (b.pending?.seconds ?? 0))[0]
    if (writer?.pending == null) break
    for (const packet of await writer.encoder.encodeAll(writer.pending.frame)) {
      await output.writePacket(packet, writer.index)
      packet.free()
    }
    writer.pending.frame.free()
    writer.pending = writer.source.next()
  }
  for (const { encoder, index, source } of writers) {
    for await (const packet of encoder.flushPackets()) await output.writePacket(packet, index)
    encoder.close()
    source.free()
  }
}

/** Makes a real video at `path`: about a second of work for six seconds of 640x360. */
export const makeClip = Effect.fn("Clip.make")((options: ClipOptions) =>
  Effect.tryPromise({ try: () => encode(options), catch: (cause) => new ClipError({ path: options.path, cause }) })
)
