import { settle } from "./database.ts"
import { makeHeads, transfer, wallet } from "./members.ts"
import { pgbenchPath, runPgbench } from "./pgbench.ts"
import { type Contender, interleave, measureHttp, median, Meter, type Sample } from "./rounds.ts"
import { alone, compared, errorsOf, orBroken, type Row, skipped, targets } from "./rows.ts"
import { checkPeer, type Ground, type HttpSide, ourDatabase, ours, peer, peerDatabase } from "./sides.ts"

export interface Options {
  readonly rounds: number
  readonly seconds: number
  readonly wanted: (row: string) => boolean
}

/** How the bench tells what it is doing. */
export type Say = (what: string) => void

export interface Outcome {
  readonly rows: ReadonlyArray<Row>
  readonly samples: Readonly<Record<string, ReadonlyArray<Sample>>>
}

const connections = 256
/** Members who send, in the closed loop: each connection takes turns among eight, so that nobody exceeds a user's limit. */
const senders = 2_048
const warmupSeconds = 2

const rotate = () => {
  const turns = new Map<number, number>()
  return (connection: number) => {
    const turn = (turns.get(connection) ?? 0) + 1
    turns.set(connection, turn)
    return (connection + turn * connections) % senders
  }
}

type Work = "random" | "hot" | "wallet"

export const http = (ground: Ground, side: HttpSide, work: Work, seconds: number): Contender => ({
  name: side.name,
  measure: async () => {
    const heads = await makeHeads(ground.keys, senders)
    const next = rotate()
    return measureHttp({
      port: side.port,
      connections,
      warmupSeconds,
      seconds,
      request: (connection) =>
        work === "wallet" ? wallet(heads, next(connection)) : transfer(heads, next(connection), work === "hot")
    }, { server: side.pid, postgres: ground.postgres.pid })
  }
})

const bare = (
  ground: Ground,
  name: string,
  path: string,
  url: string,
  file: string,
  clients: number,
  seconds: number
): Contender => ({
  name,
  measure: async () => {
    await runPgbench(path, url, { clients, file, seconds: warmupSeconds })
    const meter = new Meter([], [ground.postgres.pid])
    meter.start()
    const perSecond = await runPgbench(path, url, { clients, file, seconds })
    meter.stop()
    return { perSecond, p50: 0, p99: 0, ...meter.per(perSecond * seconds), otherCores: 0, errors: "" }
  }
})

/** The best of three pool sizes for a peer, by a short trial of each. */
const bestPeer = async (ground: Ground, name: "express" | "fastify", url: string, work: Work, say: Say) => {
  let best: { readonly side: HttpSide; readonly perSecond: number } | undefined
  for (const pool of [8, 16, 32]) {
    say(`${name}: trying a pool of ${pool}`)
    const side = await peer(ground, name, url, pool)
    const { perSecond } = await http(ground, side, work, 2).measure()
    if (best !== undefined && best.perSecond >= perSecond) await side.stop()
    else {
      await best?.side.stop()
      best = { side, perSecond }
    }
  }
  if (best === undefined) throw new Error("no pool size was tried")
  return best.side
}

const bestClients = async (path: string, url: string, file: string, say: Say) => {
  let best = { clients: 0, perSecond: 0 }
  for (const clients of [16, 32, 64]) {
    say(`pgbench, ${file}: trying ${clients} clients`)
    const perSecond = await runPgbench(path, url, { clients, file, seconds: 2 })
    if (perSecond > best.perSecond) best = { clients, perSecond }
  }
  return best.clients
}

const noPgbench = "pgbench is not installed (Debian: apt-get install postgresql)"

interface Duel {
  readonly prefix: string
  readonly work: Work
  readonly http: ReadonlyArray<"express" | "fastify">
  readonly pgbench: ReadonlyArray<readonly [row: string, file: string]>
}

const duels: ReadonlyArray<Duel> = [
  {
    prefix: "transfers",
    work: "random",
    http: ["express", "fastify"],
    pgbench: [["pgbench", "pgbench-random.sql"], ["pgbench-function", "pgbench-function.sql"]]
  },
  { prefix: "hot", work: "hot", http: ["express"], pgbench: [["pgbench", "pgbench-hot.sql"]] },
  { prefix: "wallet", work: "wallet", http: ["express"], pgbench: [] }
]

const cpuOf = (sample: Sample) => sample.serverMicros + sample.postgresMicros

