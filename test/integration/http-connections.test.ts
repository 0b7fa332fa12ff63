import { assert, it } from "@effect/vitest"
import { Context, Effect, Layer, Logger } from "effect"
import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, readFileSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { join } from "node:path"
import { serveHttp } from "../../src/layers/HttpServer.ts"
import { until } from "../layers/Held.ts"

const page = HttpRouter.add("GET", "/page", HttpServerResponse.text("page"))

/** A server that waits a third of a second for a head, and looks for late ones as often as it is told. */
const impatient = (checkInterval: number) =>
  Layer.build(
    serveHttp(page, {
      port: 0,
      host: "127.0.0.1",
      portVariable: "PORT",
      corsOrigins: [],
      grace: 0,
      drain: 0,
      headersTimeout: 300,
      // Nothing else may be what cuts.
      requestTimeout: 600_000,
      stalled: 600_000,
      keepAlive: 600_000,
      checkInterval
    }).pipe(Layer.provide(Logger.layer([])), Layer.fresh)
  ).pipe(Effect.map((context) => {
    const { address } = Context.get(context, HttpServer.HttpServer)
    return "port" in address ? address.port : 0
  }))

/** A client that sends a head one letter at a time, and never ends it. */
const trickling = (port: number) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const state = { answer: "", closed: false }
      const socket = connect(port, "127.0.0.1")
      socket.on("data", (data) => void (state.answer += data.toString())).on("error", () => {})
      await once(socket, "connect")
      socket.write("GET /page HTTP/1.1\r\nhost: x\r\nx-slow: ")
      const drip = setInterval(() => socket.writable && socket.write("a"), 20)
      socket.once("close", () => {
        clearInterval(drip)
        state.closed = true
      })
      return { socket, state, drip }
    }),
    ({ drip, socket }) =>
      Effect.sync(() => {
        clearInterval(drip)
        socket.destroy()
      })
  ).pipe(Effect.map(({ state }) => state))

it.live(
  "whoever sends its head too slowly is cut at the next look after its time, and not before one is taken",
  () =>
    Effect.gen(function*() {
      const [often, never] = [yield* impatient(100), yield* impatient(3_600_000)]
      // The one that nobody looks for was there first, and is as late.
      const overlooked = yield* trickling(never)
      // Three times, which is longer than any interval but its own would have left it alone.
      for (let n = 0; n < 3; n++) {
        const late = yield* trickling(often)
        yield* until(() => late.closed)
        assert.match(late.answer, /^HTTP\/1\.1 408 /)
        assert.include(late.answer, "application/problem+json")
        assert.include(late.answer, "\"code\":\"RequestTimeout\"")
      }
      assert.deepStrictEqual([overlooked.closed, overlooked.answer], [false, ""])
    }).pipe(Effect.scoped),
  60_000
)

/** Connections that are complete and wait to be accepted at a port, as the kernel counts them. */
const waiting = (port: number): number => {
  const listening = `:${port.toString(16).toUpperCase().padStart(4, "0")} 00000000:0000 0A `
  const line = readFileSync("/proc/net/tcp", "utf8").split("\n").find((line) => line.includes(listening)) ?? ""
  return Number.parseInt(line.split(listening)[1]?.split(":")[1]?.slice(0, 8) ?? "0", 16)
}

const hasProc = existsSync("/proc/net/tcp")
if (!hasProc) process.stderr.write("SKIPPED: the backlog. Only Linux tells how many connections wait\n")

it.live.skipIf(!hasProc)(
  "as many connections wait to be accepted as the backlog says, and one",
  () =>
    Effect.gen(function*() {
      const child = yield* Effect.acquireRelease(
        Effect.sync(() =>
          spawn(process.execPath, [join(import.meta.dirname, "../layers/backlog-server.ts")], {
            stdio: ["ignore", "pipe", "inherit"]
          })
        ),
        (child) =>
          Effect.promise(async () => {
            const gone = once(child, "exit")
            child.kill("SIGKILL")
            await gone
          })
      )
      let said = ""
      child.stdout.on("data", (data) => void (said += String(data)))
      yield* until(() => said.endsWith("\n"))
      const [narrow, wide] = JSON.parse(said)
      // It accepts nothing any more.
      child.kill("SIGSTOP")
      yield* until(() => / T /.test(readFileSync(`/proc/${child.pid}/stat`, "utf8")))
      const sockets: Array<Socket> = []
      yield* Effect.addFinalizer(() => Effect.sync(() => sockets.forEach((socket) => socket.destroy())))
      const knock = (port: number) =>
        Array.from({ length: 16 }, () => void sockets.push(connect(port, "127.0.0.1").on("error", () => {})))
      knock(narrow)
      yield* until(() => waiting(narrow) >= 3)
      knock(wide)
      yield* until(() => waiting(wide) === 16)
      assert.strictEqual(waiting(narrow), 3)
    }).pipe(Effect.scoped),
  60_000
)
