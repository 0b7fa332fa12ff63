import { describe, expect, layer, vi } from "@effect/vitest"
import { Effect, Fiber, Layer, Logger, Schedule } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { closeSync, openSync } from "node:fs"
import { readFile, readlink, writeFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import { MediaEngineLive } from "../../src/layers/media/Engine.ts"
import { MediaEngine } from "../../src/services/MediaEngine.ts"
import { analyse, analyseBy, Clips, hang } from "../layers/clips.ts"
import { recordedTracer } from "../layers/recorded-tracer.ts"

// Children run at the lowest priority: on a machine that is busy with other tests they wait for a processor.
vi.setConfig({ testTimeout: 180_000 })

const sources = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url))

const isAlive = (pid: number) => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Waits until the condition holds; the test's own time limit bounds it. */
const until = (condition: Effect.Effect<boolean>) =>
  Effect.repeat(condition, { schedule: Schedule.spaced("10 millis"), until: (holds) => holds })

/**
 * Killed, a child at the lowest priority still needs a turn of a processor to end, which a busy machine may give it late. One
 * that was left alone never ends, and the test runs out of time.
 */
const untilGone = (pid: number) => until(Effect.sync(() => !isAlive(pid)))

/** Starts a job that waits for good, and gives its child's pid. */
const hanging = Effect.gen(function*() {
  const { pid, tracer } = yield* recordedTracer
  const fiber = yield* Effect.forkChild(Effect.withTracer(hang(), tracer))
  return { fiber, pid: yield* pid }
})

const fixtures = Layer.merge(MediaEngineLive.layer(), Clips.layer)

