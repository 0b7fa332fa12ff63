import { query, settle } from "./database.ts"
import { fill } from "./entries.ts"
import { http, type Options, type Outcome, type Say } from "./groups.ts"
import { makeHeads } from "./members.ts"
import { interleave, median } from "./rounds.ts"
import { compared } from "./rows.ts"
import { type Ground, type HttpSide, ourDatabase, ours } from "./sides.ts"

const books = [
  ["the sums of entries", "SELECT sum(amount)::text FROM wallet.entries HAVING sum(amount) <> 0"],
  ["the sums of balances", "SELECT sum(balance)::text FROM wallet.accounts HAVING sum(balance) <> 0"],
  [
    "a balance is not the sum of its entries",
    `SELECT a.id::text FROM wallet.accounts a
       JOIN (SELECT account_id, sum(amount) AS s FROM wallet.entries GROUP BY 1) e ON e.account_id = a.id
      WHERE e.s <> a.balance LIMIT 1`
  ]
] as const

const check = async (url: string): Promise<ReadonlyArray<string>> => {
  const wrong: Array<string> = []
  for (const [says, text] of books) {
    const rows = await query(url, text)
    if (rows.length > 0) wrong.push(`${says}: ${String(rows[0]?.[0])}`)
  }
  return wrong
}

/** The median milliseconds of a read, one at a time, each for another member. */
const reading = async (ground: Ground, side: HttpSide, path: string): Promise<number> => {
  const heads = await makeHeads(ground.keys, 2_048)
  const times: Array<number> = []
  for (let n = 0; n < 200; n++) {
    const authorization = /Authorization: (.*)\r\n/.exec(heads[n * 7] ?? "")?.[1] ?? ""
    const started = performance.now()
    const answer = await fetch(`http://127.0.0.1:${side.port}${path}`, { headers: { authorization } })
    await answer.text()
    if (answer.status !== 200) throw new Error(`${path} answers ${answer.status}`)
    times.push(performance.now() - started)
  }
  return median(times)
}

const monthsAgo = (n: number) => new Date(Date.now() - n * 30 * 86_400_000).toISOString()

const reads = [
  ["statement page", "/api/wallet/transactions?currency=NGN&limit=20"],
  ["balance", "/api/wallet"],
  ["balance in the past", `/api/wallet/balance?currency=NGN&at=${monthsAgo(6)}`]
] as const

// What is read by an index costs the same; the rest is the machine's.
const mostSlower = 2

/** Ours with ten million entries, against ours with none but the openings. */
export const growth = async (ground: Ground, { rounds, seconds, wanted }: Options, say: Say): Promise<Outcome> => {
  const row = "growth/10m"
  if (!wanted(row)) return { rows: [], samples: {} }
  const sides: Array<HttpSide> = []
  try {
    say("growth: ten million entries")
    const full = await ourDatabase(ground, "ours_full")
    await fill(full, 10_000_000, 2_048, say)
    sides.push(await ours(ground, "full", full))
    const empty = await ours(ground, "empty", await ourDatabase(ground, "ours_empty"))
    sides.push(empty)
    const samples = await interleave(
      sides.map((side) => http(ground, side, "random", seconds)),
      rounds,
      async (side, round) => {
        say(`growth, round ${round} of ${rounds}: ${side}`)
        await settle(ground.postgres)
      }
    )
    const notes: Array<string> = []
    const faults: Array<string> = []
    for (const [what, path] of reads) {
      say(`growth: ${what}`)
      const times: Array<number> = []
      for (const side of sides) times.push(await reading(ground, side, path))
      const [large = Number.NaN, small = Number.NaN] = times
      notes.push(`${what} ${large.toFixed(1)} ms, empty ${small.toFixed(1)} ms`)
      if (!(large <= mostSlower * small)) faults.push(`${what} costs more with ten million entries`)
    }
    say("growth: checking the books")
    faults.push(...await check(full), ...await empty.check())
    const result = compared(row, samples.get("full") ?? [], samples.get("empty") ?? [], faults)
    return {
      rows: [{ ...result, reason: [result.reason, ...notes].filter((text) => text !== undefined).join("; ") }],
      samples: Object.fromEntries([...samples].map(([side, of]) => [`growth/${side}`, of]))
    }
  } finally {
    for (const side of sides) await side.stop()
  }
}
