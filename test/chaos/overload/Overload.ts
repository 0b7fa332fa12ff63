import { readFileSync } from "node:fs"
import { startPostgres } from "../../../bench/database.ts"
import { makeHeads, makeKeys, transfer, wallet } from "../../../bench/members.ts"
import { endAll, ourDatabase, ours } from "../../../bench/sides.ts"
import { type Kind, loader, type Seen } from "./Load.ts"

export interface OverloadOptions {
  readonly folder: string
  /** The rates of the stepped run, a second, and the seconds of each. */
  readonly steps: ReadonlyArray<number>
  readonly stepSeconds: number
  /** How long three times the capacity is offered. */
  readonly seconds: number
  readonly say: (what: string) => void
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

const history = (heads: ReadonlyArray<string>, member: number) =>
  `GET /api/wallet/transactions?currency=NGN&limit=20 HTTP/1.1\r\n${heads[member]}\r\n`

/** One of ten is a payment, so that three times the capacity is not more payments than can be served. */
export const kinds = (heads: ReadonlyArray<string>): ReadonlyArray<Kind> => {
  const member = (n: number) => (n * 7) % senders
  return [
    { name: "payments", part: 0.1, connections: 1_000, request: (n) => transfer(heads, member(n), false) },
    { name: "wallets", part: 0.45, connections: 1_000, request: (n) => wallet(heads, member(n)) },
    { name: "histories", part: 0.45, connections: 1_000, request: (n) => history(heads, member(n)) }
  ]
}

const isGood = ({ status }: Seen) => status >= 200 && status < 300

const quantile = (values: ReadonlyArray<number>, part: number) =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))] ?? 0

const ratesOf = (seen: ReadonlyArray<Seen>, seconds: number): Rates => ({
  good: seen.filter(isGood).length / seconds,
  refused: seen.filter(({ status }) => status === 503).length / seconds,
  other: seen.filter((one) => !isGood(one) && one.status !== 503).length / seconds
})

/** What was answered while the load still ran: an answer that comes after its end was not served at that rate. */
const within = (seen: ReadonlyArray<Seen>, seconds: number) =>
  seen.filter(({ at, millis }) => at + millis / 1_000 <= seconds)

const mebibytes = (pid: number): number => {
  try {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1_024
  } catch {
    return 0
  }
}

/** A stepped run for the capacity; three times as much; then half as much. */
export const overload = async (options: OverloadOptions): Promise<OverloadReport> => {
  const { folder, say, seconds, steps, stepSeconds } = options
  const postgres = await startPostgres(folder)
  try {
    const ground = { postgres, folder, keys: await makeKeys(), collector: "http://127.0.0.1:1" }
    const server = await ours(ground, "overload", await ourDatabase(ground, "overload"), { sampler: "always_off" })
    const load = loader(server.port, kinds(await makeHeads(ground.keys, senders)))
    await load.run(steps[0] ?? 100, 2)
    let capacity = 0
    for (const rate of steps) {
      const { good, refused } = ratesOf(within(await load.run(rate, stepSeconds), stepSeconds), stepSeconds)
      say(`${rate} a second: ${good.toFixed(0)} served, ${refused.toFixed(0)} refused`)
      capacity = Math.max(capacity, good)
      // The curve has turned: what comes now is less.
      if (good < capacity * 0.9) break
    }
    const memory: Array<number> = []
    const watch = setInterval(() => memory.push(mebibytes(server.pid)), 500)
    const offered = capacity * 3
    say(`three times the capacity of ${capacity.toFixed(0)}, for ${seconds} s`)
    const seen = await load.run(offered, seconds)
    clearInterval(watch)
    const after = await load.run(capacity / 2, 8)
    load.close()
    await server.stop()

    const answered = within(seen, seconds)
    const of = (kind: string) => answered.filter((one) => one.kind === kind)
    const strays = new Map<string, number>()
    for (const one of [...seen, ...after]) {
      if (isGood(one) || one.status === 503) continue
      const name = `${one.kind} ${one.status === 0 ? "broken" : one.status}`
      strays.set(name, (strays.get(name) ?? 0) + 1)
    }
    const fifth = Math.floor(seconds * 2 / 5)
    const lastBad = after.findLast((one) => !isGood(one))
    return {
      capacity,
      offered,
      useful: ratesOf(answered, seconds).good,
      payments: ratesOf(of("payments"), seconds),
      reads: ratesOf(answered.filter(({ kind }) => kind !== "payments"), seconds),
      refusedP99: quantile(seen.filter(({ status }) => status === 503).map(({ millis }) => millis), 0.99),
      paymentsP99: quantile(of("payments").filter(isGood).map(({ millis }) => millis), 0.99),
      memory: [quantile(memory.slice(fifth, fifth * 2), 0.5), quantile(memory.slice(fifth * 4, fifth * 5), 0.5)],
      recovery: lastBad === undefined ? 0 : lastBad.at + lastBad.millis / 1_000,
      strays
    }
  } finally {
    await endAll()
    await postgres.stop()
  }
}
