// Part of the child program: nothing here may load Effect, whose start would cost every job more than opening its file.
import { FilterAPI } from "node-av/api"
import type { Frame } from "node-av/lib"

/** Intervals found between a filter's `…_start` and `…_end` marks, in seconds; one still open at the end lasts until then. */
const makeIntervals = () => {
  // A flickering video must not grow the answer without bound; the total stays exact.
  const kept: Array<{ start: number; end: number }> = []
  let open: number | null = null
  let total = 0
  const close = (end: number) => {
    if (open === null) return
    const length = Math.max(0, end - open)
    total += length
    if (kept.length < 100 && length > 0) kept.push({ start: open, end })
    open = null
  }
  return {
    mark: (start: string | undefined, end: string | undefined, origin: number) => {
      if (end !== undefined) close(Math.max(0, Number(end) - origin))
      if (start !== undefined) open = Math.max(0, Number(start) - origin)
    },
    finish: (end: number) => {
      close(end)
      return { intervals: kept, total }
    }
  }
}

/** Looks at five small pictures a second: black is as black at 320 pixels, and a tenth of the work. */
export const makeBlackDetector = () => {
  const filter = FilterAPI.create(
    "scale=w=320:h=180:flags=fast_bilinear,format=yuv420p,blackdetect=d=0.3:pic_th=0.98:pix_th=0.10",
    { threads: 1 }
  )
  const intervals = makeIntervals()
  let next = Number.NEGATIVE_INFINITY
  return {
    // Choosing the pictures here, and not by an fps filter, keeps a forged jump in time from being filled with copies.
    look: (frame: Frame, seconds: number, origin: number) => {
      if (seconds < next) return
      next = seconds + 0.199
      for (const out of filter.processAllSync(frame)) {
        const found = out.getMetadata().getAll()
        intervals.mark(found["lavfi.black_start"], found["lavfi.black_end"], origin)
        out.free()
      }
    },
    finish: (end: number) => {
      filter.close()
      return intervals.finish(end)
    }
  }
}

// What no sample at all would measure: the floor of 16-bit sound.
const silentDb = -91

const level = (text: string | undefined): number => {
  const value = Number(text)
  return Number.isFinite(value) ? Math.max(silentDb, value) : silentDb
}

export const makeSoundDetector = () => {
  const filter = FilterAPI.create(
    "silencedetect=noise=-50dB:d=0.3,"
      + "astats=metadata=1:reset=0:measure_perchannel=none:measure_overall=RMS_level+Peak_level",
    { threads: 1 }
  )
  const intervals = makeIntervals()
  let mean = silentDb
  let peak = silentDb
  return {
    listen: (frame: Frame, origin: number) => {
      for (const out of filter.processAllSync(frame)) {
        const found = out.getMetadata().getAll()
        intervals.mark(found["lavfi.silence_start"], found["lavfi.silence_end"], origin)
        mean = level(found["lavfi.astats.Overall.RMS_level"])
        peak = level(found["lavfi.astats.Overall.Peak_level"])
        out.free()
      }
    },
    finish: (end: number) => {
      filter.close()
      return { meanVolumeDb: mean, maxVolumeDb: peak, silenceSeconds: intervals.finish(end).total }
    }
  }
}
