// Part of the child program (see Detectors.ts).
import { AV_DISPOSITION_ATTACHED_PIC, AVERROR_EOF, AVMEDIA_TYPE_AUDIO, AVMEDIA_TYPE_VIDEO } from "node-av/constants"
import { avGetCodecName, Dictionary, FormatContext, Packet } from "node-av/lib"
import type { Frame, Stream } from "node-av/lib"
import { fstatSync } from "node:fs"
import { setImmediate } from "node:timers/promises"
import type { Container, Findings } from "../../domain/MediaFacts.ts"
import { containerOf } from "./Container.ts"
import { explain, openTrack, OutOfMemory, secondsOf } from "./Decode.ts"
import type { Track } from "./Decode.ts"
import { makeSoundDetector } from "./Detectors.ts"
import type { Job, Phase } from "./Protocol.ts"
import { channelsOf } from "./Samples.ts"
import { makeWatcher } from "./Watcher.ts"
import { bytesMissing, readAt } from "./Whole.ts"

type Found = typeof Findings.Encoded
type Opened = {
  readonly context: FormatContext
  readonly bytes: number
  readonly container: Container
  readonly video: Stream
  readonly audio: Stream | null
}
/** Does the work, and keeps its name, its times and how it is described for the trace. */
export type Time = <A>(name: string, work: () => Promise<A>, describe: (result: A) => Phase["attributes"]) => Promise<A>

/** What the first bytes claim to be: a file that says it is a video and cannot be opened is a damaged video. */
const claimOf = (head: Buffer): "mp4" | "matroska" | null => {
  if (head.length < 8) return null
  if (["ftyp", "moov", "mdat", "wide"].includes(head.toString("latin1", 4, 8))) return "mp4"
  return head.readUInt32BE(0) === 0x1a45dfa3 ? "matroska" : null
}

const lookAt = (file: number): { readonly bytes: number; readonly claimsVideo: boolean } | Found => {
  const { size } = fstatSync(file)
  if (size === 0) return { _tag: "Empty" }
  const claim = claimOf(readAt(file, 0, 12))
  const missing = claim === null ? 0 : bytesMissing(file, size, claim)
  if (missing > 0) return { _tag: "Truncated", detail: `${missing} bytes are missing at its end` }
  return { bytes: size, claimsVideo: claim !== null }
}

const tooLarge = (stream: Stream, job: Job): Found | null => {
  const { height, width } = stream.codecpar
  return width * height > job.maxPixels ? { _tag: "TooManyPixels", width, height } : null
}

/** A track's own length where its header gives one (MP4), else the container's (WebM); 0 where neither does. */
const declaredSeconds = (context: FormatContext, stream: Stream): number =>
  Math.max(0, secondsOf(stream, stream.duration) ?? Number(context.duration) / 1e6)

/** A sound track ends with a whole packet and so may outlast the picture; the rules judge the picture's length exactly. */
const outlasting = 0.5

const openInput = async (file: number, job: Job): Promise<Opened | Found> => {
  const seen = lookAt(file)
  if ("_tag" in seen) return seen
  const unreadable = (detail: string): Found =>
    seen.claimsVideo
      ? { _tag: "Truncated", detail: `its index cannot be read (${detail})` }
      : { _tag: "NotAVideo", detail: "it is none of MP4, QuickTime, Matroska, WebM" }
  const context = new FormatContext()
  // Without the format list, a playlist could name any other file of this machine as its media.
  const opened = await context.openInput(
    "fd:",
    null,
    Dictionary.fromObject({
      format_whitelist: "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm",
      protocol_whitelist: "fd",
      fd: String(file),
      max_streams: "32",
      err_detect: "crccheck+bitstream+buffer+explode"
    })
  )
  if (opened < 0) return unreadable(explain(opened))
  const isPicture = (stream: Stream) => stream.codecpar.codecType === AVMEDIA_TYPE_VIDEO
  // The headers of these containers say all that is needed. FFmpeg's further probing would decode without our limits.
  const video = context.streams.find((stream) =>
    isPicture(stream) && (stream.disposition & AV_DISPOSITION_ATTACHED_PIC) === 0
  )
  if (video === undefined) return { _tag: "NotAVideo", detail: "it holds no video track" }
  const audio = context.streams.find((stream) => stream.codecpar.codecType === AVMEDIA_TYPE_AUDIO) ?? null
  const longest = Math.max(0, ...context.streams.map((stream) => declaredSeconds(context, stream)))
  if (longest > job.maxSeconds + outlasting) return { _tag: "TooLong", seconds: longest }
  const container = containerOf(file, context.iformat?.name ?? "")
  return tooLarge(video, job) ?? { context, bytes: seen.bytes, container, video, audio }
}

