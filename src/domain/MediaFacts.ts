import { Schema } from "effect"
import { largestContactSheet, largestThumbnail } from "./Pictures.ts"

const notNegative = Schema.isGreaterThanOrEqualTo(0)
const Amount = Schema.Finite.check(notNegative)
const Count = Schema.Int.check(notNegative)

const Stretches = Schema.Struct({
  seconds: Amount,
  ratio: Amount,
  intervals: Schema.Array(Schema.Struct({ start: Amount, end: Amount }))
})

/** A JPEG file, in base64 between processes. */
const Picture = (largest: number) =>
  Schema.OptionFromNullOr(
    Schema.String.check(Schema.isMaxLength(Math.ceil(largest / 3) * 4)).pipe(
      Schema.decodeTo(Schema.Uint8ArrayFromBase64)
    )
  )

/**
 * What a file is by its own first words, its brand or its DocType: the demuxers read several and do not tell them apart.
 * M4A, 3GP, 3GPP2 and Motion JPEG 2000 are MP4 with limits of their own.
 */
export const Container = Schema.Literals(["mp4", "mov", "m4a", "3gp", "3g2", "mj2", "webm", "matroska"])
export type Container = typeof Container.Type

/** What the media engine measured in a file that it could read to the end. Times are seconds, levels dBFS. */
export const MediaFacts = Schema.TaggedStruct("MediaFacts", {
  container: Container,
  bytes: Count,
  measuredSeconds: Amount,
  declaredSeconds: Schema.OptionFromNullOr(Amount),
  fingerprint: Schema.Uint8ArrayFromBase64.annotate({ description: "see SeenBefore.ts" }),
  pictures: Schema.Struct({ thumbnail: Picture(largestThumbnail), contactSheet: Picture(largestContactSheet) }),
  video: Schema.Struct({
    codec: Schema.String,
    width: Count,
    height: Count,
    fps: Amount,
    framesDecoded: Count,
    decodeErrors: Count,
    black: Stretches,
    frozen: Stretches
  }),
  audio: Schema.OptionFromNullOr(Schema.Struct({
    codec: Schema.String,
    channels: Count,
    sampleRate: Count,
    measuredSeconds: Amount,
    decodeErrors: Count,
    meanVolumeDb: Schema.Finite,
    maxVolumeDb: Schema.Finite,
    silenceSeconds: Amount
  }))
})
export type MediaFacts = typeof MediaFacts.Type

/** Why a file could not be measured to the end. Final: trying again gives the same answer. */
export const Refusal = Schema.Union([
  Schema.TaggedStruct("Empty", {}),
  Schema.TaggedStruct("NotAVideo", { detail: Schema.String }),
  Schema.TaggedStruct("Truncated", { detail: Schema.String }),
  Schema.TaggedStruct("Undecodable", { codec: Schema.String, detail: Schema.String }),
  Schema.TaggedStruct("TooLong", { seconds: Amount }),
  Schema.TaggedStruct("TooManyPixels", { width: Count, height: Count }),
  Schema.TaggedStruct("TooCostly", { detail: Schema.String })
])
export type Refusal = typeof Refusal.Type

/** What an engine has to say about a file. */
export const Findings = Schema.Union([MediaFacts, Refusal])
export type Findings = typeof Findings.Type
