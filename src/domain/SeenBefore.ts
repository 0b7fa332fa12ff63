// The child program loads this file too, so it imports nothing.

/** Pictures of a fingerprint per second of video. */
export const framesPerSecond = 5
export const bitsPerFrame = 128
export const bytesPerFrame = bitsPerFrame / 8
const wordsPerFrame = bytesPerFrame / 4

/** Horizontal and vertical frequency of each bit of a hash, the lowest first: those survive scaling and encoding best. */
export const frequencies: ReadonlyArray<readonly [number, number]> = Array.from(
  { length: 24 },
  (_, sum) => Array.from({ length: sum + 1 }, (_, u) => [u, sum - u] as const)
).flat().slice(1, 1 + bitsPerFrame)

/** Turning a picture left to right turns the sign of its odd horizontal frequencies, and of nothing else. */
const mirrorMask = Uint32Array.from({ length: wordsPerFrame }, (_, word) => {
  let mask = 0
  for (let bit = 0; bit < 32; bit++) if ((frequencies[word * 32 + bit]?.[0] ?? 0) % 2 === 1) mask |= 1 << bit
  return mask >>> 0
})

/** Hashes of a video's pictures in their order, four words each; a hash of zeros stands for a picture that tells nothing. */
export interface Fingerprint {
  readonly frames: number
  readonly words: Uint32Array
}

export const fingerprintOf = (bytes: Uint8Array): Fingerprint => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const frames = Math.floor(bytes.length / bytesPerFrame)
  const words = Uint32Array.from({ length: frames * wordsPerFrame }, (_, at) => view.getUint32(at * 4, true))
  return { frames, words }
}

const tells = ({ words }: Fingerprint, frame: number): boolean => {
  for (let at = frame * wordsPerFrame; at < (frame + 1) * wordsPerFrame; at++) if (words[at] !== 0) return true
  return false
}

const informative = (print: Fingerprint): ReadonlyArray<number> =>
  Array.from({ length: print.frames }, (_, frame) => frame).filter((frame) => tells(print, frame))

const mirrored = ({ frames, words }: Fingerprint): Fingerprint => {
  const print = { frames, words }
  const turned = words.map((word, at) => (word ^ (mirrorMask[at % wordsPerFrame] ?? 0)) >>> 0)
  for (let frame = 0; frame < frames; frame++) {
    if (!tells(print, frame)) turned.fill(0, frame * wordsPerFrame, (frame + 1) * wordsPerFrame)
  }
  return { frames, words: turned }
}

const bands = 3
const bitsPerBand = 21

/** Look-up keys of one picture: three of 21 bits, taken in turn from the lowest frequencies. Equal pictures share some. */
const keysOf = ({ words }: Fingerprint, frame: number): ReadonlyArray<number> =>
  Array.from({ length: bands }, (_, band) => {
    let key = band
    for (let at = 0; at < bitsPerBand; at++) {
      const bit = at * bands + band
      key = (key << 1) | (((words[frame * wordsPerFrame + (bit >> 5)] ?? 0) >>> (bit & 31)) & 1)
    }
    return key
  })

/** The distinct keys that a video is found by. */
export const indexKeys = (print: Fingerprint): ReadonlyArray<number> => [
  ...new Set(informative(print).flatMap((frame) => keysOf(print, frame)))
]

// A look-up of ten minutes must not cost thirty times that of twenty seconds; pictures from all of it will do.
const mostLookedUp = 200

/** The distinct keys to look a video up by, as it is and mirrored. */
export const lookupKeys = (print: Fingerprint): ReadonlyArray<number> => {
  const frames = informative(print)
  const every = Math.max(1, frames.length / mostLookedUp)
  const chosen = Array.from(
    { length: Math.floor(frames.length / every) },
    (_, at) => frames[Math.floor(at * every)] ?? 0
  )
  const turned = mirrored(print)
  return [...new Set(chosen.flatMap((frame) => [...keysOf(print, frame), ...keysOf(turned, frame)]))]
}

const bitsOf = (value: number): number => {
  let v = value - ((value >>> 1) & 0x55555555)
  v = (v & 0x33333333) + ((v >>> 2) & 0x33333333)
  return (((v + (v >>> 4)) & 0x0f0f0f0f) * 0x01010101) >>> 24
}