/** Reads every packet once, in file order; a Found ends the reading early. */
const readAll = async (opened: Opened, tracks: ReadonlyArray<Track>, job: Job): Promise<Found | null> => {
  const packet = new Packet()
  packet.alloc()
  const begins = new Map<number, number>()
  let breath = performance.now()
  for (;;) {
    // Calls on other threads would leave the event loop free, but at idle priority every hop between threads waits for a
    // processor: minutes, on a busy machine. So the loop is freed between packets, to see when nobody waits any more.
    if (performance.now() - breath > 50) {
      await setImmediate()
      breath = performance.now()
    }
    const read = opened.context.readFrameSync(packet)
    if (read === AVERROR_EOF) break
    if (read < 0) return { _tag: "Truncated", detail: explain(read) }
    const track = tracks.find((candidate) => candidate.stream.index === packet.streamIndex)
    if (track !== undefined) {
      const seconds = secondsOf(track.stream, packet.pts) ?? secondsOf(track.stream, packet.dts)
      const begin = begins.get(packet.streamIndex) ?? seconds
      if (begin !== null) begins.set(packet.streamIndex, begin)
      // The declared duration may lie, so the packets' own times are held to the limit too.
      if (seconds !== null && begin !== null && seconds - begin > job.maxSeconds + outlasting) {
        return { _tag: "TooLong", seconds: seconds - begin }
      }
      track.decode(packet)
    }
    // Also for packets that nobody decodes: a file may hold millions of those.
    const { system, user } = process.cpuUsage()
    if (user + system > job.cpuSeconds * 1e6) {
      return { _tag: "TooCostly", detail: `${job.cpuSeconds} s of processor time were not enough` }
    }
    packet.unref()
  }
  packet.free()
  for (const track of tracks) track.decode(null)
  return null
}

const undecodable = (stream: Stream, detail: string): Found => ({
  _tag: "Undecodable",
  codec: avGetCodecName(stream.codecpar.codecId) ?? "unknown",
  detail
})

const lengthOf = (track: Track): number => Math.max(0, track.span().end - track.span().start)

const makeListener = () => {
  const sound = makeSoundDetector()
  return {
    listen: (frame: Frame, seconds: number, origin: number) => {
      const channels = channelsOf(frame)
      if (channels !== null) sound.listen(channels, frame.nbSamples, frame.sampleRate, Math.max(0, seconds - origin))
    },
    finish: sound.finish
  }
}

const decodeAll = async (opened: Opened, job: Job): Promise<Found> => {
  const watcher = makeWatcher(opened.video, job.maxSeconds)
  const listener = makeListener()
  const video = await openTrack(opened.video, job.maxPixels, watcher.look)
  if (typeof video === "string") return undecodable(opened.video, video)
  const audio = opened.audio === null ? null : await openTrack(opened.audio, job.maxPixels, listener.listen)
  if (opened.audio !== null && typeof audio === "string") return undecodable(opened.audio, audio)
  const heard = typeof audio === "string" ? null : audio

  const refusal = await readAll(opened, heard === null ? [video] : [video, heard], job)
  if (refusal !== null) return refusal
  const seconds = lengthOf(video)
  const { black, fingerprint, frozen, pictures } = watcher.finish(seconds)
  const declared = declaredSeconds(opened.context, opened.video)
  return {
    _tag: "MediaFacts",
    container: opened.container,
    bytes: opened.bytes,
    measuredSeconds: seconds,
    declaredSeconds: declared > 0 ? declared : null,
    fingerprint,
    pictures,
    video: {
      codec: video.codec,
      ...video.size,
      fps: video.counts.frames < 2 || seconds === 0 ? 0 : video.counts.frames / seconds,
      framesDecoded: video.counts.frames,
      decodeErrors: video.counts.errors,
      black,
      frozen
    },
    audio: heard === null ? null : {
      codec: heard.codec,
      channels: heard.stream.codecpar.channels,
      sampleRate: heard.stream.codecpar.sampleRate,
      measuredSeconds: lengthOf(heard),
      decodeErrors: heard.counts.errors,
      ...listener.finish(lengthOf(heard))
    }
  }
}

const describeOpened = (opened: Opened | Found): Phase["attributes"] =>
  "_tag" in opened
    ? { "midnight.media.findings": opened._tag }
    : { "midnight.media.container": opened.container, "midnight.media.bytes": opened.bytes }

const describeFound = (found: Found): Phase["attributes"] =>
  found._tag === "MediaFacts"
    ? {
      "midnight.media.codec": found.video.codec,
      "midnight.media.frames": found.video.framesDecoded,
      "midnight.media.decode_errors": found.video.decodeErrors
    }
    : { "midnight.media.findings": found._tag }

/** Measures one file that was opened for reading, in phases. */
export const measure = async (file: number, job: Job, time: Time): Promise<Found> => {
  try {
    const opened = await time("media.open", () => openInput(file, job), describeOpened)
    if ("_tag" in opened) return opened
    const decode = () => decodeAll(opened, job).finally(() => opened.context.closeInput())
    return await time("media.decode", decode, describeFound)
  } catch (error) {
    if (error instanceof OutOfMemory) return { _tag: "TooCostly", detail: "it asks for more memory than is allowed" }
    throw error
  }
}
