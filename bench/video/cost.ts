import { Effect, Option } from "effect"
import { execFile } from "node:child_process"
import { promisify } from "node:util"
import { defaultRules } from "../../src/domain/Verification.ts"
import { MediaEngine } from "../../src/services/MediaEngine.ts"
import { median } from "../rounds.ts"

const run = promisify(execFile)

/** What the engine does, as filters: five pictures a second, black, frozen; silence and levels. */
export const filters = {
  video: "fps=5,scale=320:-2,blackdetect=d=0.3:pic_th=0.98:pix_th=0.10,freezedetect=n=0.001:d=1",
  /** The same on every frame, which is what the engine really looks at. */
  everyFrame: "scale=320:-2,blackdetect=d=0.3:pic_th=0.98:pix_th=0.10,freezedetect=n=0.001:d=1",
  audio: "silencedetect=noise=-50dB:d=0.3,astats=metadata=1"
}

/** The version of the command line that is installed, or none. */
export const ffmpegVersion = (): Promise<string | undefined> =>
  run("ffmpeg", ["-version"]).then(({ stdout }) => /version (\S+)/.exec(stdout)?.[1], () => undefined)

/**
 * Seconds of processor time of the whole process, by the shell's `times`: ours are counted from its start, too. FFmpeg's own
 * `-benchmark` begins after its libraries are loaded, which leaves out 0.05 s.
 */
const commandLine = async (path: string, video: string): Promise<number> => {
  const words = ["-nostdin", "-v", "error", "-threads", "1", "-filter_threads", "1", "-i", path]
  const all = [...words, "-vf", video, "-af", filters.audio, "-f", "null", "-"]
  const { stdout } = await run("sh", ["-ec", "\"$0\" \"$@\" 2>/dev/null; times", "ffmpeg", ...all])
  // The second line is of the shell's children: 0m1.230000s 0m0.040000s.
  const [, ...spent] = /\n(\d+)m([\d.]+)s (\d+)m([\d.]+)s\s*$/.exec(stdout) ?? []
  const [minutes = Number.NaN, seconds = Number.NaN, systemMinutes = 0, systemSeconds = 0] = spent.map(Number)
  return 60 * (minutes + systemMinutes) + seconds + systemSeconds
}

export interface Cost {
  readonly clip: string
  /** Medians, in seconds of processor time. */
  readonly ours: number
  readonly ffmpeg: number
  readonly everyFrame: number
  /** The median of the rounds' ratios, and their range. */
  readonly ratio: number
  readonly low: number
  readonly high: number
}

/** The engine and the command line in turns; processor time, so that a busy machine moves it little. */
export const cost = Effect.fnUntraced(function*(clip: string, path: string, rounds: number) {
  const engine = yield* MediaEngine
  const samples: Array<{ readonly ours: number; readonly ffmpeg: number; readonly everyFrame: number }> = []
  for (let round = 0; round < rounds; round++) {
    const { cpuSeconds } = yield* engine.analyse({
      path,
      jobId: "cost",
      rules: defaultRules,
      traceparent: Option.none()
    })
    const ffmpeg = yield* Effect.promise(() => commandLine(path, filters.video))
    const everyFrame = yield* Effect.promise(() => commandLine(path, filters.everyFrame))
    samples.push({ ours: cpuSeconds, ffmpeg, everyFrame })
  }
  const ratios = samples.map(({ ffmpeg, ours }) => ours / ffmpeg)
  const measured: Cost = {
    clip,
    ours: median(samples.map(({ ours }) => ours)),
    ffmpeg: median(samples.map(({ ffmpeg }) => ffmpeg)),
    everyFrame: median(samples.map(({ everyFrame }) => everyFrame)),
    ratio: median(ratios),
    low: Math.min(...ratios),
    high: Math.max(...ratios)
  }
  return measured
})