const distance = (a: Fingerprint, i: number, b: Fingerprint, j: number): number => {
  let bits = 0
  for (let at = 0; at < wordsPerFrame; at++) {
    bits += bitsOf((a.words[i * wordsPerFrame + at] ?? 0) ^ (b.words[j * wordsPerFrame + at] ?? 0))
  }
  return bits
}

/** Two pictures whose hashes differ in no more bits are the same; unrelated ones differ in 64. */
const samePicture = 30
/** A picture that differs from the last in more bits is a new one. Without some, a match says only that the place is the same. */
const newPicture = 8

/** Where two videos agree, in seconds of each, and how well. */
export interface Match {
  readonly mirrored: boolean
  readonly from: number
  readonly to: number
  readonly theirFrom: number
  readonly theirTo: number
  /** Pictures that agree, of those in the stretch, and of all of the submitted video that tell anything. */
  readonly frames: number
  readonly share: number
  /** How many of them are new pictures and not the one before again. */
  readonly distinct: number
  /** Bits in which agreeing pictures differ, on average. */
  readonly bits: number
}

/** Offsets at which pictures share a key, the most frequent first. */
const offsets = (mine: Fingerprint, theirs: Fingerprint): ReadonlyArray<number> => {
  const places = new Map<number, Array<number>>()
  for (const frame of informative(theirs)) {
    for (const key of keysOf(theirs, frame)) {
      const at = places.get(key)
      if (at === undefined) places.set(key, [frame])
      // A picture that stands still has one key for all its length, and says nothing about the offset.
      else if (at.length < 50) at.push(frame)
    }
  }
  const votes = new Map<number, number>()
  for (const frame of informative(mine)) {
    for (const key of keysOf(mine, frame)) {
      for (const at of places.get(key) ?? []) votes.set(at - frame, (votes.get(at - frame) ?? 0) + 1)
    }
  }
  return [...votes].sort(([a, n], [b, m]) => m - n || a - b).slice(0, 8).map(([offset]) => offset)
}

/** The stretch that agrees best at one offset: each picture that agrees counts for it, each that does not twice against. */
const stretch = (mine: Fingerprint, theirs: Fingerprint, offset: number) => {
  let best = { score: 0, first: 0, last: -1 }
  let score = 0
  let first = 0
  const end = Math.min(mine.frames, theirs.frames - offset)
  for (let frame = Math.max(0, -offset); frame < end; frame++) {
    if (!tells(mine, frame) || !tells(theirs, frame + offset)) continue
    if (score === 0) first = frame
    score = Math.max(0, score + (distance(mine, frame, theirs, frame + offset) <= samePicture ? 1 : -2))
    if (score > best.score) best = { score, first, last: frame }
  }
  return best
}

const describe = (mine: Fingerprint, theirs: Fingerprint, turned: boolean): Match | null => {
  const found = offsets(mine, theirs).map((offset) => ({ offset, ...stretch(mine, theirs, offset) }))
    .reduce<{ offset: number; score: number; first: number; last: number } | null>(
      (best, one) => best === null || one.score > best.score ? one : best,
      null
    )
  if (found === null || found.score === 0) return null
  const { first, last, offset } = found
  let frames = 0
  let bits = 0
  let distinct = 0
  let shown: number | null = null
  for (let frame = first; frame <= last; frame++) {
    if (!tells(mine, frame) || !tells(theirs, frame + offset)) continue
    const differs = distance(mine, frame, theirs, frame + offset)
    if (differs > samePicture) continue
    frames += 1
    bits += differs
    if (shown === null || distance(mine, frame, mine, shown) > newPicture) {
      distinct += 1
      shown = frame
    }
  }
  return {
    mirrored: turned,
    from: first / framesPerSecond,
    to: (last + 1) / framesPerSecond,
    theirFrom: (first + offset) / framesPerSecond,
    theirTo: (last + offset + 1) / framesPerSecond,
    frames,
    share: frames / informative(mine).length,
    distinct,
    bits: bits / frames
  }
}

/** Where a submitted video agrees best with an earlier one, as it is or mirrored. */
export const compare = (mine: Fingerprint, theirs: Fingerprint): Match | null => {
  const straight = describe(mine, theirs, false)
  const turned = describe(mirrored(mine), theirs, true)
  return straight === null || (turned !== null && turned.frames > straight.frames) ? turned : straight
}
