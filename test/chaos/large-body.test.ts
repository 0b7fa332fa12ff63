import { assert, it } from "@effect/vitest"
import { Console, Effect } from "effect"
import { once } from "node:events"
import { readFile, writeFile } from "node:fs/promises"
import { connect } from "node:net"
import { temporaryFolder } from "../layers/Held.ts"
import { register } from "./bank/Clients.ts"
import { crashingPostgres } from "./bank/Postgres.ts"
import { crashingServer } from "./bank/Server.ts"

// T9: what a body of 60 MB that says it is JSON costs the server. How soon it is refused has no limit here, since others may share
// the machine: that it is refused at all, before it is kept, shows in the memory.

const piece = Buffer.alloc(1 << 20, "a")
const close = "connection: close\r\n\r\n"

const bodies = {
  announced: (megabytes: number) => ({
    megabytes,
    head: `content-length: ${megabytes * piece.length}\r\n${close}`,
    frame: piece
  }),
  chunked: (megabytes: number) => ({
    megabytes,
    head: `transfer-encoding: chunked\r\n${close}`,
    frame: Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from("\r\n")])
  })
}
type Body = ReturnType<typeof bodies.announced>

/** Sends all of it, as fast as it is taken and for as long as the connection is there, and gives what was answered. */
const send = async (base: string, path: string, headers: string, { frame, head, megabytes }: Body) => {
  const { hostname, port } = new URL(base)
  const socket = connect(Number(port), hostname)
  let answer = ""
  socket.on("data", (data: Buffer) => void (answer += data.toString())).on("error", () => {})
  const closed = new Promise((settle) => socket.once("close", settle))
  await once(socket, "connect")
  socket.write(`POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n${headers}${head}`)
  for (let sent = 0; sent < megabytes && socket.writable; sent++) {
    if (!socket.write(frame)) await Promise.race([once(socket, "drain").catch(() => {}), closed])
  }
  await closed
  return answer
}

/** The most memory that a process had since this was asked for the last time, in MiB. */
const peakMegabytes = async (pid: number) => {
  const status = await readFile(`/proc/${pid}/status`, "utf8")
  await writeFile(`/proc/${pid}/clear_refs`, "5")
  return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? assert.fail("no peak")) / 1024
}

// Where there is no /proc, nobody tells how much memory another process held at most.
it.live.runIf(process.platform === "linux")(
  "refuses a body of 60 MB with 413 and keeps none of it",
  () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const postgres = yield* crashingPostgres(folder)
      yield* postgres.create("bodies")
      const server = yield* crashingServer({ database: postgres.url("bodies"), folder, name: "bodies" })
      const pid = server.pid() ?? assert.fail("the server has no process")
      const member = yield* register(server.base, "bodies", 0)
      const signedIn = `authorization: Bearer ${member.token}\r\nidempotency-key: large\r\n`
      const cases = (["announced", "chunked"] as const).flatMap((kind) => [
        { kind, path: "/api/auth/login", headers: "" },
        { kind, path: "/api/wallet/transfers", headers: signedIn }
      ])
      const all = (megabytes: number) =>
        Effect.forEach(cases, ({ headers, kind, path }) =>
          Effect.promise(() =>
            send(server.base, path, headers, bodies[kind](megabytes))
          ).pipe(
            Effect.tap((answer) => Effect.sync(() => assert.match(answer, /^HTTP\/1\.1 413 /, `${kind} ${path}`)))
          ))
      // So that what is compared is a process that has refused before, though nothing so large.
      for (let n = 0; n < 5; n++) yield* all(1)
      yield* Effect.promise(() => peakMegabytes(pid))
      const before = yield* Effect.promise(() => peakMegabytes(pid))
      yield* all(60)
      const peak = yield* Effect.promise(() => peakMegabytes(pid))
      yield* Console.log(`bodies of 60 MB: ${before.toFixed(0)} MiB before, ${peak.toFixed(0)} MiB at most`)
      assert.isBelow(peak - before, 20)
    }).pipe(Effect.scoped),
  300_000
)
