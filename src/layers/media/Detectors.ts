// Part of the child program: nothing here may load Effect, whose start would cost every job more than opening its file.
// The measures follow FFmpeg's blackdetect, freezedetect, silencedetect and astats. They are written out because a filter
// graph costs more per frame than what it does here, and because freezedetect takes a small thing that moves for nothing.

interface Interval {
  readonly start: number
  readonly end: number
}

/** Adds up stretches of time that are at least so long; times are seconds from the start of the track. */
const makeIntervals = (shortest: number) => {
  // A flickering video must not grow the answer without bound; the total stays exact.
  const intervals: Array<Interval> = []
  let open: number | null = null
  let total = 0
  const close = (end: number) => {
    // Times are sums of fractions: a stretch of exactly the shortest length counts.
    if (open !== null && end - open >= shortest - 1e-6) {
      total += end - open
      if (intervals.length < 100) intervals.push({ start: open, end })
    }
    open = null
  }
  return {
    begin: (at: number) => {
      open ??= at
    },
    close,
    finish: (end: number) => {
      close(end)
      return { intervals, seconds: total }
    }
  }
}

/** The size of the grey pictures that are looked at: points of the video's own pictures, so that its noise is still in them. */
export const looked = { width: 160, height: 90 }
const pixels = looked.width * looked.height

/** A tenth of the way from black to white. */
const blackLevel = 25
const blackShare = 0.98

export const makeBlackDetector = () => {
  const stretches = makeIntervals(0.3)
  return {
    /** Whether this picture is black. */
    look: (luma: Uint8Array, seconds: number): boolean => {
      let bright = 0
      const most = pixels * (1 - blackShare)
      for (let at = 0; at < pixels && bright <= most; at++) if ((luma[at] ?? 0) > blackLevel) bright++
      const black = bright <= most
      if (black) stretches.begin(seconds)
      else stretches.close(seconds)
      return black
    },
    finish: stretches.finish
  }
}

const part = { width: 8, height: 9 }
const columns = looked.width / part.width
/**
 * Grey levels by which a picture differs, on average over any of its 200 parts, when something moves there. An encoder that
 * refreshes a picture which stands still changes parts of it by up to 3; a clock of small digits changes one by 12.
 */
const stillLevels = 6

const moved = (luma: Uint8Array, reference: Uint8Array): boolean => {
  const most = stillLevels * part.width * part.height
  const sums = new Uint16Array(columns)
  for (let y = 0; y < looked.height; y++) {
    if (y % part.height === 0) sums.fill(0)
    const row = y * looked.width
    for (let x = 0; x < looked.width; x++) {
      const difference = (luma[row + x] ?? 0) - (reference[row + x] ?? 0)
      const sum = (sums[x >> 3] ?? 0) + (difference < 0 ? -difference : difference)
      if (sum > most) return true
      sums[x >> 3] = sum
    }
  }
  return false
}

/** Finds a second or more in which nothing moves. Black is reported as black and is not frozen too. */
export const makeFrozenDetector = () => {
  const stretches = makeIntervals(1)
  const reference = new Uint8Array(pixels)
  let first = true
  return {
    look: (luma: Uint8Array, seconds: number, black: boolean) => {
      if (!first && !black && !moved(luma, reference)) return
      // Against the first picture of the stretch, not the one before: what creeps is not frozen.
      stretches.close(seconds)
      reference.set(luma)
      first = black
      if (!black) stretches.begin(seconds)
    },
    finish: stretches.finish
  }
}

/** Samples of one channel, from -1 to 1; with `step` other channels lie between them. */
export interface Channel {
  readonly values: ArrayLike<number>
  readonly first: number
  readonly step: number
  /** What is 1 in them, and what is 0. */
  readonly full: number
  readonly zero: number
}

// What no sample at all would measure: the floor of 16-bit sound.
const silentDb = -91
const silentLevel = 10 ** (-50 / 20)

const decibels = (level: number) => level <= 0 ? silentDb : Math.max(silentDb, 20 * Math.log10(level))

// A packet of PCM may hold seconds; within so many samples (21 ms) silence between two loud ones does not count.
const block = 1024

/** Finds 0.3 s or more in which no sample of any channel is above -50 dBFS; and the levels of it all. */
export const makeSoundDetector = () => {
  const stretches = makeIntervals(0.3)
  let squares = 0
  let heard = 0
  let peak = 0
  /** Where the first and the last loud sample of any channel are; -1 where there is none. */
  const loudIn = (channels: ReadonlyArray<Channel>, from: number, to: number) => {
    let firstLoud = -1
    let lastLoud = -1
    for (const { first, full, step, values, zero } of channels) {
      const loud = silentLevel * full
      let begun = false
      for (let at = from; at < to; at++) {
        const value = (values[first + at * step] ?? 0) - zero
        const level = value < 0 ? -value : value
        squares += (value / full) * (value / full)
        if (level > peak * full) peak = level / full
        if (level <= loud) continue
        if (!begun && (firstLoud < 0 || at < firstLoud)) firstLoud = at
        begun = true
        if (at > lastLoud) lastLoud = at
      }
    }
    return { firstLoud, lastLoud }
  }
  return {
    listen: (channels: ReadonlyArray<Channel>, samples: number, rate: number, seconds: number) => {
      heard += samples * channels.length
      for (let from = 0; from < samples; from += block) {
        const { firstLoud, lastLoud } = loudIn(channels, from, Math.min(samples, from + block))
        stretches.begin(seconds + from / rate)
        if (firstLoud < 0) continue
        stretches.close(seconds + firstLoud / rate)
        stretches.begin(seconds + (lastLoud + 1) / rate)
      }
    },
    finish: (end: number) => ({
      meanVolumeDb: decibels(Math.sqrt(squares / Math.max(1, heard))),
      maxVolumeDb: decibels(peak),
      silenceSeconds: stretches.finish(end).seconds
    })
  }
}
