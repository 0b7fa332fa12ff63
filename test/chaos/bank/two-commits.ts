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
        const rows = yield* sql<{ readonly answer: { readonly ids?: ReadonlyArray<string>; readonly at?: string } }>`
          SELECT wallet.post_in_two(${JSON.stringify(commands)}::text::jsonb) AS answer`
        const { at, ids } = rows[0]?.answer ?? {}
        // Some were refused or posted before: the exact path decided, in one commit, and says it again as replays.
        if (ids === undefined || at === undefined) return yield* store.post(commands)
        yield* sql`SELECT wallet.post_credits(${`{${ids.join(",")}}`}::text::uuid[])`
        return ids.map((id) => ({ outcome: "posted" as const, id, at }))
      })
    })
  })
).pipe(Layer.provide(real))

Object.defineProperty(LedgerStore, "layer", { value: inTwo })
