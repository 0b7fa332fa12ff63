import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Schema } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { defaultRules } from "../../src/domain/Verification.ts"
import { MediaEngineLive } from "../../src/layers/media/Engine.ts"
import { MediaEngine } from "../../src/services/MediaEngine.ts"

const layers = join(import.meta.dirname, "../layers")

const Standing = Schema.decodeUnknownSync(Schema.fromJsonString(
  Schema.Struct({ threads: Schema.Array(Schema.Int), session: Schema.String })
))

const standing = (detached: boolean) =>
  Effect.promise(async () => {
    const child = spawn(process.execPath, [join(layers, "yielding-process.ts")], {
      detached,
      stdio: ["ignore", "pipe", "inherit"]
    })
    const [line]: ReadonlyArray<unknown> = await once(createInterface(child.stdout), "line")
    return Standing(line)
  })

describe("processes of video", () => {
  it.live("yield the processor with every thread, and with the session that they lead", () =>
    Effect.gen(function*() {
      const { session, threads } = yield* standing(true)
      assert.deepStrictEqual(threads, [10])
      assert.match(session, /nice 10$/)
    }))

  it.live("leave a session alone that others live in", () =>
    Effect.gen(function*() {
      const { session, threads } = yield* standing(false)
      assert.deepStrictEqual(threads, [10])
      if (process.platform === "linux") assert.notMatch(session, /nice 10$/)
    }))

  it.live("rank the session of a media child last", () =>
    Effect.gen(function*() {
      const engine = yield* MediaEngine
      const { findings } = yield* engine.analyse({
        path: import.meta.filename,
        jobId: "priority",
        rules: defaultRules,
        traceparent: Option.none()
      })
      assert.strictEqual(findings._tag, "Empty")
    }).pipe(Effect.provide(MediaEngineLive.layer({ program: join(layers, "session-child.ts") }))))
})
