import { Decoder, Demuxer, Encoder, FilterAPI, Muxer } from "node-av/api"
import { FF_ENCODER_LIBX264 } from "node-av/constants"
import type { Frame } from "node-av/lib"

/** What somebody does to a video that is not theirs. Every edit is also a re-encoding. */
export interface Edit {
  /** FFmpeg's filters; `null` changes nothing. */
  readonly filter: string
  /** What is kept of the original, in seconds. */
  readonly from?: number
  readonly to?: number
  readonly crf: number
}

const restart = "setpts=PTS-STARTPTS"

/** Edits of a clip of so many seconds, by their names in the table of docs/seen-before.md. */
export const editsOf = (seconds: number) => {
  const third = seconds / 3
  return {
    "re-encode, low quality": { filter: "null", crf: 38 },
    "scale to a half": { filter: "scale=trunc(iw/4)*2:trunc(ih/4)*2", crf: 28 },
    "scale to 1.5": { filter: "scale=iw*3/2:ih*3/2", crf: 28 },
    mirror: { filter: "hflip", crf: 28 },
    letterbox: { filter: "pad=iw:ih*4/3:0:(oh-ih)/2", crf: 28 },
    pillarbox: { filter: "pad=iw*4/3:ih:(ow-iw)/2:0", crf: 28 },
    "trim a third off the start": { filter: restart, from: third, crf: 28 },
    "trim a third off the end": { filter: restart, to: seconds - third, crf: 28 },
    "trim a sixth off both": { filter: restart, from: third / 2, to: seconds - third / 2, crf: 28 },
    "mirror, letterbox, half size, trim a third": {
      filter: `${restart},hflip,pad=iw:ih*4/3:0:(oh-ih)/2,scale=trunc(iw/4)*2:trunc(ih/4)*2`,
      from: third + 0.1,
      crf: 33
    },
    "brighter, with more contrast": { filter: "eq=brightness=0.06:contrast=1.15", crf: 28 },
    "24 frames per second instead of 15": { filter: "fps=24", crf: 28 }
  } satisfies Record<string, Edit>
}
export type EditName = keyof ReturnType<typeof editsOf>

/** Decodes a clip, edits its pictures, encodes them again. */
export const edit = async (
  from: string,
  to: string,
  { crf, filter, from: start = 0, to: end = Infinity }: Edit
): Promise<void> => {
  await using input = await Demuxer.open(from)
  const stream = input.video()
  if (stream === undefined) throw new Error(`${from} holds no picture`)
  using decoder = await Decoder.create(stream, { options: { threads: "1" } })
  using filters = FilterAPI.create(filter, { threads: 1 })
  await using output = await Muxer.open(to, { format: "mp4" })
  const encoder = await Encoder.create(FF_ENCODER_LIBX264, {
    gopSize: 60,
    threadCount: 1,
    options: { preset: "veryfast", crf }
  })
  const track = output.addStream(encoder)
  const write = async (frame: Frame) => {
    for (const packet of await encoder.encodeAll(frame)) {
      await output.writePacket(packet, track)
      packet.free()
    }
    frame.free()
  }
  for await (const frame of decoder.frames(input.packets(stream.index))) {
    if (frame === null) continue
    const seconds = (Number(frame.pts) * stream.timeBase.num) / stream.timeBase.den
    if (seconds >= start && seconds < end) {
      for (const changed of await filters.processAll(frame)) await write(changed)
    }
    frame.free()
  }
  for await (const frame of filters.flushFrames()) await write(frame)
  for await (const packet of encoder.flushPackets()) await output.writePacket(packet, track)
  encoder.close()
}
