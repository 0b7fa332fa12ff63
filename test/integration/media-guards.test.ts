import { describe, expect, layer, vi } from "@effect/vitest"
import { Effect, Layer, Option, Schedule } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { access, appendFile, chmod, copyFile, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import { availableParallelism, tmpdir } from "node:os"
import { join } from "node:path"
import { defaultRules } from "../../src/domain/Verification.ts"
import { MediaEngineLive } from "../../src/layers/media/Engine.ts"
import { MediaEngine } from "../../src/services/MediaEngine.ts"
import { analyse, analyseBy, Clips, hang } from "../layers/clips.ts"

// Children run at the lowest priority: on a machine that is busy with other tests they wait for a processor.
vi.setConfig({ testTimeout: 180_000 })

type Options = Parameters<typeof MediaEngineLive.layer>[0]

/** A child that a hostile file has taken over, as far as a test can have one: it runs this instead of the measuring. */
const takenOver = Effect.fnUntraced(function*(body: string, options: Options = {}) {
  const program = (yield* Clips).path(`taken-${crypto.randomUUID()}.mjs`)
  // Its only way out is the answer, so what it found is told as the detail of a refusal.
  const lines = `
    import fs from "node:fs"
    import net from "node:net"
    import { spawn } from "node:child_process"
    const attempt = (work) => { try { return String(work()) } catch (error) { return error.code ?? error.message } }
    const say = (detail) => process.stdout.write(
      JSON.stringify({ findings: { _tag: "NotAVideo", detail }, cpuSeconds: 0, peakBytes: 0, phases: [] }) + "\\n",
      () => process.exit(0)
    )
    ${body}`
  yield* Effect.promise(() => writeFile(program, lines))
  const { findings } = yield* analyseBy({ ...options, program }, "scene.mp4")
  return findings._tag === "NotAVideo" ? findings.detail : findings._tag
})

/** Whether this machine has the guard; a test of one that it lacks holds that it was said to be lacking. */
const has = (name: string) =>
  Effect.map(MediaEngine, ({ guards }) => {
    const guard = guards.find((each) => each.name === name)
    expect(guard).toBeDefined()
    return guard?.active === true
  })

const isThere = (path: string) => access(path).then(() => true, () => false)
const sessionsAreWeighed = Effect.promise(() => isThere("/proc/self/autogroup"))
const fixtures = Layer.merge(MediaEngineLive.layer(), Clips.layer)

layer(fixtures, { excludeTestServices: true, timeout: "120 seconds" })("A media child that is taken over", (it) => {
  it.effect("reaches no network, not even this machine's own", () =>
    Effect.gen(function*() {
      let connections = 0
      const server = createServer((socket) => {
        connections++
        socket.destroy()
      })
      yield* Effect.addFinalizer(() => Effect.sync(() => server.close()))
      yield* Effect.promise(() => once(server.listen(0, "127.0.0.1"), "listening"))
      const address = server.address()
      const port = address !== null && typeof address === "object" ? address.port : 0
      const told = yield* takenOver(`
        const socket = net.connect(${port}, "127.0.0.1")
        socket.on("connect", () => say("connected")).on("error", (error) => say(error.code))`)
      const guarded = yield* has("no_network")
      expect(told).toBe(guarded ? "ENETUNREACH" : "connected")
      expect(connections).toBe(guarded ? 0 : 1)
    }))

  it.effect("knows nothing of the server's environment, where the secrets are", () =>
    Effect.gen(function*() {
      process.env["A_SECRET_OF_THE_SERVER"] = "not for children"
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          delete process.env["A_SECRET_OF_THE_SERVER"]
        })
      )
      expect(yield* takenOver("say(JSON.stringify(process.env))")).toBe("{}")
    }))

  it.effect("writes to no file: not beside the video, nor where everybody may", () =>
    Effect.gen(function*() {
      const { path } = yield* Clips
      const beside = path("written-by-the-child")
      // A folder as the system's own for everybody, and not that one: the corpus looks there for what children leave behind.
      const everybodys = yield* Effect.acquireRelease(
        Effect.promise(() => mkdtemp(join(tmpdir(), "midnight-everybodys-"))),
        (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true, maxRetries: 10 }))
      )
      yield* Effect.promise(() => chmod(everybodys, 0o1777))
      const open = join(everybodys, "written")
      if (yield* has("own_user")) {
        const told = yield* takenOver(`say(attempt(() => fs.writeFileSync(${JSON.stringify(beside)}, "x")))`)
        expect(told).toBe("EACCES")
        expect(yield* Effect.promise(() => isThere(beside))).toBe(false)
      }
      if (yield* has("resource_limits")) {
        const told = yield* takenOver(`say(attempt(() => fs.writeFileSync(${JSON.stringify(open)}, "x")))`)
        expect(told).toBe("EFBIG")
        expect(yield* Effect.promise(() => stat(open).then(({ size }) => size))).toBe(0)
      }
    }))

  it.effect("can signal nobody: not the server, not the database", () =>
    Effect.gen(function*() {
      const told = yield* takenOver("say(attempt(() => process.kill(process.ppid, 0)))")
      expect(told).toBe((yield* has("own_user")) ? "EPERM" : "true")
    }))

  it.effect("reads nothing of the server's: no secret, no other upload, no process", () =>
    Effect.gen(function*() {
      const { path } = yield* Clips
      const [secret, spool] = [path("secret.pem"), path("spool")]
      yield* Effect.promise(async () => {
        await writeFile(secret, "for the server alone", { mode: 0o600 })
        await mkdir(spool, { mode: 0o700 })
        await writeFile(join(spool, "other.mp4"), "somebody else's")
      })
      const told = yield* takenOver(`
        const server = "/proc/" + process.ppid
        say([
          attempt(() => fs.readFileSync(${JSON.stringify(secret)}, "utf8")),
          attempt(() => fs.readdirSync(${JSON.stringify(spool)}).join()),
          attempt(() => fs.readFileSync(${JSON.stringify(join(spool, "other.mp4"))}, "utf8")),
          attempt(() => fs.readFileSync(server + "/environ").length > 0),
          attempt(() => fs.readlinkSync(server + "/fd/0")),
          attempt(() => fs.writeSync(3, "x")),
          attempt(() => fs.readSync(3, Buffer.alloc(16), 0, 16, 0))
        ].join(" "))`)
      if (yield* has("reads_only_its_video")) {
        expect(told).toBe("EACCES EACCES EACCES EACCES EACCES EBADF 16")
      } else expect(told).toMatch(/ EBADF 16$/)
    }))

  it.effect("opens 64 files and no more", () =>
    Effect.gen(function*() {
      const told = yield* takenOver(`
        let opened = 0
        say(attempt(() => { for (; opened < 1000; opened++) fs.openSync("/dev/null") }) + " after " + opened)`)
      if (yield* has("resource_limits")) {
        expect(told).toMatch(/^EMFILE after \d+$/)
        expect(Number(told.split(" ")[2])).toBeLessThan(64)
      }
    }))

  it.effect("gets no more memory than its limit of data, also where no watchdog looks", () =>
    Effect.gen(function*() {
      if (!(yield* has("resource_limits"))) return
      const told = yield* takenOver("say(attempt(() => Buffer.alloc(1_500_000_000).length))", { residentBytes: 1e12 })
      expect(told).toContain("allocation failed")
    }))

  it.effect("leaves nobody behind who holds its pipes open", () =>
    Effect.gen(function*() {
      const told = yield* takenOver(`
        const heir = spawn(process.execPath, ["-e", "setInterval(() => {}, 1e6)"], { stdio: "inherit" })
        heir.on("spawn", () => say(String(heir.pid)))`)
      const state = Effect.promise(() => readFile(`/proc/${told}/stat`, "utf8").catch(() => "gone"))
      // Killed, it needs a turn of a processor to end, at idle priority beside whoever is busy; and it may stay as an entry
      // until the system's first process has read how it ended. One that is left alone never ends.
      yield* Effect.repeat(state, {
        schedule: Schedule.spaced("10 millis"),
        until: (line) => line === "gone" || / [ZX] /.test(line)
      })
    }))

  it.effect("gives way to everybody else: lowest priority, and the first to go when memory runs out", () =>
    Effect.gen(function*() {
      const told = yield* takenOver(`
        const read = (name) => fs.readFileSync("/proc/self/" + name, "utf8").trim()
        const stat = read("stat").split(") ")[1].split(" ")
        say(attempt(() => stat[16] + " " + stat[38] + " " + read("oom_score_adj")))`)
      const [nice, policy, score] = told.split(" ")
      // Where sessions are weighed it is the last of the ordinary class, elsewhere of the idle class, which is number 5.
      const expected = (yield* sessionsAreWeighed) ? ["19", "0"] : ["0", "5"]
      if (yield* has("idle_priority")) expect([nice, policy]).toEqual(expected)
      if (yield* has("first_out_of_memory")) expect(score).toBe("1000")
    }))
})

