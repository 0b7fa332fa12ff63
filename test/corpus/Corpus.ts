import { Effect } from "effect"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { deflateSync } from "node:zlib"
import { type ClipOptions, makeClip } from "../../src/main/demo/Clip.ts"
import { attacks, type Bait } from "./Attacks.ts"
import { full, mp4, quarterTurn, u32 } from "./Boxes.ts"
import { greyH264 } from "./GreyH264.ts"

/** A file of the corpus, and the outcomes that are right for it. */
export interface Specimen {
  readonly name: string
  readonly bytes: Buffer
  readonly outcomes: ReadonlyArray<"approved" | "rejected" | "needs_review">
}

const bad = ["rejected"] as const
const playable = ["approved", "rejected", "needs_review"] as const
const notApproved = ["rejected", "needs_review"] as const

/** Marsaglia's xorshift: the same seed flips the same bits on every machine. */
const random = (seed: number) => {
  let state = (seed * 2_654_435_761) >>> 0 || 1
  return (below: number) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}

const flipped = (bytes: Buffer, seed: number) => {
  const copy = Buffer.from(bytes)
  const below = random(seed)
  for (let flips = 0; flips < 40; flips++) {
    const at = below(copy.length)
    copy.writeUInt8(copy.readUInt8(at) ^ (1 << below(8)), at)
  }
  return copy
}

/** Its picture track becomes a box that nobody reads. */
const soundOnly = (bytes: Buffer) => {
  const copy = Buffer.from(bytes)
  copy.write("free", copy.indexOf("trak"), "latin1")
  return copy
}

const png = () => {
  const pixels = deflateSync(Buffer.alloc(16_384 * 4_097))
  const chunk = (kind: string, body: Buffer) => Buffer.concat([u32(body.length), Buffer.from(kind), body, u32(0)])
  const head = chunk("IHDR", Buffer.concat([u32(16_384, 4_096), Buffer.from([8, 2, 0, 0, 0])]))
  return Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), head, chunk("IDAT", pixels)])
}

const clip = (folder: string, name: string, options: Partial<ClipOptions>) =>
  Effect.gen(function*() {
    const path = join(folder, name)
    yield* makeClip({ path, seconds: 2, width: 320, height: 240, fps: 15, kind: "scene", ...options })
    return yield* Effect.promise(() => readFile(path))
  })

const made = (folder: string) =>
  Effect.gen(function*() {
    return {
      mp4: yield* clip(folder, "base.mp4", {}),
      webm: yield* clip(folder, "base.webm", { format: "webm" }),
      ts: yield* clip(folder, "base.ts", { format: "mpegts", seconds: 1 }),
      oneFrame: yield* clip(folder, "one.mp4", { seconds: 1, fps: 1 }),
      large: yield* clip(folder, "large.mp4", { width: 3_840, height: 2_160, fps: 4, seconds: 1, kind: "scene_mute" })
    }
  })

const plain = (clips: Effect.Success<ReturnType<typeof made>>): ReadonlyArray<Specimen> => {
  const grey = greyH264(320, 240, 60)
  // Deltas of 2 to 200 milliseconds and one of two seconds, in turn.
  const rhythm = Array.from({ length: 60 }, (_, at) => [1, at === 30 ? 1_200 : 1 + (at * 37) % 120]).flat()
  return [
    { name: "good.mp4", bytes: clips.mp4, outcomes: ["approved"] },
    { name: "good.webm", bytes: clips.webm, outcomes: ["approved"] },
    { name: "empty.mp4", bytes: Buffer.alloc(0), outcomes: bad },
    { name: "one-byte.mp4", bytes: Buffer.alloc(1), outcomes: bad },
    { name: "text.mp4", bytes: Buffer.from("This is a letter.\n".repeat(99)), outcomes: bad },
    { name: "image.png", bytes: png(), outcomes: bad },
    { name: "sound-only.mp4", bytes: soundOnly(clips.mp4), outcomes: bad },
    { name: "transport-stream.mp4", bytes: clips.ts, outcomes: bad },
    { name: "one-frame.mp4", bytes: clips.oneFrame, outcomes: playable },
    { name: "4k.mp4", bytes: clips.large, outcomes: bad },
    { name: "16k-by-16k.mp4", bytes: mp4(greyH264(16_000, 16_000, 2)), outcomes: bad },
    // FFmpeg itself refuses 16,384; of 16,000 it would decode each.
    {
      name: "16k-by-16k-that-claims-360p.mp4",
      bytes: mp4(greyH264(16_000, 16_000, 3, { width: 640, height: 360 })),
      outcomes: bad
    },
    { name: "rotated.mp4", bytes: mp4({ ...grey, matrix: quarterTurn }), outcomes: bad },
    {
      name: "variable-frame-rate.mp4",
      bytes: mp4({ ...grey, stts: full("stts", 0, u32(60, ...rhythm)) }),
      outcomes: bad
    },
    // Its only fault: it says that it lasts ten times as long.
    { name: "says-it-is-longer.mp4", bytes: mp4({ ...grey, duration: 18_000 }), outcomes: bad },
    { name: "says-it-is-shorter.mp4", bytes: mp4({ ...grey, duration: 600 }), outcomes: bad }
  ]
}

/** The corpus. All of it is made here; none of it comes from elsewhere. */
export const corpus = Effect.fnUntraced(function*(folder: string, bait: Bait, seeds: number, cuts: number) {
  const clips = yield* made(folder)
  const truncated = [clips.mp4, clips.webm].flatMap((bytes, kind) =>
    Array.from({ length: cuts }, (_, at): Specimen => ({
      name: `cut-at-${at + 1}-of-${cuts + 1}.${kind === 0 ? "mp4" : "webm"}`,
      bytes: bytes.subarray(0, Math.floor((bytes.length * (at + 1)) / (cuts + 1))),
      outcomes: bad
    }))
  )
  const flips = Array.from({ length: seeds }, (_, seed): Specimen => ({
    name: `flipped-by-${seed}.${seed % 2 === 0 ? "mp4" : "webm"}`,
    bytes: flipped(seed % 2 === 0 ? clips.mp4 : clips.webm, seed + 1),
    // VP8 and Opus carry no checksum, and any bits mean some picture: its decoder cannot know of every flip.
    outcomes: seed % 2 === 0 ? notApproved : playable
  }))
  const hostile = Object.entries(attacks(bait)).map(([name, make]): Specimen => ({
    name,
    bytes: make(),
    outcomes: notApproved
  }))
  return [...plain(clips), ...truncated, ...flips, ...hostile]
})
