import { spawn } from "node:child_process"
import { mkdirSync } from "node:fs"
import { join, resolve } from "node:path"
import type { Options, Say } from "./groups.ts"
import * as Load from "./load.ts"
import { residentMegabytes } from "./machine.ts"
import { makeHeads, transfer } from "./members.ts"
import { freePort } from "./ports.ts"
import { alone, type Row } from "./rows.ts"
import { answers, type Ground, ourDatabase, ours } from "./sides.ts"

const many = 10_000

/** Everybody pays once over a few connections: people who stay connected have had their tokens verified long before. */
const greetAll = async (port: number, heads: ReadonlyArray<string>) => {
  let next = 0
  const until = performance.now() + 60_000
  while (next < many && performance.now() < until) {
    await Load.run({
      port,
      connections: 256,
      warmupSeconds: 0,
      seconds: 2,
      request: () => transfer(heads, next++ % many, false)
    })
  }
}

/** 10,000 people who stay connected, and pay at a rate that does not wait for the answers. */
export const manyConnections = async (
  ground: Ground,
  { seconds, wanted }: Options,
  say: Say
): Promise<ReadonlyArray<Row>> => {
  const row = "connections/10k"
  if (!wanted(row)) return []
  say("connections: a fresh database")
  const us = await ours(ground, "connections", await ourDatabase(ground, "ours_connections"))
  try {
    const notes: Array<string> = []
    const faults: Array<string> = []
    let reached = 0
    for (const rate of [3_000, 6_000]) {
      say(`connections: ${many} of them, ${rate} transfers/s`)
      const heads = await makeHeads(ground.keys, many)
      if (rate === 3_000) await greetAll(us.port, heads)
      const measured = await Load.run({
        port: us.port,
        connections: many,
        rate,
        warmupSeconds: 3,
        seconds: seconds * 2,
        request: (connection) => transfer(heads, connection, false)
      })
      const memory = residentMegabytes(us.pid)
      const errors = [...measured.errors].map(([kind, n]) => `${n} × ${kind}`).join(", ")
      notes.push(
        `at ${rate}/s: ${Math.round(measured.perSecond)}/s, p50 ${measured.p50.toFixed(0)} ms, p99 `
          + `${measured.p99.toFixed(0)} ms, ${Math.round(memory)} MB${errors === "" ? "" : `, ${errors}`}`
      )
      const limit = rate === 3_000 ? 100 : 50
      const kept = errors === "" && measured.p99 <= limit && memory <= 900 && measured.perSecond >= rate * 0.98
      if (!kept) {
        if (rate === 3_000) faults.push("the least was not held")
        break
      }
      reached = rate
    }
    faults.push(...await us.check())
    return [alone(row, [reached], faults, notes)]
  } finally {
    await us.stop()
  }
}

const root = resolve(import.meta.dirname, "..")

/** Seconds from `npm start` to the first answer of the API; everything has stopped again when it returns. */
const startOnce = async (home: string): Promise<number> => {
  const [api, video, sandbox] = await Promise.all([freePort(), freePort(), freePort()])
  const started = performance.now()
  const child = spawn("npm", ["start", "--silent"], {
    cwd: root,
    env: {
      ...process.env,
      MIDNIGHT_HOME: home,
      PORT: String(api),
      VIDEO_PORT: String(video),
      SANDBOX_PORT: String(sandbox)
    },
    stdio: "ignore",
    detached: true
  })
  const stop = () => {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, "SIGTERM")
  }
  process.once("exit", stop)
  const gone = new Promise<void>((settle) => child.once("exit", () => settle()))
  let seconds = Number.NaN
  while (performance.now() - started < 90_000) {
    if (await answers(`http://127.0.0.1:${api}/health`)) {
      seconds = (performance.now() - started) / 1_000
      break
    }
    await new Promise((settle) => setTimeout(settle, 10))
  }
  // The seed of the first start may still be at work.
  await new Promise((settle) => setTimeout(settle, 4_000))
  stop()
  await gone
  process.off("exit", stop)
  while (await answers(`http://127.0.0.1:${api}/health`)) await new Promise((settle) => setTimeout(settle, 50))
  // PostgreSQL is the last to stop.
  await new Promise((settle) => setTimeout(settle, 2_000))
  return seconds
}

export const start = async ({ folder }: Ground, { wanted }: Options, say: Say): Promise<ReadonlyArray<Row>> => {
  if (!wanted("start")) return []
  const home = join(folder, "start")
  mkdirSync(home, { mode: 0o700 })
  say("start: setting the machine up")
  await startOnce(home)
  const seconds: Array<number> = []
  for (const n of [1, 2, 3]) {
    say(`start: ${n} of 3`)
    seconds.push(await startOnce(home))
  }
  return [alone("start", seconds, seconds.some(Number.isNaN) ? ["it did not answer"] : [])]
}
