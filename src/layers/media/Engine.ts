import { Effect, Exit as EffectExit, Layer, Option, Schema } from "effect"
import type { Tracer } from "effect"
import { Headers, HttpTraceContext } from "effect/http"
import { constants } from "node:fs"
import { type FileHandle, open } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import { MediaEngine, MediaEngineFailed } from "../../services/MediaEngine.ts"
import type { MediaReport } from "../../services/MediaEngine.ts"
import { lowerSession } from "../Priority.ts"
import { startChild, watchResident, watchWall } from "./Child.ts"
import type { Exit } from "./Child.ts"
import { probeGuards } from "./Guard.ts"
import type { ChildLimits, Guards } from "./Guard.ts"
import { Answer } from "./Protocol.ts"
import type { Job, Phase } from "./Protocol.ts"

export interface EngineOptions extends ChildLimits {
  /** The program each child runs. */
  readonly program: string
  /** Pixels of a picture, whatever the rules of a submission allow. */
  readonly maxPixels: number
}

export const defaults: EngineOptions = {
  dataBytes: 1280 * 1024 * 1024,
  residentBytes: 640 * 1024 * 1024,
  cpuSeconds: 60,
  wallSeconds: 120,
  patienceSeconds: 3_600,
  fileBytes: 256 * 1024 * 1024,
  openFiles: 64,
  idle: true,
  maxPixels: 8_912_896,
  program: fileURLToPath(new URL("./ChildMain.ts", import.meta.url))
}

const decodeAnswer = Schema.decodeUnknownEffect(Schema.fromJsonString(Answer))

const failed = (reason: MediaEngineFailed["reason"], detail: string) => new MediaEngineFailed({ reason, detail })

/** What the way a child ended says about it, when it ended without an answer. */
const whyNoAnswer = ({ code, errors, signal }: Exit): MediaEngineFailed => {
  const how = `${signal ?? `exit code ${code}`}${errors === "" ? "" : `: ${errors.trim().slice(0, 500)}`}`
  if (signal === "SIGXCPU") return failed("timed_out", `used up its processor time (${how})`)
  return failed(/out of memory/i.test(errors) ? "out_of_memory" : "crashed", how)
}

const readAnswer = (exit: Exit): Effect.Effect<Answer, MediaEngineFailed> =>
  exit.code === 0
    ? decodeAnswer(exit.output).pipe(
      Effect.mapError((error) => failed("crashed", `its answer is unreadable: ${error.message.slice(0, 500)}`))
    )
    : Effect.fail(whyNoAnswer(exit))

/**
 * The one file that a child gets. Not what a link leads to, and not a pipe, whose end nobody knows: opening one without
 * O_NONBLOCK would wait for its writer.
 */
const openVideo = (path: string) =>
  Effect.acquireRelease(
    Effect.tryPromise({
      try: () => open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK),
      catch: (cause) => failed("spawn_failed", `the video cannot be opened: ${String(cause)}`)
    }),
    (file) => Effect.promise(() => file.close())
  ).pipe(Effect.flatMap(Effect.fnUntraced(function*(file: FileHandle) {
    const stat = yield* Effect.promise(() => file.stat())
    if (!stat.isFile()) return yield* failed("spawn_failed", "the video is no regular file")
    return { fd: file.fd, size: stat.size }
  })))

const tooLarge = (limit: number): MediaReport => ({
  findings: { _tag: "TooCostly", detail: `it is larger than ${limit} bytes` },
  cpuSeconds: 0,
  peakBytes: 0
})

const nanos = (milliseconds: number) => BigInt(Math.round(milliseconds * 1_000)) * 1_000n

