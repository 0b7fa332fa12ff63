import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Redacted } from "effect"
import { LedgerAudit } from "../src/services/LedgerAudit.ts"

/** What `npm run audit` finds wrong with a ledger of ours; empty when its books are in order. */
export const auditOf = (url: string): Promise<ReadonlyArray<string>> =>
  Effect.runPromise(
    Effect.flatMap(LedgerAudit, (audit) => audit.run).pipe(
      Effect.map(({ findings }) =>
        findings.flatMap(({ broken, invariant }) => broken.map((row) => `${invariant}: ${row}`))
      ),
      Effect.provide(
        LedgerAudit.layer.pipe(Layer.provide(PgClient.layer({ url: Redacted.make(url), maxConnections: 1 })))
      )
    )
  )
