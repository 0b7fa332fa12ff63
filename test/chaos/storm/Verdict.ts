import { PgClient, PgConnection } from "@effect/sql-pg"
import { Effect, Layer, Option, type Redacted } from "effect"
import type { Gateway } from "../../../src/services/Gateway.ts"
import { LedgerAudit } from "../../../src/services/LedgerAudit.ts"
import { everything } from "../../layers/Gateways.ts"

export const rowsOf = (database: Redacted.Redacted<string>, statement: string) =>
  Effect.scoped(
    Effect.flatMap(PgConnection.make({ url: database }), (connection) => connection.queryValues(statement, []))
  ).pipe(Effect.orDie)

/** What has not come to an end: nobody would ever hear of it. */
export const unfinished = (database: Redacted.Redacted<string>) =>
  Effect.map(
    rowsOf(
      database,
      `SELECT 'payment ' || id || ' ' || status FROM payments.payments WHERE status = 'processing' OR flag IS NOT NULL
       UNION ALL SELECT kind || ' ' || id || ' ' || status || ' ' || coalesce(flag, '') FROM payments.outgoing
                  WHERE NOT settled OR flag IS NOT NULL
       UNION ALL SELECT 'hold ' || key FROM wallet.holds WHERE status = 'open'`
    ),
    (rows) => rows.map(([what]) => String(what))
  )

const booked = (database: Redacted.Redacted<string>, prefix: string) =>
  Effect.map(
    rowsOf(
      database,
      `SELECT t.key, sum(e.amount) FILTER (WHERE e.amount > 0)::text FROM wallet.transfers t
         JOIN wallet.entries e ON e.transfer_id = t.id WHERE t.key LIKE '${prefix}:%' GROUP BY t.key`
    ),
    (rows) => new Map(rows.map(([key, amount]) => [String(key), BigInt(String(amount))]))
  )

/** Holds the ledger's postings against what the provider holds, one by one and both ways. */
const against = Effect.fnUntraced(function*(
  database: Redacted.Redacted<string>,
  kind: "charge" | "refund" | "payout",
  there: ReadonlyArray<{ readonly id: string | undefined; readonly amount: bigint; readonly isDone: boolean }>
) {
  const findings: Array<string> = []
  const here = yield* booked(database, kind)
  const seen = new Set<string>()
  for (const { amount, id, isDone } of there) {
    if (id === undefined) findings.push(`a ${kind} there is nobody's`)
    if (id !== undefined && seen.has(id)) findings.push(`${kind} ${id} was made twice`)
    if (id === undefined) continue
    seen.add(id)
    const posted = here.get(`${kind}:${id}`)
    const stays = posted !== undefined && !here.has(`${kind}:${id}:returned`)
    if (stays !== isDone) findings.push(`${kind} ${id} is ${isDone ? "" : "not "}done there, and ${posted} here`)
    if (stays && posted !== amount) findings.push(`${kind} ${id} is ${amount} there and ${posted} here`)
  }
  const orphans = [...here.keys()].map((key) => key.split(":")[1] ?? "").filter((id) => !seen.has(id))
  return {
    findings: [...findings, ...orphans.map((id) => `${kind} ${id} is booked here and unknown there`)],
    count: seen.size
  }
})

/** The books of all providers against the ledger, and the ledger against itself. */
export const verdict = Effect.fnUntraced(function*(
  database: Redacted.Redacted<string>,
  gateways: ReadonlyArray<Gateway>
) {
  const [charges, refunds, payouts] = yield* Effect.all([
    Effect.forEach(gateways, (gateway) => everything(gateway.listCharges)),
    Effect.forEach(gateways, (gateway) => everything(gateway.listRefunds)),
    Effect.forEach(gateways, (gateway) => everything(gateway.listPayouts))
  ]).pipe(Effect.orDie)
  const compared = [
    yield* against(
      database,
      "charge",
      charges.flat().map(({ amount, paymentId, status }) => ({
        id: Option.getOrUndefined(paymentId),
        amount,
        isDone: status === "succeeded"
      }))
    ),
    yield* against(
      database,
      "refund",
      refunds.flat().map(({ amount, operationId, status }) => ({
        id: Option.getOrUndefined(operationId),
        amount,
        isDone: status === "succeeded"
      }))
    ),
    yield* against(
      database,
      "payout",
      payouts.flat().map(({ amount, operationId, status }) => ({
        id: Option.getOrUndefined(operationId),
        amount,
        isDone: status === "paid"
      }))
    )
  ]
  const audit = yield* Effect.flatMap(LedgerAudit, (books) => books.run).pipe(
    Effect.provide(LedgerAudit.layer.pipe(Layer.provide(PgClient.layer({ url: database, maxConnections: 2 })))),
    Effect.orDie
  )
  return {
    counts: { charges: compared[0]?.count ?? 0, refunds: compared[1]?.count ?? 0, payouts: compared[2]?.count ?? 0 },
    findings: [
      ...compared.flatMap(({ findings }) => findings),
      ...audit.findings.flatMap(({ broken, invariant }) => broken.map((what) => `${invariant}: ${what}`))
    ]
  }
})
