import { PgClient } from "@effect/sql-pg"
import { Context, DateTime, Effect, Layer, Option, Redacted, type Scope } from "effect"
import { randomInt, randomUUID } from "node:crypto"
import { UserId } from "../src/domain/Ids.ts"
import { migrate } from "../src/layers/Migrations.ts"
import { LedgerHistoryStore } from "../src/services/LedgerHistoryStore.ts"
import { type LedgerCommand, LedgerStore } from "../src/services/LedgerStore.ts"
import { auditOf } from "./books.ts"
import { createDatabase, type Postgres, query } from "./database.ts"
import { fill } from "./entries.ts"
import type { Say } from "./groups.ts"
import { memberId } from "./members.ts"
import { median } from "./rounds.ts"
import type { Row } from "./rows.ts"

export interface GrowthOptions {
  /** How many entries the large ledger has; ten million unless told otherwise. */
  readonly entries?: number
  readonly rounds: number
  /** Of posting, per round and side. */
  readonly seconds: number
}

/** Each member has a thousand entries, in the small ledger of ten thousand entries as in the large one. */
const perMember = 1_000
const smallMembers = 10
/** About what 256 connections queue up while a batch commits. */
const batch = 127
const currency = "NGN"

interface Side {
  readonly members: number
  readonly ledger: LedgerStore["Service"]
  readonly history: LedgerHistoryStore["Service"]
}

const client = (url: string) => Layer.fresh(PgClient.layer({ url: Redacted.make(url), maxConnections: 1 }))

const open = (url: string, members: number): Effect.Effect<Side, unknown, Scope.Scope> =>
  Effect.map(
    Layer.build(Layer.provide(Layer.mergeAll(LedgerStore.layer, LedgerHistoryStore.layer), client(url))),
    (stores) => ({
      members,
      ledger: Context.get(stores, LedgerStore),
      history: Context.get(stores, LedgerHistoryStore)
    })
  )

const payment = (members: number): LedgerCommand => {
  const payer = randomInt(members)
  const payee = (payer + 1 + randomInt(members - 1)) % members
  return {
    op: "transfer",
    key: `transfer:${randomUUID()}`,
    kind: "transfer",
    memo: null,
    reference: {},
    legs: [
      { kind: "wallet", owner: UserId.make(memberId(payer)), currency, amount: "-1" },
      { kind: "wallet", owner: UserId.make(memberId(payee)), currency, amount: "1" }
    ]
  }
}

/** Transfers per second through `wallet.post`, batch after batch on one connection, each batch its own durable commit. */
const posting = ({ ledger, members }: Side, seconds: number) =>
  Effect.gen(function*() {
    const began = performance.now()
    let done = 0
    while (performance.now() - began < seconds * 1_000) {
      const outcomes = yield* ledger.post(Array.from({ length: batch }, () => payment(members)))
      if (outcomes.some(({ outcome }) => outcome !== "posted")) return yield* Effect.die(new Error("not posted"))
      done += batch
    }
    return done / ((performance.now() - began) / 1_000)
  })

type Read = (side: Side, member: UserId) => Effect.Effect<unknown, unknown>

const page = {
  currency: Option.none(),
  kind: Option.none(),
  from: Option.none(),
  to: Option.none(),
  before: Option.none(),
  limit: 20
}
const reads: ReadonlyArray<readonly [row: string, read: Read]> = [
  ["growth/page", ({ history }, userId) => history.entries({ ...page, userId })],
  ["growth/balance", ({ ledger }, member) => ledger.wallets(member)],
  [
    "growth/balance-at",
    ({ history }, member) =>
      Effect.flatMap(DateTime.now, (now) => history.standing(member, currency, DateTime.subtract(now, { seconds: 20 })))
  ]
]

/**
 * Medians, in microseconds, of reads on each side in turns, so that what else the machine does meets all alike. A side is
 * read for random members among the first so many of its.
 */
const reading = (sides: ReadonlyArray<readonly [side: Side, among: number]>, read: Read, times: number) =>
  Effect.gen(function*() {
    const micros = sides.map((): Array<number> => [])
    for (let n = 0; n < times; n++) {
      for (const [i, [side, among]] of sides.entries()) {
        const member = UserId.make(memberId(randomInt(among)))
        const began = performance.now()
        yield* read(side, member)
        micros[i]?.push((performance.now() - began) * 1_000)
      }
    }
    return micros.map(median)
  })

interface Pair {
  readonly large: number
  readonly small: number
  readonly ratio: number
}

