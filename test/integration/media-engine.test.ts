import { describe, expect, layer, vi } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import type { Tracer } from "effect"
import type { MediaFacts } from "../../src/domain/MediaFacts.ts"
import { defaultRules, judge } from "../../src/domain/Verification.ts"
import { MediaEngine } from "../../src/services/MediaEngine.ts"
import { analyse, analyseBy, canary, Clips, jpegSize } from "../layers/clips.ts"
import { ordinaryEngine } from "../layers/ordinaryEngine.ts"
import { recordedTracer } from "../layers/recorded-tracer.ts"

// A machine that is busy with other tests takes its time.
vi.setConfig({ testTimeout: 180_000 })

const verdict = (name: string, rules = defaultRules) =>
  Effect.map(analyse(name, rules), ({ findings }) => judge(findings, rules))

const failing = (name: string, rules = defaultRules) =>
  Effect.map(verdict(name, rules), ({ checks, outcome, reasons }) => {
    expect(outcome).toBe("rejected")
    const names = checks.filter((check) => check.outcome === "fail").map((check) => check.name)
    expect(reasons.map((reason) => reason.split(":")[0])).toEqual(names)
    return names
  })

const measured = (name: string) =>
  Effect.flatMap(
    analyse(name),
    ({ findings }): Effect.Effect<MediaFacts> =>
      findings._tag === "MediaFacts" ? Effect.succeed(findings) : Effect.die(`${name}: ${findings._tag}`)
  )

// The priority is media-guards' subject. Here the children have that of everybody: idle, they hardly run beside other tests.
const fixtures = Layer.merge(ordinaryEngine, Clips.layer)