layer(fixtures, { excludeTestServices: true, timeout: "120 seconds" })("The media engine", (it) => {
  describe("on a machine that is full", () => {
    // Without this rule a job that waited its two minutes for a processor was killed, three times, and was a dead letter.
    it.effect("does not count the time that a child waits for a processor against it", () =>
      Effect.gen(function*() {
        const { path } = yield* Clips
        const work = Effect.gen(function*() {
          const engine = yield* MediaEngine
          const burn = "console.log('burning'); const end = Date.now() + 9000; while (Date.now() < end);"
          const burners = Array.from(
            { length: 2 * availableParallelism() },
            () => spawn(process.execPath, ["-e", burn], { stdio: ["ignore", "pipe", "ignore"] })
          )
          yield* Effect.addFinalizer(() => Effect.sync(() => burners.forEach((each) => each.kill("SIGKILL"))))
          yield* Effect.promise(() => Promise.all(burners.map((each) => once(each.stdout, "data"))))
          const job = { path: path("mute.mp4"), jobId: "starved", rules: defaultRules, traceparent: Option.none() }
          return yield* engine.analyse(job)
        })
        // Its work is half a second of a processor's, of which the burners leave it next to nothing. It has five, for itself: a slow
        // machine takes some of that for the work.
        const impatient = MediaEngineLive.layer({ wallSeconds: 5 })
        const { findings } = yield* work.pipe(Effect.provide(impatient, { local: true }))
        expect(findings._tag).toBe("MediaFacts")
      }))

    it.effect("gives up after its patience, though the child only ever waited", () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(hang({ patienceSeconds: 1 }))
        expect(error).toMatchObject({ reason: "timed_out", detail: "no room for it within 1 s" })
      }))
  })

  it.effect("gives a file's name to no shell", () =>
    Effect.gen(function*() {
      const { path } = yield* Clips
      const name = "a b; touch pwned; $(touch pwned) `touch pwned` %s 'x' \"y\" #.mp4"
      yield* Effect.promise(() => copyFile(path("mute.mp4"), path(name)))
      expect((yield* analyse(name)).findings._tag).toBe("MediaFacts")
      expect(yield* Effect.promise(() => isThere(path("pwned")))).toBe(false)
      expect(yield* Effect.promise(() => isThere("/pwned"))).toBe(false)
    }))

  it.effect("refuses a file that grows while it is read, however long it goes on", () =>
    Effect.gen(function*() {
      const { path } = yield* Clips
      yield* Effect.promise(() => copyFile(path("scene.webm"), path("growing.webm")))
      const more = yield* Effect.promise(() => readFile(path("scene.webm")))
      // One after another, and the last has ended when the test has: the folder goes away then.
      const writing = Effect.promise(() => appendFile(path("growing.webm"), more.subarray(-10_000)))
      yield* Effect.forkScoped(Effect.repeat(Effect.uninterruptible(writing), Schedule.spaced("5 millis")))
      expect((yield* analyse("growing.webm")).findings).toEqual({
        _tag: "Truncated",
        detail: "it changed while it was read"
      })
    }))

  it.effect("does not begin to read a file above the limit", () =>
    Effect.gen(function*() {
      const { findings } = yield* analyseBy({ fileBytes: 100_000 }, "scene.mp4")
      expect(findings).toEqual({ _tag: "TooCostly", detail: "it is larger than 100000 bytes" })
    }))
})