/** The child exports no spans itself, so that it needs no network; its phases become spans here, with their own times. */
const recordPhases = Effect.fnUntraced(function*(phases: ReadonlyArray<Phase>, parent: Tracer.Span) {
  const tracer = yield* Effect.tracer
  for (const phase of phases) {
    const span = tracer.span({
      name: phase.name,
      parent: Option.some(parent),
      annotations: parent.annotations,
      links: [],
      startTime: nanos(phase.startMs),
      kind: "internal",
      root: false,
      sampled: parent.sampled
    })
    for (const [key, value] of Object.entries(phase.attributes)) span.attribute(key, value)
    span.end(nanos(phase.endMs), EffectExit.void)
  }
})

const runChild = (options: EngineOptions, guards: Guards) =>
  Effect.fn("media.child")(
    function*(job: Job, jobId: string, file: number) {
      const argv = [...guards.prefix, process.execPath, "--max-old-space-size=128", options.program]
      const span = yield* Effect.option(Effect.currentSpan)
      const child = yield* startChild(argv, JSON.stringify(job), file)
      // Idle priority counts within a session only, and the child leads one of its own.
      if (options.idle) yield* Effect.forkScoped(lowerSession(child.pid, 19))
      yield* Effect.annotateCurrentSpan({
        "midnight.job.id": jobId,
        "process.pid": child.pid,
        "process.parent_pid": process.pid,
        "process.executable.path": process.execPath
      })
      const exit = yield* Effect.raceAllFirst([
        child.exit,
        watchResident(child.pid, options.residentBytes),
        watchWall(child.pid, options.wallSeconds)
      ])
      yield* Effect.annotateCurrentSpan(
        exit.code === null ? { "midnight.process.signal": exit.signal } : { "process.exit.code": exit.code }
      )
      const answer = yield* readAnswer(exit)
      if (span._tag === "Some") yield* recordPhases(answer.phases, span.value)
      return answer
    },
    Effect.scoped,
    Effect.timeoutOrElse({
      duration: `${options.patienceSeconds} seconds`,
      orElse: () => Effect.fail(failed("timed_out", `no room for it within ${options.patienceSeconds} s`))
    })
  )

/** A fiber that is already inside a trace stays in it; one that is not continues the caller's. */
const continueTrace =
  (traceparent: Option.Option<string>) => <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.flatMap(Effect.option(Effect.currentParentSpan), (current) => {
      const parent = Option.flatMap(
        traceparent,
        (value) => HttpTraceContext.w3c(Headers.fromInput({ traceparent: value }))
      )
      return current._tag === "None" && parent._tag === "Some" ? Effect.withParentSpan(effect, parent.value) : effect
    })

const layer = (overrides: Partial<EngineOptions> = {}): Layer.Layer<MediaEngine> =>
  Layer.effect(
    MediaEngine,
    Effect.gen(function*() {
      const options = { ...defaults, ...overrides }
      const guards = yield* probeGuards(options)
      const run = runChild(options, guards)
      const analyse = Effect.fn("MediaEngine.analyse")(function*({ jobId, path, rules }: Parameters<
        MediaEngine["Service"]["analyse"]
      >[0]) {
        yield* Effect.annotateCurrentSpan("midnight.job.id", jobId)
        const video = yield* openVideo(path)
        if (video.size > options.fileBytes) return tooLarge(options.fileBytes)
        const job: Job = {
          maxSeconds: rules.maxSeconds,
          maxPixels: Math.min(rules.maxPixels, options.maxPixels),
          cpuSeconds: options.cpuSeconds * 0.9
        }
        const { cpuSeconds, findings, peakBytes } = yield* run(job, jobId, video.fd)
        yield* Effect.annotateCurrentSpan({
          "midnight.media.findings": findings._tag,
          "midnight.media.cpu_seconds": cpuSeconds
        })
        return { findings, cpuSeconds, peakBytes }
      }, Effect.scoped)
      return MediaEngine.of({
        guards: guards.guards,
        analyse: (input) => analyse(input).pipe(continueTrace(input.traceparent))
      })
    })
  )

/** The media engine over a guarded child process per job. Options are for tests and unusual machines. */
export const MediaEngineLive = { layer }
