import { describe, expect, layer } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { closeSync, openSync } from "node:fs"
import { readdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { defaultRules } from "../../src/domain/Verification.ts"
import { Verifier } from "../../src/services/Verifier.ts"
import { ordinaryEngine } from "../layers/ordinaryEngine.ts"
import {
  announce,
  asRole,
  member,
  put,
  seen,
  SpoolFolder,
  uploaded,
  verifying,
  VideoBench
} from "../layers/VideoBench.ts"
import { attacks } from "./Attacks.ts"
import { mp4 } from "./Boxes.ts"
import { greyH264 } from "./GreyH264.ts"
import { bait, faultsOf, hideCanary, runCorpus, scratch } from "./Run.ts"

const program = fileURLToPath(new URL("../../src/layers/media/ChildMain.ts", import.meta.url))

/** The child program alone, with no wall around it: what it does not do then, it does of its own will. */
const bareChild = (path: string) =>
  Effect.callback<string>((resume) => {
    const job = { maxSeconds: 600, maxPixels: defaultRules.maxPixels, cpuSeconds: 60 }
    const video = openSync(path, "r")
    const child = spawn(process.execPath, [program], {
      env: {},
      timeout: 60_000,
      stdio: ["pipe", "pipe", "pipe", video]
    })
    closeSync(video)
    let said = ""
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        said += text
      })
    }
    child.on("close", (code) => resume(Effect.succeed(`${said}${code === 0 ? "" : `exit code ${code}`}`)))
    child.stdin?.write(`${JSON.stringify(job)}\n`)
  })

const seldom = { timeout: "600 seconds", excludeTestServices: true } as const

layer(ordinaryEngine, seldom)("The corpus of bad files, in its short form", (it) => {
  it.effect(
    "ends each in a verdict within 120 s, and no canary, connection, process or file is left of them",
    () =>
      Effect.gen(function*() {
        const run = yield* runCorpus({ seeds: 10, cuts: 4 })
        expect(run.rows.length).toBeGreaterThan(80)
        expect(faultsOf(run)).toEqual([])
      }),
    600_000
  )

  it.effect(
    "is no danger to a child that has no walls: it opens nothing but the file it was given",
    () =>
      Effect.gen(function*() {
        const folder = yield* scratch
        const called = yield* bait
        const secret = join(folder, "secret.ts")
        yield* hideCanary(secret)
        const pointing = Object.entries(attacks({ secret, port: called.port }))
          .map(([name, make]) => ({ name, bytes: make() }))
          .filter(({ bytes }) => bytes.includes(secret) || bytes.includes(`:${called.port}/`))
        expect(pointing.length).toBeGreaterThanOrEqual(12)
        for (const { bytes, name } of pointing) {
          const path = join(folder, name)
          yield* Effect.promise(() => writeFile(path, bytes))
          const said = yield* bareChild(path)
          expect(said, name).toContain("findings")
          expect(said, name).not.toContain("canary")
          // A movie has pictures of its own; whatever else has any took them from where it points.
          if (!name.endsWith(".mov")) expect(said, name).not.toContain("MediaFacts")
        }
        expect(called.connections).toBe(0)
      }),
    600_000
  )
})

layer(VideoBench, seldom)("Hostile uploads", (it) => {
  describe("through upload, submission and verdict", () => {
    it.effect(
      "are each refused, and the canary stands neither in the database nor in the spool",
      () =>
        Effect.gen(function*() {
          const folder = yield* scratch
          const called = yield* bait
          const secret = join(folder, "secret.ts")
          yield* hideCanary(secret)
          const made = attacks({ secret, port: called.port })
          const names = ["playlist-of-a-file.m3u8", "playlist-as-video.mp4", "concat.ffconcat", "data-in-a-file.mov"]
          const user = yield* member
          const { next } = yield* Verifier
          const files = [...names.map((name) => made[name]?.() ?? Buffer.alloc(0)), mp4(greyH264(16_384, 16_384, 1))]
          for (const bytes of files) {
            const videoId = yield* uploaded(user, new Uint8Array(bytes))
            const { id } = yield* verifying(user, videoId)
            yield* next
            expect((yield* seen(user, id)).status).toBe("rejected")
          }
          const rows = yield* asRole(
            "owner",
            "SELECT s::text FROM video.submissions s UNION ALL SELECT c::text FROM queue.verification_commands c"
          )
          expect(rows.length).toBeGreaterThanOrEqual(2 * files.length)
          expect(JSON.stringify(rows)).not.toContain("canary")
          expect(called.connections).toBe(0)
        }),
      300_000
    )

    it.effect("have names of our own: one with ../ or NUL in it finds no upload and makes no file", () =>
      Effect.gen(function*() {
        const { path } = yield* SpoolFolder
        const user = yield* member
        const ticket = yield* announce(user, 4)
        const before = yield* Effect.promise(() => readdir(path, { recursive: true }))
        for (
          const name of ["..%2f..%2fescaped", "%2e%2e%2fescaped", "a%00b", `${ticket.videoId}%00.mp4`, "....//escaped"]
        ) {
          const url = ticket.uploadUrl.replace(ticket.videoId, name)
          const answer = yield* put(url, new Uint8Array([1, 2, 3, 4]))
          expect(answer.status, name).toBeGreaterThanOrEqual(400)
          expect(answer.status, name).toBeLessThan(500)
        }
        expect(yield* Effect.promise(() => readdir(path, { recursive: true }))).toEqual(before)
      }))
  })
})