const row = (
  name: string,
  unit: string,
  pairs: ReadonlyArray<Pair>,
  faults: ReadonlyArray<string>,
  notes: ReadonlyArray<string>
): Row => {
  const ratios = pairs.map(({ ratio }) => ratio)
  const ratio = median(ratios)
  return {
    row: name,
    unit,
    ours: median(pairs.map(({ large }) => large)),
    peer: median(pairs.map(({ small }) => small)),
    ratio,
    low: Math.min(...ratios),
    high: Math.max(...ratios),
    atLeast: 0.8,
    goal: 1,
    pass: ratio >= 0.8 && faults.length === 0,
    reason: [...faults, ...notes].join("; ")
  }
}

const measure = (large: Side, empty: Side, small: Side, { rounds, seconds }: GrowthOptions, say: Say) =>
  Effect.gen(function*() {
    const measured = new Map<string, Array<Pair>>()
    const add = (name: string, pair: Pair) => measured.set(name, [...measured.get(name) ?? [], pair])
    const spread = new Map<string, number>()
    for (const side of [large, empty]) yield* posting(side, 2)
    for (let round = 1; round <= rounds; round++) {
      say(`growth: round ${round} of ${rounds}`)
      for (const [name, read] of reads) {
        // As many members are read on both sides, so that their pages are in memory on both: work is compared, not caches.
        const sides = [[small, smallMembers], [large, smallMembers]] as const
        yield* reading(sides, read, 100)
        const [ofSmall = 0, ofLarge = 0] = yield* reading(sides, read, 1_000)
        add(name, { small: ofSmall, large: ofLarge, ratio: ofSmall / ofLarge })
        const [all = 0] = round === rounds ? yield* reading([[large, large.members]], read, 1_000) : []
        spread.set(name, all)
      }
      const [big, none] = [yield* posting(large, seconds), yield* posting(empty, seconds)]
      add("growth/post", { large: big, small: none, ratio: big / none })
    }
    return { measured, spread }
  })

const migrated = async (postgres: Postgres, name: string): Promise<string> => {
  const url = await createDatabase(postgres, name)
  await Effect.runPromise(Effect.provide(migrate, client(url)))
  return url
}

/**
 * What ten million entries cost the ledger's own statements, without HTTP: posting against a ledger that has only its
 * openings, and reads against one of ten thousand entries. A ratio above 1 is faster than the smaller ledger.
 */
export const ledgerGrowth = async (
  postgres: Postgres,
  options: GrowthOptions,
  say: Say
): Promise<ReadonlyArray<Row>> => {
  const entries = options.entries ?? 10_000_000
  const members = Math.max(smallMembers, Math.floor(entries / perMember))
  const largeUrl = await migrated(postgres, "growth_large")
  const emptyUrl = await migrated(postgres, "growth_empty")
  const smallUrl = await migrated(postgres, "growth_small")
  await fill(emptyUrl, 0, members, say)
  await fill(smallUrl, smallMembers * perMember, smallMembers, say)
  const began = performance.now()
  await fill(largeUrl, entries, members, say)
  const filling = ((performance.now() - began) / 1_000).toFixed(0)
  const [[count, size] = []] = await query(
    largeUrl,
    "SELECT (SELECT count(*)::float8 FROM wallet.entries), pg_database_size(current_database())::float8 / 1e9"
  )
  const { measured, spread } = await Effect.runPromise(Effect.scoped(Effect.gen(function*() {
    const large = yield* open(largeUrl, members)
    return yield* measure(large, yield* open(emptyUrl, members), yield* open(smallUrl, smallMembers), options, say)
  })))
  const faults: Array<string> = []
  for (const url of [largeUrl, emptyUrl, smallUrl]) {
    say("growth: checking the books")
    faults.push(...await auditOf(url))
  }
  const made = `${Number(count).toLocaleString("en-US")} entries, ${Number(size).toFixed(1)} GB, made in ${filling} s`
  const smaller = `against ${(smallMembers * perMember).toLocaleString("en-US")} entries`
  return [
    row("growth/post", "transfers/s", measured.get("growth/post") ?? [], faults, [made, `batches of ${batch}`]),
    ...reads.map(([name]) => {
      const all = `${Math.round(spread.get(name) ?? 0)} µs among all ${members.toLocaleString("en-US")} members`
      return row(name, "µs", measured.get(name) ?? [], faults, [smaller, all])
    })
  ]
}
