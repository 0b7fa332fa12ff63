import { Effect, type Option, Predicate } from "effect"
import type { ProviderUnavailable } from "../domain/Payments.ts"
import type { ProviderError } from "./Gateway.ts"

/** A row of a provider's list that nothing can be read from. It is nobody's, and may be anybody's. */
export interface Strange {
  /** The provider's name for it, where that can be read. */
  readonly reference: string | null
  /** Whether that name is our own id, where it is one of ours at all. */
  readonly isNamedByUs: boolean
  /** Every id of ours that stands anywhere in it. */
  readonly ids: ReadonlyArray<string>
  readonly says: string
}

export interface Listing<A> {
  readonly items: ReadonlyArray<A>
  readonly strange: ReadonlyArray<Strange>
  /** Hand it back for the next page; none on the last. */
  readonly next: Option.Option<string>
}

/** So much of a list is read at once. */
export const mostPages = 200

const uuid = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g
const mostIds = 10

/** One member of a row, as text, whatever else is wrong with the row. */
export const wordIn = (row: unknown, key: string): string | undefined => {
  if (!Predicate.hasProperty(row, key)) return undefined
  const value = row[key]
  return (typeof value === "string" && /^\P{C}{1,255}$/u.test(value)) || Number.isSafeInteger(value)
    ? String(value)
    : undefined
}

const strangeOf = (row: unknown, key: string, isNamedByUs: boolean, says: string): Strange => ({
  reference: wordIn(row, key) ?? null,
  isNamedByUs,
  ids: [...new Set(JSON.stringify(row)?.match(uuid) ?? [])].slice(0, mostIds),
  says
})

/**
 * Whether it may be what has this id of ours. One that names others of ours, and not this, is not; nor is one with another name in
 * a list whose names are our ids, whatever else stands in it.
 */
export const mayBe = ({ ids, isNamedByUs, reference }: Strange, id: string): boolean =>
  isNamedByUs && reference !== null ? reference === id : ids.length === 0 || ids.includes(id)

/**
 * Reads a page row by row, so that one which is malformed, or which the provider itself cannot explain, does not make all others
 * unreadable. `key` is the member that the provider's references are; `isNamedByUs`, that these are our own ids.
 */
export const readRows = <A>(
  rows: ReadonlyArray<unknown>,
  key: string,
  read: (row: unknown) => Effect.Effect<ReadonlyArray<A>, ProviderError>,
  { concurrency = 1, isNamedByUs = false } = {}
): Effect.Effect<Pick<Listing<A>, "items" | "strange">, ProviderUnavailable> =>
  Effect.forEach(rows, (row) => {
    const failed = ({ detail }: { readonly detail: string }) =>
      Effect.succeed({ items: new Array<A>(), strange: [strangeOf(row, key, isNamedByUs, detail)] })
    return read(row).pipe(
      Effect.map((items) => ({ items, strange: new Array<Strange>() })),
      Effect.catchTags({ ProviderNonsense: failed, ProviderRefused: failed })
    )
  }, { concurrency }).pipe(
    Effect.map((read) => ({
      items: read.flatMap(({ items }) => items),
      strange: read.flatMap(({ strange }) => strange)
    }))
  )
