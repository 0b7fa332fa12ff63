import { describe, expect, it, layer, vi } from "@effect/vitest"
import { Context, Effect, Layer, Option } from "effect"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { defaultRules, judge } from "../../src/domain/Verification.ts"
import { containerOfBrands } from "../../src/layers/media/Container.ts"
import { MediaEngineLive } from "../../src/layers/media/Engine.ts"
import { makeClip } from "../../src/main/demo/Clip.ts"
import { MediaEngine } from "../../src/services/MediaEngine.ts"

// Children run at the lowest priority: on a machine that is busy with other tests they wait for a processor.
vi.setConfig({ testTimeout: 180_000 })

const formats = ["mp4", "mov", "3gp", "webm", "matroska"] as const

class Folder extends Context.Service<Folder, { readonly path: (name: string) => string }>()("midnight/test/Folder") {
  static readonly layer = Layer.effect(
    Folder,
    Effect.gen(function*() {
      const folder = yield* Effect.acquireRelease(
        Effect.promise(() => mkdtemp(join(tmpdir(), "midnight-containers-"))),
        (path) => Effect.promise(() => rm(path, { recursive: true, force: true, maxRetries: 10 }))
      )
      const path = (name: string) => join(folder, name)
      for (const format of formats) {
        yield* makeClip({ path: path(format), seconds: 2, width: 320, height: 240, fps: 10, kind: "scene", format })
      }
      return { path }
    })
  )
}

const found = Effect.fnUntraced(function*(name: string) {
  const engine = yield* MediaEngine
  const path = (yield* Folder).path(name)
  return (yield* engine.analyse({ path, jobId: name, rules: defaultRules, traceparent: Option.none() })).findings
})
const containerOf = (name: string) =>
  Effect.map(found(name), (findings) => findings._tag === "MediaFacts" ? findings.container : findings._tag)

/** The same file with something else in place of these bytes. */
const altered = Effect.fnUntraced(function*(from: string, name: string, change: (bytes: Buffer) => Buffer) {
  const { path } = yield* Folder
  yield* Effect.promise(async () => writeFile(path(name), change(await readFile(path(from)))))
  return yield* containerOf(name)
})
const replaced = (before: string, after: string) => (bytes: Buffer) => {
  const copy = Buffer.from(bytes)
  copy.write(after, copy.indexOf(before, 0, "latin1"), "latin1")
  return copy
}

const fixtures = Layer.merge(MediaEngineLive.layer({ idle: false }), Folder.layer)

layer(fixtures, { excludeTestServices: true, timeout: "120 seconds" })("The container of a video", (it) => {
  for (const format of formats) {
    it.effect(`is ${format} where FFmpeg wrote ${format}, and rules that name another refuse it`, () =>
      Effect.gen(function*() {
        const facts = yield* found(format)
        expect(facts).toMatchObject({ _tag: "MediaFacts", container: format })
        for (const other of formats) {
          const allowed = other === format || (other === "mp4" && format === "3gp")
          const { checks, outcome } = judge(facts, { ...defaultRules, containers: [other] })
          expect([other, outcome]).toEqual([other, allowed ? "approved" : "rejected"])
          const failed = checks.filter((check) => check.outcome === "fail")
          expect(failed.map(({ measured, name }) => [name, measured])).toEqual(allowed ? [] : [["container", format]])
        }
      }))
  }

  it.effect("is QuickTime without a file type, as cameras wrote it before there was one", () =>
    Effect.gen(function*() {
      // The movie comes last in these files, and where its samples are is counted from the start: so the box stays as long.
      expect(yield* altered("mov", "old", replaced("ftyp", "wide"))).toBe("mov")
      expect(yield* altered("mp4", "free", replaced("ftyp", "free"))).toBe("mov")
    }))

  it.effect("is what its brand or DocType says, and no name of the file or of the other is asked", () =>
    Effect.gen(function*() {
      expect(yield* altered("mp4", "clip.mov", replaced("isom", "qt  "))).toBe("mov")
      expect(yield* altered("mov", "clip.mp4", replaced("qt  ", "mp42"))).toBe("mp4")
      expect(yield* altered("matroska", "clip.webm", (bytes) => bytes)).toBe("matroska")
    }))
})

describe("the brands of a file type box", () => {
  it("are read from the major one on; the first that is known decides", () => {
    const cases = [
      [["qt  ", "qt  "], "mov"],
      [["mp42", "qt  "], "mp4"],
      [["isom", "iso2", "avc1", "mp41"], "mp4"],
      [["XAVC", "XAVC", "mp42", "iso2"], "mp4"],
      [["pana", "qt  "], "mov"],
      [["3gp4", "isom"], "3gp"],
      [["3g2a", "3gp4"], "3g2"],
      [["M4A ", "mp42"], "m4a"],
      [["mjp2"], "mj2"],
      [["zzzz"], "mp4"],
      [[], "mp4"]
    ] as const
    for (const [brands, container] of cases) expect([brands, containerOfBrands(brands)]).toEqual([brands, container])
  })
})
