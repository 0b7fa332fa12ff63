import { Effect, Schema } from "effect"
import type { Currency } from "../domain/Money.ts"
import { BalanceLimit, HoldClosed, InsufficientFunds, PostingConflict } from "../domain/Wallet.ts"

const Done = Schema.Struct({ outcome: Schema.Literals(["posted", "replayed"]), id: Schema.String, at: Schema.String })
const Single = Schema.Union([
  Done,
  Schema.Struct({
    outcome: Schema.Literals(["insufficient_funds", "hold_exceeded", "reversal_exceeded"]),
    available: Schema.Int
  }),
  Schema.Struct({ outcome: Schema.Literal("hold_closed"), status: Schema.String }),
  Schema.Struct({
    outcome: Schema.Literals(["key_reused", "hold_unknown", "transfer_unknown", "unbalanced", "balance_limit"])
  })
])
/** The ledger's answer to one command of a batch. */
export const Outcome = Schema.Union([
  Single,
  Schema.Struct({ outcome: Schema.Literal("set_posted"), members: Schema.Array(Done) }),
  Schema.Struct({ outcome: Schema.Literal("set_refused"), member: Schema.Int, why: Single })
])
export type Outcome = typeof Outcome.Type

/** The name of what was written; none of what was refused. */
export const idOf = (outcome: Outcome): string => "id" in outcome ? outcome.id : ""

/** Fails when the answer is about a hold that is not open any more. */
export const holdIsOpen = (outcome: Outcome): Effect.Effect<void, HoldClosed> =>
  outcome.outcome === "hold_closed"
    ? Effect.fail(new HoldClosed({ hold_status: outcome.status }))
    : outcome.outcome === "hold_unknown"
    ? Effect.fail(new HoldClosed({ hold_status: "unknown" }))
    : Effect.void

/** The outcomes that every posting shares. What the caller's own code must have prevented is a defect. */
export const accepted = Effect.fnUntraced(function*(outcome: Outcome, currency?: Currency) {
  switch (outcome.outcome) {
    case "posted":
      return { replayed: false, at: outcome.at }
    case "replayed":
      return { replayed: true, at: outcome.at }
    case "insufficient_funds":
      return yield* new InsufficientFunds({
        detail: `Available: ${outcome.available} minor units.`,
        available: BigInt(outcome.available),
        ...(currency === undefined ? {} : { currency })
      })
    case "key_reused":
      return yield* new PostingConflict({})
    case "balance_limit":
      return yield* new BalanceLimit({})
    default:
      return yield* Effect.die(new Error(`the ledger answered ${outcome.outcome}`))
  }
})
