import * as Load from "./load.ts"
import { busySeconds, cpuSeconds } from "./machine.ts"

export interface Sample {
  readonly perSecond: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  /** Microseconds of processor time per request: of the server's process, and of PostgreSQL. */
  readonly serverMicros: number
  readonly postgresMicros: number
  /** Cores that the load generator kept busy, and everything that does not belong to the bench. */
  readonly generatorCores: number
  readonly otherCores: number
  readonly errors: string
}

export interface Contender {
  readonly name: string
  readonly measure: () => Promise<Sample>
}

/** Counts processor time between `start` and `stop`. */
export class Meter {
  readonly #server: ReadonlyArray<number>
  readonly #postgres: ReadonlyArray<number>
  #from = [0, 0, 0, 0]
  #time = 0
  #spent = [0, 0, 0, 0]
  #seconds = 1

  constructor(server: ReadonlyArray<number>, postgres: ReadonlyArray<number>) {
    this.#server = server
    this.#postgres = postgres
  }

  #now() {
    const { system, user } = process.cpuUsage()
    return [cpuSeconds(this.#server), cpuSeconds(this.#postgres), (user + system) / 1e6, busySeconds()]
  }

  start = () => {
    this.#from = this.#now()
    this.#time = performance.now()
  }

  stop = () => {
    this.#spent = this.#now().map((value, i) => value - (this.#from[i] ?? 0))
    this.#seconds = (performance.now() - this.#time) / 1_000
  }

  per(requests: number) {
    const [server = 0, postgres = 0, generator = 0, busy = 0] = this.#spent
    const micros = (seconds: number) => requests === 0 ? 0 : (seconds / requests) * 1e6
    return {
      serverMicros: micros(server),
      postgresMicros: micros(postgres),
      generatorCores: generator / this.#seconds,
      otherCores: Math.max(0, (busy - server - postgres - generator) / this.#seconds)
    }
  }
}

export const measureHttp = async (
  load: Load.Load,
  pids: { readonly server: number; readonly postgres: number }
): Promise<Sample> => {
  const meter = new Meter([pids.server], [pids.postgres])
  const measured = await Load.run({ ...load, onStart: meter.start, onEnd: meter.stop })
  return {
    perSecond: measured.perSecond,
    p50: measured.p50,
    p99: measured.p99,
    ...meter.per(measured.requests),
    errors: [...measured.errors].map(([kind, n]) => `${n} × ${kind}`).join(", ")
  }
}

/** A B C A B C …: whatever the machine does meanwhile, it does to all of them. */
export const interleave = async (
  contenders: ReadonlyArray<Contender>,
  rounds: number,
  before: (name: string, round: number) => Promise<void>
): Promise<ReadonlyMap<string, ReadonlyArray<Sample>>> => {
  const samples = new Map<string, Array<Sample>>(contenders.map(({ name }) => [name, []]))
  for (let round = 1; round <= rounds; round++) {
    for (const { measure, name } of contenders) {
      await before(name, round)
      samples.get(name)?.push(await measure())
    }
  }
  return samples
}

export const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[middle] ?? 0 : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2
}
