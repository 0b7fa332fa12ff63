import { Encoder, Muxer } from "node-av/api"
import {
  AV_CHANNEL_LAYOUT_MONO,
  AV_LOG_ERROR,
  AV_PIX_FMT_YUV420P,
  AV_SAMPLE_FMT_FLT,
  AV_SAMPLE_FMT_FLTP,
  FF_ENCODER_AAC,
  FF_ENCODER_LIBOPUS,
  FF_ENCODER_LIBVPX_VP8,
  FF_ENCODER_LIBX264
} from "node-av/constants"
import { Frame, Log } from "node-av/lib"
import { draw, randoms, sceneFps, sceneHeight, sceneWidth } from "../../test/layers/scenes.ts"

/** How a clip is written: as a phone does, at a poor rate, and as a browser records. */
export type Encoding = "h264" | "h264 poor" | "vp8"

export interface Film {
  readonly path: string
  readonly encoding: Encoding
  readonly seed: number
  readonly frames: number
  readonly fps: number
  readonly width: number
  readonly height: number
  /** What each frame shows: the next picture of the scene, the frozen one before it again, or black with a sensor's grain. */
  readonly shows: (frame: number) => "scene" | "frozen" | "black"
  /** The loudness of a voice at each instant, 1 for the loudest; none for a film without sound. */
  readonly voice?: (seconds: number) => number
}

const rate = 48_000

/** A fundamental with overtones that rises and falls, and never falls silent by itself. */
const voiceAt = (seconds: number) =>
  (0.7 + 0.3 * Math.sin(2 * Math.PI * 4 * seconds))
  * (0.6 * Math.sin(2 * Math.PI * 170 * seconds) + 0.3 * Math.sin(2 * Math.PI * 340 * seconds)
    + 0.1 * Math.sin(2 * Math.PI * 1020 * seconds))

const enlarge = (luma: Uint8Array, width: number, height: number): Uint8Array => {
  const out = new Uint8Array(width * height)
  for (let y = 0; y < height; y++) {
    const row = Math.floor((y * sceneHeight) / height) * sceneWidth
    for (let x = 0; x < width; x++) out[y * width + x] = luma[row + Math.floor((x * sceneWidth) / width)] ?? 0
  }
  return out
}

const pictures = function*(film: Film): Generator<Frame> {
  const { fps, frames, height, seed, shows, width } = film
  const chroma = 2 * Math.ceil(width / 2) * Math.ceil(height / 2)
  const scene = draw({ seed, seconds: frames / sceneFps, shots: 2, pan: 1, things: 4, grain: 5, text: "CLIP 21" })
  const grain = randoms(seed)
  let shown: Uint8Array = new Uint8Array(width * height)
  for (let at = 0; at < frames; at++) {
    const what = shows(at)
    const next = scene.next().value
    if (what === "scene" && next !== undefined) shown = enlarge(next, width, height)
    const luma = what === "black" ? Uint8Array.from(shown, () => 16 + grain() * 6) : shown
    const colour = new Uint8Array(chroma).fill(what === "black" ? 128 : 118)
    yield Frame.fromVideoBuffer(Buffer.concat([luma, colour]), {
      width,
      height,
      format: AV_PIX_FMT_YUV420P,
      timeBase: { num: 1, den: fps },
      pts: BigInt(at)
    })
  }
}

const sounds = function*({ encoding, fps, frames, voice }: Film): Generator<Frame> {
  const webm = encoding === "vp8"
  const size = webm ? 960 : 1024
  const all = Math.round((frames / fps) * rate)
  for (let from = 0; from < all; from += size) {
    const samples = Float32Array.from({ length: size }, (_, at) => {
      const seconds = (from + at) / rate
      return (voice?.(seconds) ?? 0) * voiceAt(seconds)
    })
    yield Frame.fromAudioBuffer(Buffer.from(samples.buffer), {
      nbSamples: size,
      format: webm ? AV_SAMPLE_FMT_FLT : AV_SAMPLE_FMT_FLTP,
      sampleRate: rate,
      channelLayout: AV_CHANNEL_LAYOUT_MONO,
      timeBase: { num: 1, den: rate },
      pts: BigInt(from)
    })
  }
}

const videoEncoder = (encoding: Encoding) => {
  switch (encoding) {
    case "vp8":
      return Encoder.create(FF_ENCODER_LIBVPX_VP8, { bitrate: "1M", gopSize: 60, options: { deadline: "realtime" } })
    case "h264":
      return Encoder.create(FF_ENCODER_LIBX264, { gopSize: 60, options: { preset: "veryfast", crf: 23 } })
    case "h264 poor":
      return Encoder.create(FF_ENCODER_LIBX264, { gopSize: 50, options: { preset: "ultrafast", crf: 34 } })
  }
}

/** Writes a film to its path. */
export const write = async (film: Film): Promise<void> => {
  Log.setLevel(AV_LOG_ERROR)
  const webm = film.encoding === "vp8"
  await using output = await Muxer.open(film.path, { format: webm ? "webm" : "mp4" })
  const audio = webm ? FF_ENCODER_LIBOPUS : FF_ENCODER_AAC
  const tracks = [
    { source: pictures(film), encoder: await videoEncoder(film.encoding), per: 1 / film.fps },
    ...(film.voice === undefined
      ? []
      : [{
        source: sounds(film),
        encoder: await Encoder.create(audio, { bitrate: "96k" }),
        per: (webm ? 960 : 1024) / rate
      }])
  ]
  const writers = tracks.map(({ encoder, per, source }) => ({
    encoder,
    source,
    per,
    index: output.addStream(encoder),
    seconds: 0,
    ended: false
  }))
  for (;;) {
    // The track that is behind goes first, so that picture and sound lie side by side in the file.
    const [writer] = writers.filter(({ ended }) => !ended).sort((a, b) => a.seconds - b.seconds)
    if (writer === undefined) break
    const next = writer.source.next()
    writer.seconds += writer.per
    if (next.done === true) {
      writer.ended = true
      continue
    }
    for (const packet of await writer.encoder.encodeAll(next.value)) {
      await output.writePacket(packet, writer.index)
      packet.free()
    }
    next.value.free()
  }
  for (const { encoder, index } of writers) {
    for await (const packet of encoder.flushPackets()) await output.writePacket(packet, index)
    encoder.close()
  }
}
