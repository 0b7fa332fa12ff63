import { Effect } from "effect"
import { until } from "../../layers/Held.ts"
import { type Customer, register } from "../bank/Clients.ts"
import { crashingPostgres } from "../bank/Postgres.ts"
import { crashingServer } from "../bank/Server.ts"

export interface OutageOptions {
  /** How long PostgreSQL is away. */
  readonly seconds: number
  /** Requests a second, sent whether or not earlier ones were answered. */
  readonly rate: number
  /** It hangs, instead of being gone. */
  readonly hang: boolean
}

interface Sample {
  readonly sentAt: number
  readonly answeredAt: number
  readonly status: number
}

export interface OutageReport {
  readonly before: ReadonlyMap<number, number>
  /** Answers to what was sent and answered while PostgreSQL was away, by status; 0 stands for a broken connection. */
  readonly during: ReadonlyMap<number, number>
  /** Answers to what was sent while it was away and answered when it had been started again: it may have served them. */
  readonly across: ReadonlyMap<number, number>
  /** Milliseconds of the slowest answer to anything sent while it was away. */
  readonly slowest: number
  /** How many of those took longer than a second and a half. */
  readonly late: number
  /** From PostgreSQL's return until the first request after which all succeeded. */
  readonly recovery: number
  readonly after: ReadonlyMap<number, number>
  readonly crashed: boolean
}

const send = async (base: string, from: Customer, to: Customer, number: number): Promise<Sample> => {
  const sentAt = performance.now()
  const headers = { authorization: `Bearer ${from.token}` }
  const status = await (number % 2 === 0
    ? fetch(`${base}/api/wallet`, { headers, signal: AbortSignal.timeout(15_000) })
    : fetch(`${base}/api/wallet/transfers`, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json", "idempotency-key": `outage-${number}` },
      body: JSON.stringify({ toUserId: to.id, amount: 1, currency: "NGN" }),
      signal: AbortSignal.timeout(15_000)
    })).then(async (answer) => {
      await answer.text()
      return answer.status
    }, () => 0)
  return { sentAt, answeredAt: performance.now(), status }
}

const tally = (samples: ReadonlyArray<Sample>): ReadonlyMap<number, number> => {
  const found = new Map<number, number>()
  for (const { status } of samples) found.set(status, (found.get(status) ?? 0) + 1)
  return found
}

// Nobody has money: a transfer that reaches the ledger is refused with 422, which the ledger alone can know.
const served = ({ status }: Sample) => status === 200 || status === 201 || status === 422

/** Load on a real API process; its PostgreSQL is killed, stays away, and is started again. */
export const outage = Effect.fnUntraced(function*(folder: string, { hang, rate, seconds }: OutageOptions) {
  const postgres = yield* crashingPostgres(folder)
  yield* postgres.create("outage")
  const server = yield* crashingServer({ database: postgres.url("outage"), folder, name: "outage" })
  // Each of them sends 20 requests a second, which is less than the limit for one user.
  const customers = yield* Effect.forEach(
    Array.from({ length: Math.ceil(rate / 20) + 1 }),
    (_, number) => register(server.base, "customer", number)
  )
  const next = (number: number) => {
    const [from, to] = [customers[number % customers.length], customers[(number + 1) % customers.length]]
    if (from === undefined || to === undefined) throw new Error("there are no customers")
    return send(server.base, from, to, number)
  }
  const sending: Array<Promise<Sample>> = []
  const answered: Array<Sample> = []
  const began = performance.now()
  yield* Effect.acquireRelease(
    Effect.sync(() =>
      setInterval(() => {
        while (sending.length < (performance.now() - began) / 1_000 * rate) {
          sending.push(
            next(sending.length).then((sample) => {
              answered.push(sample)
              return sample
            })
          )
        }
      }, 5)
    ),
    (timer) => Effect.sync(() => clearInterval(timer))
  )
  yield* Effect.sleep("2 seconds")
  const away = performance.now()
  // Ends when the last backend is gone: one that outlives the postmaster still answers, and rightly.
  yield* hang ? postgres.freeze : postgres.kill
  const gone = performance.now()
  yield* Effect.sleep(`${seconds} seconds`)
  // From here on PostgreSQL may be back, whatever the harness has heard of it.
  const returning = performance.now()
  yield* hang ? postgres.thaw : postgres.start
  const back = performance.now()
  // On a busy machine all of it takes longer; what the load is to show is a whole second of good answers.
  const good = () => answered.filter(({ sentAt }) => sentAt >= back).slice(-rate)
  yield* Effect.sleep("7 seconds")
  yield* until(() => good().length === rate && good().every(served))
  const samples = yield* Effect.promise(() => Promise.all(sending))
  const during = samples.filter(({ sentAt }) => sentAt > gone && sentAt < returning)
  const after = samples.filter(({ sentAt }) => sentAt >= back)
  const lastBad = after.findLast((one) => !served(one))
  return {
    before: tally(samples.filter(({ answeredAt }) => answeredAt < away)),
    during: tally(during.filter(({ answeredAt }) => answeredAt < returning)),
    across: tally(during.filter(({ answeredAt }) => answeredAt >= returning)),
    slowest: Math.max(0, ...during.map(({ answeredAt, sentAt }) => answeredAt - sentAt)),
    late: during.filter(({ answeredAt, sentAt }) => answeredAt - sentAt > 1_500).length,
    recovery: lastBad === undefined ? 0 : lastBad.answeredAt - back,
    after: tally(after),
    crashed: server.diedAlone()
  } satisfies OutageReport
}, Effect.scoped)
