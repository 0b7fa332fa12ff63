import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Exit, Fiber, Layer, Logger, Option, Redacted, Schedule, Scope } from "effect"
import { RateLimiter } from "effect/persistence"
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { connect, createServer, type Socket } from "node:net"
import { redisStore } from "../../src/layers/RateLimiterRedis.ts"
import { freePorts } from "../layers/DevServer.ts"

const noRedis = spawnSync("redis-server", ["--version"]).error !== undefined
if (noRedis) {
  process.stderr.write("SKIPPED: a Redis that hangs. There is no redis-server (Debian: apt-get install redis-server)\n")
}

const redis = Effect.gen(function*() {
  const { PORT } = yield* freePorts
  yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn("redis-server", ["--port", PORT, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"], {
        stdio: "ignore"
      })
    ),
    (child) =>
      Effect.promise(async () => {
        const gone = once(child, "exit")
        child.kill("SIGKILL")
        await gone
      })
  )
  return Number(PORT)
})

/**
 * The way to Redis. While it hangs it takes connections and bytes, and passes nothing on: what was swallowed never arrives, as
 * behind a machine that was frozen.
 */
const door = (to: number, hangs: boolean) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const sockets = new Set<Socket>()
      let deaf = new Set<Socket>()
      const deafen = () => {
        deaf = new Set(sockets)
      }
      const state = { hangs, taken: 0, heard: 0, deafen }
      const server = createServer((socket) => {
        const beyond = connect(to, "127.0.0.1")
        state.taken += 1
        // What was opened while it hung stays deaf.
        if (state.hangs) deaf.add(socket).add(beyond)
        for (const [from, into] of [[socket, beyond], [beyond, socket]] as const) {
          sockets.add(from)
          from.on("data", (bytes) => {
            state.heard += 1
            if (!state.hangs && !deaf.has(from)) into.write(bytes)
          })
          from.on("error", () => {}).on("close", () => into.destroy())
        }
      })
      await new Promise<void>((settle) => server.listen(0, "127.0.0.1", settle))
      const address = server.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      return { server, sockets, state, url: Redacted.make(`redis://127.0.0.1:${port}`) }
    }),
    ({ server, sockets }) =>
      Effect.promise(async () => {
        const closed = once(server, "close")
        server.close()
        for (const socket of sockets) socket.destroy()
        await closed
      })
  )

/** The store in a scope of its own, whose end is that of the process. */
const opened = Effect.fnUntraced(function*(url: Redacted.Redacted) {
  const scope = yield* Scope.make()
  const context = yield* Layer.buildWithScope(redisStore(url), scope)
  const store = Context.get(context, RateLimiter.RateLimiterStore)
  const asked = Effect.exit(store.fixedWindow({ key: "k", tokens: 1, refillRate: Duration.minutes(1), limit: 1_000 }))
  // In a fiber of its own: an end that never comes could not be given up otherwise. The time is far longer than one takes.
  const end = Effect.forkDetach(Scope.close(scope, Exit.void)).pipe(
    Effect.flatMap((fiber) => Effect.timeoutOption(Fiber.await(fiber), "20 seconds"))
  )
  return { asked: Effect.map(asked, Exit.isSuccess), end }
})

/** Asks until it is answered so. */
const until = <E, R>(asked: Effect.Effect<boolean, E, R>, wanted: boolean) =>
  Effect.repeat(asked, { schedule: Schedule.spaced("10 millis"), until: (answered) => answered === wanted })

describe.skipIf(noRedis)("a Redis that takes commands and answers none", () => {
  it.live("does not keep a process from ending that is connected to it", () =>
    Effect.gen(function*() {
      const { state, url } = yield* door(yield* redis, false)
      const { asked, end } = yield* opened(url)
      yield* until(asked, true)
      state.hangs = true
      assert.isFalse(yield* asked, "a question is on its way when the end comes")
      assert.isTrue(Option.isSome(yield* end))
    }).pipe(Effect.scoped, Effect.provide(Logger.layer([]))), 60_000)

  it.live("does not keep a process from starting and ending, either", () =>
    Effect.gen(function*() {
      const { state, url } = yield* door(yield* redis, true)
      const { asked, end } = yield* opened(url)
      // It has been reached, and has been greeted in vain.
      yield* until(Effect.sync(() => state.heard > 0), true)
      assert.isFalse(yield* asked)
      assert.isTrue(Option.isSome(yield* end))
    }).pipe(Effect.scoped, Effect.provide(Logger.layer([]))), 60_000)

  it.live(
    "is asked over another connection once it is back, though the first one stays deaf for good",
    () =>
      Effect.gen(function*() {
        const { state, url } = yield* door(yield* redis, true)
        const { asked, end } = yield* opened(url)
        yield* until(Effect.sync(() => state.heard > 0), true)
        state.hangs = false
        yield* until(asked, true)
        assert.isAtLeast(state.taken, 2)
        // … and after it was connected, too.
        const before = state.taken
        state.deafen()
        yield* until(asked, false)
        yield* until(asked, true)
        assert.isAbove(state.taken, before)
        assert.isTrue(Option.isSome(yield* end))
      }).pipe(Effect.scoped, Effect.provide(Logger.layer([]))),
    120_000
  )
})
