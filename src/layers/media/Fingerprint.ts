// Part of the child program (see Detectors.ts). What the numbers mean and why: docs/seen-before.md.
import { bitsPerFrame, bytesPerFrame, frequencies } from "../../domain/SeenBefore.ts"

/** A small grey picture, rows one after another. */
export interface LumaFrame {
  readonly width: number
  readonly height: number
  readonly luma: Uint8Array
}

// Kept of each picture until the clip's borders are known: 3 KiB, so 9 MiB of the longest video.
const keptWidth = 64
const keptHeight = 48
const side = 32
/** A line whose values all lie this close together, in every picture, is a border and no content. */
const borderSpread = 24
/** Less contrast than this, as a standard deviation, is a black, white or faded picture: many clips have one. */
const leastContrast = 6
/** Pictures before and after that a hash averages over, so that two samplings of a moving scene agree. */
const reach = 1
const order = 1 + Math.max(...frequencies.map(([u, v]) => Math.max(u, v)))

interface Area {
  readonly left: number
  readonly top: number
  readonly right: number
  readonly bottom: number
}

/** Averages of `cells` equal parts of the line from `from` to `to`: for each the first pixel and the weights from there. */
const partsOf = (from: number, to: number, cells: number) =>
  Array.from({ length: cells }, (_, cell) => {
    const start = from + ((to - from) * cell) / cells
    const end = from + ((to - from) * (cell + 1)) / cells
    const first = Math.floor(start)
    const weights = Array.from(
      { length: Math.max(1, Math.ceil(end) - first) },
      (_, at) => (Math.min(end, first + at + 1) - Math.max(start, first + at)) / (end - start)
    )
    return { first, weights }
  })

type Parts = ReturnType<typeof partsOf>

/** `pixels` of a picture `width` wide, averaged into `columns.length` times `rows.length` cells. */
const shrink = (pixels: Uint8Array, width: number, columns: Parts, rows: Parts, out: Float32Array | Uint8Array) => {
  let at = 0
  for (const row of rows) {
    for (const column of columns) {
      let sum = 0
      for (let y = 0; y < row.weights.length; y++) {
        const from = (row.first + y) * width + column.first
        let line = 0
        for (let x = 0; x < column.weights.length; x++) line += (pixels[from + x] ?? 0) * (column.weights[x] ?? 0)
        sum += line * (row.weights[y] ?? 0)
      }
      out[at++] = sum
    }
  }
}

/** The lowest and highest value that each pixel ever had, from which the borders follow. */
const makeExtremes = (width: number, height: number) => {
  const low = new Uint8Array(width * height).fill(255)
  const high = new Uint8Array(width * height)
  const flat = (x0: number, y0: number, x1: number, y1: number): boolean => {
    let least = 255
    let most = 0
    for (let y = y0; y < y1; y++) {
      for (let x = x0; x < x1; x++) {
        least = Math.min(least, low[y * width + x] ?? 255)
        most = Math.max(most, high[y * width + x] ?? 0)
      }
    }
    return most - least <= borderSpread
  }
  return {
    add: (luma: Uint8Array) => {
      for (let at = 0; at < low.length; at++) {
        const value = luma[at] ?? 0
        if (value < (low[at] ?? 255)) low[at] = value
        if (value > (high[at] ?? 0)) high[at] = value
      }
    },
    /** What is left when flat lines are taken off all four sides, in any order; all of it when little would be left. */
    content: (): Area => {
      let [left, top, right, bottom] = [0, 0, width, height]
      for (let before = -1; before !== left + top - right - bottom;) {
        before = left + top - right - bottom
        while (top < bottom && flat(left, top, right, top + 1)) top++
        while (bottom > top && flat(left, bottom - 1, right, bottom)) bottom--
        while (left < right && flat(left, top, left + 1, bottom)) left++
        while (right > left && flat(right - 1, top, right, bottom)) right--
      }
      return right - left < width / 5 || bottom - top < height / 5
        ? { left: 0, top: 0, right: width, bottom: height }
        // The line beside a border is a blend of both.
        : {
          left: left > 0 ? left + 1 : 0,
          top: top > 0 ? top + 1 : 0,
          right: right < width ? right - 1 : width,
          bottom: bottom < height ? bottom - 1 : height
        }
    }
  }
}

