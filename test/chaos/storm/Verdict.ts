import { PgConnection } from "@effect/sql-pg"
import { Effect, type Redacted } from "effect"
import { reconcile } from "../bank/Judge.ts"
import { type Books, charges, type Held, payouts, refunds } from "./Books.ts"

type Database = Redacted.Redacted<string>

export const rowsOf = (database: Database, statement: string) =>
  Effect.scoped(
    Effect.flatMap(PgConnection.make({ url: database }), (connection) => connection.queryValues(statement, []))
  ).pipe(Effect.orDie)

/** What has not come to an end: nobody would ever hear of it. */
export const unfinished = (database: Database) =>
  Effect.map(
    rowsOf(
      database,
      `SELECT 'payment ' || id || ' ' || status FROM payments.payments WHERE status = 'processing' OR flag IS NOT NULL
       UNION ALL
       SELECT concat_ws(' ', kind, id, status, flag, 'at', provider, 'as', coalesce(provider_reference, 'nothing'),
                        'asked for', coalesce(begun_at::text, 'never'), 'moved', updated_at)
         FROM payments.outgoing WHERE NOT settled OR flag IS NOT NULL
       UNION ALL SELECT 'hold ' || key FROM wallet.holds WHERE status = 'open'`
    ),
    (rows) => rows.map(([what]) => String(what))
  )

interface Posted {
  readonly amount: string
  readonly currency: string
}

/** Every transfer of the ledger whose key begins so, by the rest of its key. */
const booked = (database: Database, prefix: string) =>
  Effect.map(
    rowsOf(
      database,
      `SELECT substr(t.key, ${prefix.length + 2}), sum(e.amount)::text, min(a.currency) FROM wallet.transfers t
         JOIN wallet.entries e ON e.transfer_id = t.id AND e.amount > 0 JOIN wallet.accounts a ON a.id = e.account_id
        WHERE t.key LIKE '${prefix}:%' GROUP BY t.key`
    ),
    (rows) =>
      new Map(
        rows.map(([key, amount, currency]): readonly [string, Posted] => [
          String(key),
          { amount: String(amount), currency: String(currency) }
        ])
      )
  )

const statuses = (database: Database, kind: string) =>
  Effect.map(
    rowsOf(
      database,
      kind === "charge"
        ? "SELECT id, status FROM payments.payments"
        : `SELECT id, status FROM payments.outgoing WHERE kind = '${kind}'`
    ),
    (rows) => new Map(rows.map(([id, status]) => [String(id), String(status)]))
  )

const said = (posted: Posted | undefined) => posted === undefined ? "nothing" : `${posted.amount} ${posted.currency}`

/** Holds the ledger's postings and our rows against what the provider holds, one by one and both ways. */
const against = Effect.fnUntraced(function*(
  database: Database,
  kind: "charge" | "refund" | "payout",
  there: ReadonlyArray<Held>
) {
  const findings: Array<string> = []
  const here = yield* booked(database, kind)
  const fees = yield* booked(database, "fee")
  const rows = yield* statuses(database, kind)
  const seen = new Set<string>()
  for (const { amount, currency, ends, fee, id, isDone, wrong } of there) {
    if (id === undefined) findings.push(`a ${kind} of ${amount} ${currency} there is nobody's`)
    if (id !== undefined && seen.has(id)) findings.push(`${kind} ${id} was made twice`)
    if (id === undefined) continue
    seen.add(id)
    if (wrong !== undefined) findings.push(`${kind} ${id} ${wrong} there`)
    const status = rows.get(id) ?? "unknown"
    if (!ends.includes(status)) findings.push(`${kind} ${id} is ${ends.join(" or ")} there, and ${status} here`)
    const posted = here.get(id)
    const stays = posted !== undefined && !here.has(`${id}:returned`)
    const should = isDone ? { amount: String(amount), currency } : undefined
    if (said(stays ? posted : undefined) !== said(should)) {
      findings.push(`${kind} ${id} moved ${said(should)} there, and ${said(stays ? posted : undefined)} here`)
    }
    if (fee !== undefined && said(fees.get(id)) !== said(isDone ? { amount: String(fee), currency } : undefined)) {
      findings.push(`${kind} ${id} cost ${isDone ? fee : "nothing"} there, and ${said(fees.get(id))} here`)
    }
  }
  for (const key of here.keys()) {
    const [id = ""] = key.split(":")
    if (!seen.has(id)) findings.push(`${kind} ${id} is booked here and unknown there`)
  }
  for (const [id, status] of rows) {
    if ((status === "succeeded" || status === "done") && !seen.has(id)) {
      findings.push(`${kind} ${id} is ${status} here and unknown there`)
    }
  }
  return { findings, count: seen.size }
})

/** The fakes' own books against the ledger, and the ledger against itself by a script that shares nothing with it. */
export const verdict = Effect.fnUntraced(function*(database: Database, books: Books) {
  const charged = yield* against(database, "charge", charges(books))
  const refunded = yield* against(database, "refund", refunds(books))
  const paidOut = yield* against(database, "payout", payouts(books))
  const broken = yield* reconcile(database, "")
  return {
    counts: { charges: charged.count, refunds: refunded.count, payouts: paidOut.count },
    findings: [
      ...charged.findings,
      ...refunded.findings,
      ...paidOut.findings,
      ...broken.map(({ claim, first, times }) => `${claim}: ${times}, such as ${first.join("; ")}`)
    ]
  }
})
