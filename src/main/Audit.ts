import * as NodeServices from "@effect/platform-node/NodeServices"
import { Console, Effect, Layer } from "effect"
import { Command, Flag } from "effect/cli"
import { homeDatabase } from "../layers/HomeDatabase.ts"
import { ownerPool } from "../layers/Pools.ts"
import { runCommand } from "../layers/ProcessMain.ts"
import { LedgerAudit } from "../services/LedgerAudit.ts"

const json = Flag.Boolean("json").pipe(Flag.withDescription("Print the report as JSON"), Flag.withDefault(false))

const audit = Command.make(
  "audit",
  { json },
  Effect.fn(function*({ json }) {
    const report = yield* Effect.flatMap(LedgerAudit, (ledger) => ledger.run)
    const broken = report.findings.filter((finding) => finding.broken.length > 0)
    if (json) yield* Console.log(JSON.stringify(report, null, 2))
    else {
      for (const { broken, invariant, says } of report.findings) {
        yield* Console.log(`${broken.length === 0 ? "✓" : "✗"} ${invariant.padEnd(13)} ${says}`)
        for (const row of broken) yield* Console.log(`    ${row}`)
      }
      const { head, unchained } = report
      yield* Console.log(
        head === null
          ? `The chain has no link yet; ${unchained} transfers wait for the first.`
          : `The chain's head is link ${head.link}, ${head.hash}; ${unchained} transfers are not yet in it.`
      )
      yield* Console.log(
        `${report.accounts} accounts, ${report.transfers} transfers, ${report.entries} entries: ${
          broken.length === 0 ? "the books are clean." : `${broken.length} invariants are broken.`
        }`
      )
    }
    if (broken.length > 0) yield* Effect.sync(() => process.exitCode = 1)
  })
).pipe(
  Command.withDescription(
    "Checks the invariants of the ledger. Reads the database of DATABASE_URL, or the running one of MIDNIGHT_HOME."
  )
)

const live = LedgerAudit.layer.pipe(
  Layer.provide(ownerPool("midnight-audit")),
  Layer.provide(homeDatabase)
)

runCommand(
  "audit",
  audit.pipe(Command.provide(live), Command.run({ version: "0.1.0" }), Effect.provide(NodeServices.layer))
)
