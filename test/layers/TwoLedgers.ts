import { Context, Effect, Layer } from "effect"
import { pool } from "../../src/layers/Pools.ts"
import { Ledger } from "../../src/services/Ledger.ts"
import { LedgerStore } from "../../src/services/LedgerStore.ts"
import { LedgerWriter } from "../../src/services/LedgerWriter.ts"
import { testConfig } from "./TestConfig.ts"

/** A ledger as one API process has it: its own pool, its own queue, its own writer; nothing that runs by the clock. */
export const ledgerProcess = () => {
  const writing = Layer.effectDiscard(Effect.flatMap(LedgerWriter, (writer) => Effect.forkScoped(writer.run)))
  return writing.pipe(
    Layer.provideMerge(Ledger.layer),
    Layer.provideMerge(LedgerWriter.layer),
    Layer.provideMerge(LedgerStore.layer.pipe(Layer.provide(pool("wallet")))),
    // Layers are memoised by reference; these must not become one.
    Layer.fresh,
    Layer.provide(testConfig())
  )
}

type Process = Context.Context<Ledger | LedgerStore | LedgerWriter>

/** Two API processes' ledgers on one database, to be used side by side. */
export class TwoLedgers extends Context.Service<TwoLedgers, { readonly processes: readonly [Process, Process] }>()(
  "midnight/test/TwoLedgers"
) {
  static readonly layer = Layer.effect(
    TwoLedgers,
    Effect.map(
      Effect.all([Layer.build(ledgerProcess()), Layer.build(ledgerProcess())]),
      (processes) => ({ processes })
    )
  )
}