layer(fixtures, { excludeTestServices: true, timeout: "120 seconds" })("MediaEngine and its child process", (it) => {
  describe("a failing child", () => {
    it.effect("that segfaults is MediaEngineFailed, crashed", () =>
      Effect.gen(function*() {
        const { fiber, pid } = yield* hanging
        process.kill(pid, "SIGSEGV")
        const error = yield* Effect.flip(Fiber.join(fiber))
        expect(error).toMatchObject({ _tag: "MediaEngineFailed", reason: "crashed" })
        expect(error.detail).toContain("SIGSEGV")
      }))

    it.effect("that hangs is MediaEngineFailed, timed_out, and is gone", () =>
      Effect.gen(function*() {
        const { pid, tracer } = yield* recordedTracer
        const error = yield* Effect.flip(hang({ wallSeconds: 1 }).pipe(Effect.withTracer(tracer)))
        expect(error.reason).toBe("timed_out")
        yield* untilGone(yield* pid)
      }))

    it.effect("that outgrows its memory is MediaEngineFailed, out_of_memory, and is gone", () =>
      Effect.gen(function*() {
        const { pid, tracer } = yield* recordedTracer
        const error = yield* Effect.flip(
          hang({ residentBytes: 30_000_000 }).pipe(Effect.withTracer(tracer))
        )
        expect(error.reason).toBe("out_of_memory")
        yield* untilGone(yield* pid)
      }))

    it.effect("that cannot be started or cannot answer is MediaEngineFailed", () =>
      Effect.gen(function*() {
        const missing = yield* Effect.flip(analyse("no-such-file"))
        expect(missing).toMatchObject({ reason: "spawn_failed" })
        expect(missing.detail).toContain("ENOENT")
        const program = sources("test/layers/no-such-program.ts")
        expect((yield* Effect.flip(analyseBy({ program }, "scene.mp4"))).reason).toBe("crashed")
      }))
  })

  describe("a child that runs wild", () => {
    const program = (lines: string) =>
      Effect.gen(function*() {
        const path = (yield* Clips).path("wild.mjs")
        yield* Effect.promise(() => writeFile(path, lines))
        return path
      })
    const failure = (lines: string, options: Parameters<typeof MediaEngineLive.layer>[0] = {}) =>
      // Not at idle priority: beside other tests a second of processor time can take minutes then.
      Effect.flatMap(
        program(lines),
        (path) => Effect.flip(analyseBy({ idle: false, ...options, program: path }, "scene.mp4"))
      )

    it.effect("by using the processor only is stopped, timed_out", () =>
      Effect.gen(function*() {
        const limited = (yield* MediaEngine).guards.some((guard) => guard.name === "resource_limits" && guard.active)
        const error = yield* failure("for (;;);", { cpuSeconds: 1, wallSeconds: limited ? 150 : 2 })
        expect(error.reason).toBe("timed_out")
        expect(error.detail).toContain(limited ? "SIGXCPU" : "no answer")
      }))

    it.effect("by filling its heap is stopped, out_of_memory", () =>
      Effect.gen(function*() {
        expect((yield* failure("const kept = []; for (;;) kept.push(Array(1000).fill(1.5))")).reason).toBe(
          "out_of_memory"
        )
      }))

    it.effect("by writing without end is stopped, and a wrong answer is not believed: crashed", () =>
      Effect.gen(function*() {
        const endless = yield* failure("process.stdout.write('x'.repeat(2e6)); setInterval(() => {}, 1e6)")
        expect(endless).toMatchObject({ reason: "crashed", detail: "SIGKILL" })
        const wrong = yield* failure("console.log('{\"findings\": {\"_tag\": \"Approved\"}}')")
        expect(wrong.reason).toBe("crashed")
        expect(wrong.detail).toContain("unreadable")
      }))
  })

  describe("no child is left behind", () => {
    it.effect("when the fiber is interrupted", () =>
      Effect.gen(function*() {
        const { fiber, pid } = yield* hanging
        expect(isAlive(pid)).toBe(true)
        yield* Fiber.interrupt(fiber)
        yield* untilGone(pid)
      }))

    it.effect("when the process that asked is killed", () =>
      Effect.gen(function*() {
        const { path } = yield* Clips
        const words = [sources("test/layers/media-parent.ts"), path("scene.mp4"), path("hang.mjs")]
        const parent = spawn(process.execPath, words, { stdio: "pipe" })
        yield* Effect.addFinalizer(() => Effect.sync(() => parent.kill("SIGKILL")))
        const [line] = yield* Effect.promise(() => once(parent.stdout.setEncoding("utf8"), "data"))
        const pid = Number(line)
        expect(isAlive(pid)).toBe(true)
        parent.kill("SIGKILL")
        yield* untilGone(pid)
      }))

    it.effect("when its input ends before it has answered, without any guard around it", () =>
      Effect.gen(function*() {
        const job = JSON.stringify({ maxSeconds: 600, maxPixels: 1e6, cpuSeconds: 60 })
        const video = openSync((yield* Clips).path("scene.mp4"), "r")
        yield* Effect.addFinalizer(() => Effect.sync(() => closeSync(video)))
        const child = spawn(process.execPath, [sources("src/layers/media/ChildMain.ts")], {
          stdio: ["pipe", "ignore", "ignore", video],
          env: {}
        })
        yield* Effect.addFinalizer(() => Effect.sync(() => child.kill("SIGKILL")))
        child.stdin?.end(`${job}\n`)
        const [, signal] = yield* Effect.promise(() => once(child, "exit"))
        expect(signal).toBe("SIGKILL")
      }))
  })

  describe("the walls", () => {
    it.effect("that the engine calls active hold in the child", () =>
      Effect.gen(function*() {
        const { guards } = yield* MediaEngine
        const active = new Set(guards.filter((guard) => guard.active).map((guard) => guard.name))
        const { fiber, pid } = yield* hanging
        const proc = (name: string) => Effect.promise(() => readFile(`/proc/${pid}/${name}`, "utf8").catch(() => ""))
        if (active.has("memory_watchdog")) {
          yield* until(Effect.map(proc("cmdline"), (words) => words.startsWith(process.execPath)))
          expect(yield* proc("environ")).toBe("")
          // After the name: state, ppid, pgrp.
          expect((yield* proc("stat")).split(") ")[1]?.split(" ")[2]).toBe(String(pid))
        }
        if (active.has("resource_limits")) {
          const limits = yield* proc("limits")
          expect(limits).toMatch(/Max open files\s+64 /)
          expect(limits).toMatch(/Max cpu time\s+60 /)
          expect(limits).toMatch(/Max core file size\s+0 /)
          expect(limits).toMatch(/Max file size\s+0 /)
          expect(limits).toMatch(/Max data size\s+1342177280 /)
        }
        // Fields 19 and 41, the nice value and the policy, are the 17th and 39th after the name; 5 is SCHED_IDLE.
        const stat = (yield* proc("stat")).split(") ")[1]?.split(" ") ?? []
        if (active.has("idle_priority")) expect(stat[16] === "19" || stat[38] === "5").toBe(true)
        if (active.has("no_network")) {
          const net = (of: string) => Effect.promise(() => readlink(`/proc/${of}/ns/net`))
          expect(yield* net(String(pid))).not.toBe(yield* net("self"))
        }
        yield* Fiber.interrupt(fiber)
      }))

    it.effect("that cannot be raised are named, once, in a warning", () =>
      Effect.gen(function*() {
        const lines: Array<string> = []
        const logger = Logger.make(({ logLevel, message }) => lines.push(`${logLevel} ${String(message)}`))
        const engine = Effect.scoped(Effect.gen(function*() {
          // Node does not start in so little memory, so the trial of this wall fails as on a machine without prlimit.
          return yield* Effect.provide(MediaEngine, MediaEngineLive.layer({ dataBytes: 1_000_000 }), { local: true })
        }))
        const { guards } = yield* engine.pipe(Effect.provide(Logger.layer([logger])))
        expect(guards.find((guard) => guard.name === "resource_limits")).toEqual({
          name: "resource_limits",
          active: false
        })
        expect(lines.filter((line) => line.startsWith("Warn"))).toHaveLength(1)
        expect(lines.join()).toContain("resource_limits")
      }))
  })
})