/** Ours and its rivals at one kind of work, each in a fresh database. */
const duel = async (ground: Ground, { rounds, seconds, wanted }: Options, it: Duel, say: Say): Promise<Outcome> => {
  const row = (name: string) => `${it.prefix}/${name}`
  const own = it.work === "random" ? ["transfers/p99", "transfers/cpu"].filter(wanted) : []
  const peers = it.http.filter((name) => wanted(row(name)))
  const bareRows = it.pgbench.filter(([name]) => wanted(row(name)))
  if (own.length + peers.length + bareRows.length === 0) return { rows: [], samples: {} }

  const path = pgbenchPath()
  const sides: Array<HttpSide> = []
  const contenders: Array<Contender> = []
  const checks: Array<readonly [string, () => Promise<ReadonlyArray<string>>]> = []
  try {
    say("ours: a fresh database")
    const us = await ours(ground, "ours", await ourDatabase(ground, `ours_${it.prefix}`))
    sides.push(us)
    contenders.push(http(ground, us, it.work, seconds))
    checks.push(["ours", us.check])
    for (const name of peers) {
      const url = await peerDatabase(ground, `${name}_${it.prefix}`, "schema.sql")
      const side = await bestPeer(ground, name, url, it.work, say)
      sides.push(side)
      contenders.push({ ...http(ground, side, it.work, seconds), name })
      checks.push([name, side.check])
    }
    for (const [name, file] of path === undefined ? [] : bareRows) {
      const url = await peerDatabase(ground, `${name.replace("-", "_")}_${it.prefix}`, "pgbench-schema.sql")
      contenders.push(bare(ground, name, path ?? "", url, file, await bestClients(path ?? "", url, file, say), seconds))
      checks.push([name, () => checkPeer(url)])
    }
    const samples = await interleave(contenders, rounds, async (name, round) => {
      say(`${it.prefix}, round ${round} of ${rounds}: ${name}`)
      await settle(ground.postgres)
    })
    say(`${it.prefix}: checking the books of every side`)
    const faults: Array<string> = []
    for (const [name, check] of checks) faults.push(...(await check()).map((fault) => `books of ${name}: ${fault}`))
    const of = (name: string) => samples.get(name) ?? []
    const mine = of("ours")
    // A refusal costs less than a transfer: with errors neither figure says anything.
    const ownFaults = [...faults, ...errorsOf("ours", mine)]
    return {
      rows: [
        ...peers.map((name) => compared(row(name), mine, of(name), faults)),
        ...bareRows.map(([name]) =>
          path === undefined ? skipped(row(name), noPgbench) : compared(row(name), mine, of(name), faults)
        ),
        ...own.map((name) =>
          name === "transfers/p99"
            ? alone(name, mine.map(({ p99 }) => p99), ownFaults)
            : alone(name, mine.map(cpuOf), ownFaults, [
              `Node ${Math.round(median(mine.map((s) => s.serverMicros)))} µs, PostgreSQL `
              + `${Math.round(median(mine.map((s) => s.postgresMicros)))} µs`
            ])
        )
      ],
      samples: Object.fromEntries([...samples].map(([name, of]) => [row(name), of]))
    }
  } finally {
    for (const side of sides) await side.stop()
  }
}

interface Variants {
  readonly row: string
  readonly work: Work
  readonly plain: Parameters<typeof ours>[3]
}

/** Ours as it is, against ours without something that it does. */
const variants: ReadonlyArray<Variants> = [
  { row: "tracing/1-percent", work: "random", plain: { sampler: "always_off" } },
  { row: "limiter/wallet", work: "wallet", plain: { flags: ["--import", "./bench/without-limits.ts"] } }
]

const against = async (
  ground: Ground,
  { rounds, seconds, wanted }: Options,
  { plain, row, work }: Variants,
  say: Say
): Promise<Outcome> => {
  if (!wanted(row)) return { rows: [], samples: {} }
  const [prefix = row] = row.split("/")
  const sides: Array<HttpSide> = []
  try {
    say(`${prefix}: two of ours`)
    const on = await ours(ground, prefix, await ourDatabase(ground, `ours_${prefix}`))
    sides.push(on)
    const off = await ours(ground, `${prefix}-off`, await ourDatabase(ground, `ours_${prefix}_off`), plain)
    sides.push(off)
    const contenders = [http(ground, on, work, seconds), http(ground, off, work, seconds)]
    const samples = await interleave(contenders, rounds, async (side, round) => {
      say(`${prefix}, round ${round} of ${rounds}: ${side}`)
      await settle(ground.postgres)
    })
    const faults = (await Promise.all([on.check(), off.check()])).flat()
    return {
      rows: [compared(row, samples.get(on.name) ?? [], samples.get(off.name) ?? [], faults)],
      samples: Object.fromEntries([...samples].map(([side, of]) => [`${prefix}/${side}`, of]))
    }
  } finally {
    for (const side of sides) await side.stop()
  }
}

/** Everything that is measured against somebody else. */
export const comparisons = async (ground: Ground, options: Options, say: Say): Promise<Outcome> => {
  const outcomes: Array<Outcome> = []
  const broken = (rows: ReadonlyArray<Row>): Outcome => ({ rows, samples: {} })
  for (const it of duels) {
    const rows = [...targets.keys()].filter((row) => row.startsWith(`${it.prefix}/`) && options.wanted(row))
    outcomes.push(await orBroken(rows, () => duel(ground, options, it, say), broken))
  }
  for (const it of variants) outcomes.push(await orBroken([it.row], () => against(ground, options, it, say), broken))
  return {
    rows: outcomes.flatMap(({ rows }) => rows),
    samples: Object.assign({}, ...outcomes.map(({ samples }) => samples))
  }
}
