import { Context, Effect, Layer, Option } from "effect"
import { execFile } from "node:child_process"
import { chmod, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { defaultRules } from "../../src/domain/Verification.ts"
import { MediaEngineLive } from "../../src/layers/media/Engine.ts"
import { makeClip } from "../../src/main/demo/Clip.ts"
import { MediaEngine } from "../../src/services/MediaEngine.ts"

const run = promisify(execFile)

/** What the file says that no video may open. */
export const canary = "canary-3c1f6e0d"

const cutInHalf = (bytes: Buffer) => bytes.subarray(0, Math.floor(bytes.length / 2))

/** One bit in each fortieth of the file's data is wrong: a decoder cannot know of every flip, but it must of some. */
const flipBits = (bytes: Buffer) => {
  const copy = Buffer.from(bytes)
  const start = copy.indexOf("mdat") + 4_096
  const step = Math.floor((copy.indexOf("moov") - start) / 40)
  for (let at = start; at < start + 40 * step; at += step) copy.writeUInt8(copy.readUInt8(at) ^ 0x10, at)
  return copy
}

/** Every header claims a length of one second; the packets go on. */
const claimOneSecond = (bytes: Buffer) => {
  const copy = Buffer.from(bytes)
  for (const box of ["mvhd", "mdhd"]) {
    for (let at = copy.indexOf(box); at >= 0; at = copy.indexOf(box, at + 4)) {
      copy.writeUInt32BE(copy.readUInt32BE(at + 16), at + 20)
    }
  }
  return copy
}

/** The sample entry of the container claims a small picture; the stream itself is as large as it was. */
const claimSmallPicture = (bytes: Buffer) => {
  const copy = Buffer.from(bytes)
  const entry = copy.indexOf("avc1", copy.indexOf("stsd"))
  copy.writeUInt16BE(640, entry + 28)
  copy.writeUInt16BE(360, entry + 30)
  return copy
}

/** The container asks for its pictures to be turned by a quarter, clockwise, as of a phone that was held upright. */
const holdUpright = (bytes: Buffer) => {
  const copy = Buffer.from(bytes)
  const matrix = copy.indexOf("tkhd") + 44
  ;[0, 0x10000, 0, -0x10000, 0].forEach((value, at) => copy.writeInt32BE(value, matrix + 4 * at))
  return copy
}

/** Real video files, good and bad, made once for a test file. */
export class Clips
  extends Context.Service<Clips, { readonly path: (name: string) => string }>()("midnight/test/Clips")
{
  static readonly layer = Layer.effect(
    Clips,
    Effect.gen(function*() {
      const folder = yield* Effect.acquireRelease(
        Effect.promise(() => mkdtemp(join(tmpdir(), "midnight-clips-"))),
        (path) => Effect.promise(() => rm(path, { recursive: true, force: true, maxRetries: 10 }))
      )
      const path = (name: string) => join(folder, name)
      const size = { seconds: 5, width: 640, height: 360 }
      yield* makeClip({ ...size, path: path("scene.mp4"), kind: "scene" })
      yield* makeClip({ ...size, path: path("scene.webm"), kind: "scene", width: 320, height: 240, format: "webm" })
      yield* makeClip({ ...size, path: path("black.mp4"), kind: "black_silent" })
      yield* makeClip({ ...size, path: path("mute.mp4"), kind: "scene_mute" })
      yield* makeClip({ ...size, path: path("other.ts"), kind: "scene", seconds: 2, format: "mpegts" })
      yield* makeClip({ path: path("large.mp4"), seconds: 1, width: 4096, height: 2304, kind: "scene_mute", fps: 2 })
      yield* Effect.promise(async () => {
        const scene = await readFile(path("scene.mp4"))
        await writeFile(path("cut.mp4"), cutInHalf(scene))
        await writeFile(path("cut.webm"), cutInHalf(await readFile(path("scene.webm"))))
        await writeFile(path("flipped.mp4"), flipBits(scene))
        await writeFile(path("upright.mp4"), holdUpright(scene))
        await writeFile(path("endless.mp4"), claimOneSecond(scene))
        await writeFile(path("lying.mp4"), claimSmallPicture(await readFile(path("large.mp4"))))
        await writeFile(path("text.mp4"), "This is a letter, not a video.\n".repeat(50))
        await writeFile(path("empty.mp4"), "")
        await writeFile(path("secret.txt"), canary)
        for (
          const [playlist, target] of [["list.m3u8", "other.ts"], ["list.mp4", "other.ts"], [
            "text.m3u8",
            "secret.txt"
          ]] as const
        ) {
          const lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:5", "#EXTINF:5,", `file://${path(target)}`, "#EXT-X-ENDLIST"]
          await writeFile(path(playlist), `${lines.join("\n")}\n`)
        }
        // A child that is busy for as long as a test needs it. Its user may not be this one.
        await chmod(folder, 0o755)
        await writeFile(
          path("hang.mjs"),
          "process.stdin.on(\"end\", () => process.kill(process.pid, \"SIGKILL\")).resume(); setInterval(() => {}, 1e6)"
        )
        await run("mkfifo", [path("pipe.mp4")])
        await symlink(path("scene.mp4"), path("link.mp4"))
      })
      return { path }
    })
  )
}

/** Width and height by the JPEG's own frame header. */
export const jpegSize = (file: Uint8Array): ReadonlyArray<number> => {
  const jpeg = Buffer.from(file)
  for (let at = 2; at + 9 < jpeg.length; at += 2 + jpeg.readUInt16BE(at + 2)) {
    if (jpeg[at + 1] === 0xc0 || jpeg[at + 1] === 0xc2) return [jpeg.readUInt16BE(at + 7), jpeg.readUInt16BE(at + 5)]
  }
  return []
}

/** One of the clips, by the engine in the context. */
export const analyse = Effect.fnUntraced(function*(name: string, rules = defaultRules) {
  const engine = yield* MediaEngine
  const path = (yield* Clips).path(name)
  return yield* engine.analyse({ path, jobId: `job-${name}`, rules, traceparent: Option.none() })
})

/** The same, by an engine with options of its own. */
export const analyseBy = (options: Parameters<typeof MediaEngineLive.layer>[0], name: string) =>
  analyse(name).pipe(Effect.provide(MediaEngineLive.layer(options), { local: true }))

/** A job whose child never answers. */
export const hang = Effect.fnUntraced(function*(options: Parameters<typeof MediaEngineLive.layer>[0] = {}) {
  const program = (yield* Clips).path("hang.mjs")
  return yield* analyseBy({ ...options, program }, "scene.mp4")
})
