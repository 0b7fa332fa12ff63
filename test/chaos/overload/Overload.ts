import { fork } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { startPostgres } from "../../../bench/database.ts"
import { busySeconds, cpuSeconds, residentMegabytes } from "../../../bench/machine.ts"
import { makeHeads, makeKeys } from "../../../bench/members.ts"
import { endAll, ourDatabase, ours } from "../../../bench/sides.ts"
import type { Tally } from "./Load.ts"
import type { Order } from "./Sender.ts"

export interface OverloadOptions {
  readonly folder: string
  /** The rates of the stepped run, a second, and the seconds of each. */
  readonly steps: ReadonlyArray<number>
  readonly stepSeconds: number
  /** How long three times the capacity is offered. */
  readonly seconds: number
  readonly say: (what: string) => void
  /** More flags for the server's Node, such as those of a profile. */
  readonly flags?: ReadonlyArray<string>
}

export interface Rates {
  readonly good: number
  readonly refused: number
  readonly other: number
}

export interface OverloadReport {
  /** The most that was served a second at any step. */
  readonly capacity: number
  readonly offered: number
  /** Served a second under overload. */
  readonly useful: number
  readonly payments: Rates
  readonly reads: Rates
  /** Of the kind whose refusals took longest. */
  readonly refusedP99: number
  readonly paymentsP99: number
  /** MiB of the server: the median of the second fifth of the overload, and of the last. */
  readonly memory: readonly [early: number, late: number]
  /** Seconds from the end of the overload until everything of half the capacity was served. */
  readonly recovery: number
  /** Everything that came back neither served nor with 503. */
  readonly strays: ReadonlyMap<string, number>
}

const senders = 4_096

const median = (values: ReadonlyArray<number>) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0

const ratesOf = (tallies: ReadonlyArray<Tally>, seconds: number): Rates => {
  const sum = (of: (tally: Tally) => number) => tallies.reduce((all, tally) => all + of(tally), 0) / seconds
  return { good: sum(({ good }) => good), refused: sum(({ refused }) => refused), other: sum(({ other }) => other) }
}

const straysOf = (tallies: ReadonlyArray<Tally>): ReadonlyMap<string, number> => {
  const strays = new Map<string, number>()
  const add = (name: string, times: number) => {
    if (times > 0) strays.set(name, (strays.get(name) ?? 0) + times)
  }
  for (const tally of tallies) {
    for (const [status, times] of tally.strays) add(`${tally.kind} ${status === 0 ? "broken" : status}`, times)
    add(`${tally.kind} unanswered`, tally.unanswered)
  }
  return strays
}

/** The process that sends. */
const sender = (port: number, heads: ReadonlyArray<string>) => {
  const child = fork(join(import.meta.dirname, "Sender.ts"), { serialization: "advanced" })
  const order = (what: Order) => child.send(what)
  order({ port, heads })
  const run = async (rate: number, seconds: number): Promise<ReadonlyArray<Tally>> => {
    order({ rate, seconds })
    const [tallies] = await once(child, "message")
    return tallies
  }
  return { pid: child.pid ?? 0, run, close: () => child.disconnect() }
}

/** Cores that each of these took since the last look, and what all else on the machine took. */
const cores = (pids: Readonly<Record<string, number>>) => {
  const look = () => ({
    at: performance.now(),
    busy: busySeconds(),
    each: Object.values(pids).map((pid) => cpuSeconds([pid]))
  })
  let last = look()
  return (): string => {
    const now = look()
    const seconds = (now.at - last.at) / 1_000
    const each = now.each.map((spent, n) => (spent - (last.each[n] ?? 0)) / seconds)
    const others = (now.busy - last.busy) / seconds - each.reduce((sum, one) => sum + one, 0)
    last = now
    return [...Object.keys(pids), "others"].map((name, n) => `${name} ${(each[n] ?? others).toFixed(2)}`).join(", ")
  }
}

/** A stepped run for the capacity; three times as much; then half as much. */
export const overload = async (options: OverloadOptions): Promise<OverloadReport> => {
  const { flags = [], folder, say, seconds, steps, stepSeconds } = options
  const postgres = await startPostgres(folder)
  try {
    const ground = { postgres, folder, keys: await makeKeys(), collector: "http://127.0.0.1:1" }
    const server = await ours(ground, "overload", await ourDatabase(ground, "overload"), {
      sampler: "always_off",
      flags
    })
    const load = sender(server.port, await makeHeads(ground.keys, senders))
    await load.run(steps[0] ?? 100, 2)
    const spent = cores({ server: server.pid, PostgreSQL: postgres.pid, sender: load.pid })
    let capacity = 0
    for (const rate of steps) {
      const { good, refused } = ratesOf(await load.run(rate, stepSeconds), stepSeconds)
      say(`${rate} a second: ${good.toFixed(0)} served, ${refused.toFixed(0)} refused; cores: ${spent()}`)
      capacity = Math.max(capacity, good)
      // The curve has turned: what comes now is less.
      if (good < capacity * 0.9) break
    }
    const memory: Array<number> = []
    const watch = setInterval(() => memory.push(residentMegabytes(server.pid)), 500)
    const offered = capacity * 3
    say(`three times the capacity of ${capacity.toFixed(0)}, for ${seconds} s`)
    const during = await load.run(offered, seconds)
    say(`cores: ${spent()}`)
    for (const { good, goodP50, goodP99, kind, refused, refusedP50, refusedP99 } of during) {
      const millis = (p50: number, p99: number) => `p50 ${p50.toFixed(0)} ms, p99 ${p99.toFixed(0)} ms`
      say(
        `${kind}: ${(good / seconds).toFixed(0)}/s served, ${millis(goodP50, goodP99)}; ` +
          `${(refused / seconds).toFixed(0)}/s refused, ${millis(refusedP50, refusedP99)}`
      )
    }
    clearInterval(watch)
    const after = await load.run(capacity / 2, 8)
    load.close()
    await server.stop()

    const payments = during.filter(({ kind }) => kind === "payments")
    const fifth = Math.floor(seconds * 2 / 5)
    return {
      capacity,
      offered,
      useful: ratesOf(during, seconds).good,
      payments: ratesOf(payments, seconds),
      reads: ratesOf(during.filter(({ kind }) => kind !== "payments"), seconds),
      refusedP99: Math.max(...during.map((tally) => tally.refusedP99)),
      paymentsP99: Math.max(...payments.map(({ goodP99 }) => goodP99)),
      memory: [median(memory.slice(fifth, fifth * 2)), median(memory.slice(fifth * 4, fifth * 5))],
      recovery: Math.max(...after.map(({ lastBad }) => lastBad)),
      strays: straysOf([...during, ...after])
    }
  } finally {
    await endAll()
    await postgres.stop()
  }
}
