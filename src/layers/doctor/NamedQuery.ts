import { Effect } from "effect"

/** One use of a store's method with parameters, after what it needs to find there. Both are undone. */
export interface Call {
  readonly given: Effect.Effect<unknown, unknown>
  readonly run: Effect.Effect<unknown, unknown>
}

type Use = Call | Effect.Effect<unknown, unknown>

/**
 * A use of every method of a store, or several where its statement depends on its parameters. A method without one does
 * not type-check, so a store cannot send what the doctor does not examine.
 */
export type Uses<Store> = { readonly [Method in Exclude<keyof Store, "transaction">]: Use | ReadonlyArray<Use> }

export interface NamedQuery {
  /** `LedgerStore.entries`. */
  readonly name: string
  readonly calls: ReadonlyArray<Call>
}

const isList = (uses: Use | ReadonlyArray<Use>): uses is ReadonlyArray<Use> => Array.isArray(uses)

export const after = (given: Effect.Effect<unknown, unknown>, run: Effect.Effect<unknown, unknown>): Call => ({
  given,
  run
})

export const named = (
  store: string,
  uses: Readonly<Record<string, Use | ReadonlyArray<Use>>>
): ReadonlyArray<NamedQuery> =>
  Object.entries(uses).map(([method, use]) => ({
    name: `${store}.${method}`,
    calls: (isList(use) ? use : [use]).map((one) => Effect.isEffect(one) ? { given: Effect.void, run: one } : one)
  }))