const cosines = Array.from(
  { length: order },
  (_, frequency) =>
    Float32Array.from({ length: side }, (_, at) => Math.cos((Math.PI * frequency * (2 * at + 1)) / (2 * side)))
)

/** The low frequencies of a square picture, in the order of `frequencies`: two passes of a cosine transform. */
const transform = (square: Float32Array): Float32Array => {
  const rows = new Float32Array(order * side)
  for (let u = 0; u < order; u++) {
    const wave = cosines[u] ?? new Float32Array(side)
    for (let y = 0; y < side; y++) {
      let sum = 0
      for (let x = 0; x < side; x++) sum += (square[y * side + x] ?? 0) * (wave[x] ?? 0)
      rows[u * side + y] = sum
    }
  }
  return Float32Array.from(frequencies, ([u, v]) => {
    const wave = cosines[v] ?? new Float32Array(side)
    let sum = 0
    for (let y = 0; y < side; y++) sum += (rows[u * side + y] ?? 0) * (wave[y] ?? 0)
    return sum
  })
}

const contrast = (square: Float32Array): number => {
  const mean = square.reduce((sum, value) => sum + value, 0) / square.length
  return Math.sqrt(square.reduce((sum, value) => sum + (value - mean) ** 2, 0) / square.length)
}

/** Bit i says whether frequency i is above zero in the pictures around `at`, taken together. */
const writeHash = (spectra: ReadonlyArray<Float32Array | null>, at: number, out: Uint8Array) => {
  const near = spectra.slice(Math.max(0, at - reach), at + reach + 1).filter((spectrum) => spectrum !== null)
  for (let bit = 0; bit < bitsPerFrame; bit++) {
    const sum = near.reduce((total, spectrum) => total + (spectrum[bit] ?? 0), 0)
    const byte = at * bytesPerFrame + (bit >> 3)
    if (sum > 0) out[byte] = (out[byte] ?? 0) | (1 << (bit & 7))
  }
}

/**
 * Takes pictures at a fixed rate and all of one size; answers `bytesPerFrame` for each, zero for those that have too little
 * in them to be told from others.
 */
export const makeFingerprint = () => {
  const kept: Array<Uint8Array> = []
  let size: { readonly width: number; readonly height: number } | null = null
  let extremes = makeExtremes(0, 0)
  let parts: { readonly columns: Parts; readonly rows: Parts } = { columns: [], rows: [] }
  return {
    look: ({ height, luma, width }: LumaFrame) => {
      if (size === null) {
        size = { width, height }
        extremes = makeExtremes(width, height)
        parts = { columns: partsOf(0, width, keptWidth), rows: partsOf(0, height, keptHeight) }
      }
      extremes.add(luma)
      const small = new Uint8Array(keptWidth * keptHeight)
      shrink(luma, width, parts.columns, parts.rows, small)
      kept.push(small)
    },
    finish: (): Uint8Array => {
      const hashes = new Uint8Array(kept.length * bytesPerFrame)
      if (size === null) return hashes
      const { bottom, left, right, top } = extremes.content()
      const columns = partsOf((left / size.width) * keptWidth, (right / size.width) * keptWidth, side)
      const rows = partsOf((top / size.height) * keptHeight, (bottom / size.height) * keptHeight, side)
      const square = new Float32Array(side * side)
      const spectra = kept.map((small) => {
        shrink(small, keptWidth, columns, rows, square)
        return contrast(square) < leastContrast ? null : transform(square)
      })
      for (let at = 0; at < spectra.length; at++) if (spectra[at] !== null) writeHash(spectra, at, hashes)
      return hashes
    }
  }
}
