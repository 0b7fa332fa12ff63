import { Schema } from "effect"
import { randomUUID } from "node:crypto"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { query } from "../../../bench/database.ts"
import { memberId } from "../../../bench/members.ts"
import { submit } from "./Jobs.ts"
import { type Answer, call, type Stage } from "./Stage.ts"

/** Payments as a second's worth of users sees them. Times in milliseconds, from when each was due. */
export interface Payments {
  readonly sent: number
  /** What went wrong, and how often. */
  readonly errors: Readonly<Record<string, number>>
  readonly p50: number
  readonly p99: number
  readonly max: number
  /** How late this program itself was at worst in 99 % of its turns: it shares the machine with what it measures. */
  readonly harnessLag: number
}

const payers = 400
const below = (n: number) => Math.floor(Math.random() * n)
const after = (millis: number) => new Promise<void>((settle) => setTimeout(settle, Math.max(0, millis)))

const Charge = Schema.decodeUnknownSync(Schema.fromJsonString(
  Schema.Struct({ id: Schema.String, nextAction: Schema.Struct({ url: Schema.String }) })
))
const Transfer = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Struct({ id: Schema.String })))

const post = async (stage: Stage, member: number, path: string, body: object) =>
  call({
    port: stage.ports.api,
    method: "POST",
    path,
    headers: {
      ...await stage.heads(member),
      "content-type": "application/json",
      "idempotency-key": `"${randomUUID()}"`
    },
    body: JSON.stringify(body)
  })

const transfer = (stage: Stage) => {
  const from = below(payers)
  const to = (from + 1 + below(payers - 1)) % payers
  return post(stage, from, "/api/wallet/transfers", {
    toUserId: memberId(to),
    amount: 1 + below(100),
    currency: "NGN"
  })
}

const charge = (stage: Stage) =>
  post(stage, below(payers), "/api/payment/charge", {
    amount: 1_000 + below(1_000),
    currency: "NGN",
    provider: "sandbox"
  })

/** What the members were told, to be compared with the books afterwards. */
class Told {
  readonly latencies: Array<number> = []
  readonly errors: Record<string, number> = {}
  readonly transfers: Array<string> = []
  readonly paid: Array<string> = []
  sent = 0

  failed(what: string, times = 1) {
    if (times > 0) this.errors[what] = (this.errors[what] ?? 0) + times
  }
}

const why = (cause: unknown) =>
  cause instanceof Error && ["AbortError", "TimeoutError"].includes(cause.name) ? "no answer" : "broken"

const codeOf = ({ status, text }: Answer) => `${status} ${/"code": *"(\w+)"/.exec(text)?.[1] ?? ""}`.trim()

/** One payment that was due at `due`: a transfer, or a charge that is then paid at the provider's checkout. */
const one = async (stage: Stage, kind: "charge" | "transfer", due: number, counted: boolean, told: Told) => {
  told.sent += 1
  try {
    const answer = await (kind === "charge" ? charge(stage) : transfer(stage))
    if (answer.status !== 201) return told.failed(`${kind} ${codeOf(answer)}`)
    if (counted) told.latencies.push(performance.now() - due)
    if (kind === "transfer") return void told.transfers.push(Transfer(answer.text).id)
    const { id, nextAction } = Charge(answer.text)
    const paid = await call({
      port: stage.ports.sandbox,
      method: "POST",
      path: new URL(nextAction.url).pathname,
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ outcome: "succeed" })
    })
    if (paid.status === 200) told.paid.push(id)
    else told.failed(`checkout ${paid.status}`)
  } catch (cause) {
    told.failed(`${kind} ${why(cause)}`)
  }
}

/** `/health` may say 503 only when money cannot move, so a fault of video must never make it. */
const watchHealth = async (stage: Stage, over: () => boolean, told: Told) => {
  while (!over()) {
    await call({ port: stage.ports.api, method: "GET", path: "/health", millis: 3_000 }).then(
      ({ status }) => status === 200 || told.failed(`health ${status}`),
      (cause: unknown) => told.failed(`health ${why(cause)}`)
    )
    await after(500)
  }
}

/** Every transfer that was acknowledged and every charge that was paid is in the books, the latter within ten seconds. */
const reconcile = async (stage: Stage, told: Told) => {
  const posted = async () => {
    const [[transfers, charges] = []] = await query(
      stage.url,
      `SELECT (SELECT count(*)::int FROM wallet.transfers WHERE id = ANY ($1::text[]::uuid[])),
              (SELECT count(*)::int FROM wallet.transfers WHERE key = ANY ($2::text[]))`,
      [told.transfers, told.paid.map((id) => `charge:${id}`)]
    )
    return { transfers: told.transfers.length - Number(transfers), charges: told.paid.length - Number(charges) }
  }
  let missing = await posted()
  for (let tries = 0; tries < 40 && missing.charges > 0; tries++) {
    await after(250)
    missing = await posted()
  }
  told.failed("transfer lost", missing.transfers)
  told.failed("charge paid and not credited", missing.charges)
}

const quantile = (sorted: ReadonlyArray<number>, part: number) =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0

/** Not counted: connections and plans are made anew after a pause. */
const leadMillis = 1_000

/**
 * Charges and transfers in turn, `rate` a second together, sent when they are due whether or not earlier ones were answered;
 * the time that one waits counts. Ends when every one has its answer and every paid charge its credit.
 */
export const pay = async (stage: Stage, seconds: number, rate: number): Promise<Payments> => {
  const told = new Told()
  const started = performance.now()
  const begin = started + leadMillis
  const end = begin + seconds * 1_000
  const lag = monitorEventLoopDelay({ resolution: 2 })
  lag.enable()
  const health = watchHealth(stage, () => performance.now() > end, told)
  const running: Array<Promise<void>> = []
  for (let n = 0;; n++) {
    const due = started + (n / rate) * 1_000
    if (due >= end) break
    if (due > performance.now()) await after(due - performance.now())
    running.push(one(stage, n % 2 === 0 ? "charge" : "transfer", due, due >= begin, told))
  }
  lag.disable()
  await Promise.all([...running, health])
  await reconcile(stage, told)
  const sorted = told.latencies.toSorted((a, b) => a - b)
  return {
    sent: told.sent,
    errors: told.errors,
    p50: quantile(sorted, 0.5),
    p99: quantile(sorted, 0.99),
    max: sorted.at(-1) ?? 0,
    harnessLag: lag.percentile(99) / 1e6
  }
}

// Each member may upload 20 times an hour: everyone in the second half of them takes a turn.
let filmer = 5_000
const nextFilmer = () => {
  filmer = filmer >= 9_900 ? 5_000 : filmer + 1
  return filmer
}

/** Members who submit videos, so many a second, whatever becomes of them; counts what they were answered. */
export const film = async (stage: Stage, clip: Uint8Array, rate: number, over: () => boolean) => {
  const answers = new Map<string, number>()
  let present = 0
  while (!over()) {
    if (present < 60) {
      present += 1
      const count = (answer: string) => answers.set(answer, (answers.get(answer) ?? 0) + 1)
      void submit(stage, nextFilmer(), clip, count).catch(() => count("broken")).finally(() => present -= 1)
    }
    await after(1_000 / rate)
  }
  return answers
}