layer(fixtures, { excludeTestServices: true, timeout: "120 seconds" })("MediaEngine", (it) => {
  describe("a good video", () => {
    it.effect("is approved, and measured as it was made", () =>
      Effect.gen(function*() {
        const facts = yield* measured("scene.mp4")
        expect(facts.container).toContain("mp4")
        expect(facts.measuredSeconds).toBeCloseTo(5, 1)
        expect(facts.video).toMatchObject({
          codec: "h264",
          width: 640,
          height: 360,
          framesDecoded: 150,
          decodeErrors: 0
        })
        expect(facts.video.fps).toBeCloseTo(30, 0)
        expect(facts.video.black.ratio).toBe(0)
        const audio = Option.getOrThrow(facts.audio)
        expect(audio).toMatchObject({ codec: "aac", channels: 2, sampleRate: 48_000, silenceSeconds: 0 })
        // The tone is made of sines of 0.25, 0.12 and 0.06 under an envelope between 0.2 and 1.
        expect(audio.maxVolumeDb).toBeGreaterThan(-16)
        expect(audio.maxVolumeDb).toBeLessThan(-6)
        expect(audio.meanVolumeDb).toBeGreaterThan(-25)
        expect(audio.meanVolumeDb).toBeLessThan(audio.maxVolumeDb)
        expect(judge(facts, defaultRules)).toMatchObject({ outcome: "approved", reasons: [] })
      }))

    it.effect("comes with a thumbnail and a sheet of sixteen, both JPEG, upright as it was filmed", () =>
      Effect.gen(function*() {
        const sizes = Effect.fnUntraced(function*(name: string) {
          const { contactSheet, thumbnail } = (yield* measured(name)).pictures
          return [jpegSize(Option.getOrThrow(thumbnail)), jpegSize(Option.getOrThrow(contactSheet))]
        })
        expect(yield* sizes("scene.mp4")).toEqual([[320, 180], [1280, 720]])
        expect(yield* sizes("upright.mp4")).toEqual([[180, 320], [720, 1280]])
      }))

    it.effect("is approved as VP8 and Opus in WebM, whose last frame has no length", () =>
      Effect.gen(function*() {
        const facts = yield* measured("scene.webm")
        expect(facts.video).toMatchObject({ codec: "vp8", width: 320, height: 240, framesDecoded: 150 })
        expect(facts.measuredSeconds).toBeCloseTo(5, 1)
        expect(Option.getOrThrow(facts.audio).codec).toBe("opus")
        expect(judge(facts, defaultRules).outcome).toBe("approved")
      }))

    it.effect("says what it cost", () =>
      Effect.gen(function*() {
        const { cpuSeconds, peakBytes } = yield* analyse("scene.mp4")
        expect(cpuSeconds).toBeGreaterThan(0.05)
        expect(cpuSeconds).toBeLessThan(10)
        expect(peakBytes).toBeGreaterThan(20_000_000)
        expect(peakBytes).toBeLessThan(400_000_000)
      }))
  })

  describe("a bad video ends in a refusal with its reason:", () => {
    it.effect("black and silent", () =>
      Effect.gen(function*() {
        expect(yield* failing("black.mp4")).toEqual(["audio", "black_frames"])
        const facts = yield* measured("black.mp4")
        expect(facts.video.black.seconds).toBeCloseTo(5, 1)
        expect(facts.video.black.intervals).toHaveLength(1)
        expect(Option.getOrThrow(facts.audio).silenceSeconds).toBeCloseTo(5, 1)
      }))

    it.effect("without a sound track", () =>
      Effect.gen(function*() {
        expect(yield* failing("mute.mp4")).toEqual(["audio"])
      }))

    it.effect("text that is named as a video, and an empty file", () =>
      Effect.gen(function*() {
        expect((yield* analyse("text.mp4")).findings._tag).toBe("NotAVideo")
        expect(yield* failing("text.mp4")).toEqual(["container"])
        expect((yield* analyse("empty.mp4")).findings._tag).toBe("Empty")
        expect(yield* failing("empty.mp4")).toEqual(["container"])
      }))

    it.effect("cut off, before its index or after it", () =>
      Effect.gen(function*() {
        expect((yield* analyse("cut.mp4")).findings._tag).toBe("Truncated")
        expect(yield* failing("cut.mp4")).toEqual(["decodes"])
        expect(yield* failing("cut.webm")).toEqual(["decodes"])
      }))

    it.effect("with flipped bits", () =>
      Effect.gen(function*() {
        expect(yield* failing("flipped.mp4")).toEqual(["decodes"])
      }))

    it.effect("longer than the rules allow", () =>
      Effect.gen(function*() {
        const rules = { ...defaultRules, maxSeconds: 3 }
        // By its own header it is known before the first packet is read.
        const { findings } = yield* analyse("scene.mp4", rules)
        expect(findings._tag === "TooLong" && findings.seconds).toBeCloseTo(5, 1)
        expect(yield* failing("scene.mp4", rules)).toEqual(["duration"])
      }))

    it.effect("longer than the rules allow, while its header claims a second", () =>
      Effect.gen(function*() {
        const rules = { ...defaultRules, maxSeconds: 3 }
        const { findings } = yield* analyse("endless.mp4", rules)
        expect(findings._tag === "TooLong" && findings.seconds).toBeCloseTo(3.5, 1)
        expect(yield* failing("endless.mp4", rules)).toEqual(["duration"])
      }))

    it.effect("a picture above the limit of pixels, also when the container claims a small one", () =>
      Effect.gen(function*() {
        expect(yield* failing("large.mp4")).toEqual(["resolution"])
        const { findings, peakBytes } = yield* analyse("lying.mp4")
        expect(findings).toMatchObject({ _tag: "MediaFacts", video: { framesDecoded: 0 } })
        expect(yield* failing("lying.mp4")).toContain("decodes")
        expect(peakBytes).toBeLessThan(200_000_000)
      }))

    it.effect("a playlist that names a file of this machine, or another container", () =>
      Effect.gen(function*() {
        for (const name of ["list.m3u8", "list.mp4", "text.m3u8", "other.ts"]) {
          const report = yield* analyse(name)
          expect(report.findings._tag).toBe("NotAVideo")
          expect(JSON.stringify(report)).not.toContain(canary)
          expect(yield* failing(name)).toEqual(["container"])
        }
      }))

    it.effect("one that costs too much to decode goes to a person", () =>
      Effect.gen(function*() {
        const { findings } = yield* analyseBy({ cpuSeconds: 0.05, idle: false }, "scene.mp4")
        expect(judge(findings, defaultRules).outcome).toBe("needs_review")
      }))
  })

  it.effect("opens neither what a link leads to nor a pipe", () =>
    Effect.gen(function*() {
      const link = yield* Effect.flip(analyse("link.mp4"))
      expect(link).toMatchObject({ reason: "spawn_failed", detail: expect.stringContaining("ELOOP") })
      const pipe = yield* Effect.flip(analyse("pipe.mp4"))
      expect(pipe).toMatchObject({ reason: "spawn_failed", detail: "the video is no regular file" })
    }))

  it.effect("continues the caller's trace down into the phases of the child", () =>
    Effect.gen(function*() {
      const { spans, tracer } = yield* recordedTracer
      const engine = yield* MediaEngine
      const path = (yield* Clips).path("scene.mp4")
      const traceId = "0af7651916cd43dd8448eb211c80319c"
      const traceparent = Option.some(`00-${traceId}-b7ad6b7169203331-01`)
      yield* engine.analyse({ path, jobId: "traced", rules: defaultRules, traceparent }).pipe(Effect.withTracer(tracer))
      const named = (name: string) => {
        const span = spans.find((candidate) => candidate.name === name)
        if (span === undefined) throw new Error(`no span ${name} among ${spans.map((each) => each.name).join(", ")}`)
        return span
      }
      const parentOf = (span: Tracer.Span) => Option.getOrUndefined(span.parent)?.spanId
      const child = named("media.child")
      expect(parentOf(named("MediaEngine.analyse"))).toBe("b7ad6b7169203331")
      expect(parentOf(child)).toBe(named("MediaEngine.analyse").spanId)
      expect(child.attributes.get("process.exit.code")).toBe(0)
      let last = child.startTime
      for (const name of ["media.start", "media.open", "media.decode"]) {
        const { status, ...span } = named(name)
        expect(named(name).traceId).toBe(traceId)
        expect(parentOf(named(name))).toBe(child.spanId)
        expect(span.startTime).toBeGreaterThanOrEqual(last)
        if (status._tag === "Ended") last = status.endTime
      }
      expect(child.status._tag === "Ended" && child.status.endTime >= last).toBe(true)
    }))
})
