import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { LedgerStore } from "../../../src/services/LedgerStore.ts"

// Loaded into a server before its own modules, for the mutant "a commit between the entries": the real store, whose batch is
// posted by two statements, each its own transaction.
const real = LedgerStore.layer

const inTwo = Layer.effect(
  LedgerStore,
  Effect.gen(function*() {
    const store = yield* LedgerStore
    const sql = yield* SqlClient.SqlClient
    return LedgerStore.of({
      ...store,
      post: Effect.fnUntraced(function*(commands) {
        const outcomes = yield* store.post(commands)
        const ids = outcomes.flatMap((outcome) => outcome.outcome === "posted" ? [outcome.id] : [])
        if (ids.length > 0) yield* sql`SELECT wallet.post_credits(${`{${ids.join(",")}}`}::text::uuid[])`
        return outcomes
      })
    })
  })
).pipe(Layer.provide(real))

Object.defineProperty(LedgerStore, "layer", { value: inTwo })
