import { Effect, type Schema } from "effect"
import { SecureRandom } from "effect/crypto"

/**
 * A fresh UUIDv7 of the given branded id. Time-ordered keys insert at the right edge of their index, which the ledger's
 * write path was about 10 % faster with than with random ones.
 */
export const newId = <A>(schema: Schema.Schema<A> & { readonly make: (value: string) => A }): Effect.Effect<A> =>
  Effect.sync(() => schema.make(SecureRandom.uuidV7Unsafe()))
