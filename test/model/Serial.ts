import { type Books, type Command, decide, type Outcome } from "./Ledger.ts"

/** What one caller asked, and what it was told. */
export interface Observed {
  readonly command: Command
  readonly outcome: Outcome
}

const same = (a: Outcome, b: Outcome): boolean => show(a) === show(b)

export const show = (value: unknown): string =>
  JSON.stringify(value, (_, part: unknown) => typeof part === "bigint" ? `${part}n` : part)

/**
 * Looks for an order of commands that were made at once in which the model gives every caller the answer that it got, and
 * leaves books that `accepts` says are the real ones. Nothing when no order explains what was seen.
 *
 * What was answered fixes what was written, so balances depend only on which commands are done and not on their order; only
 * whether a hold was voided or ran out may differ. A point that once led nowhere always does, and so about 2^n of them are
 * looked at instead of n! orders.
 */
export const explain = (
  before: Books,
  observed: ReadonlyArray<Observed>,
  accepts: (books: Books) => boolean
): Books | undefined => {
  const deadEnds = new Set<string>()
  const everything = 2 ** observed.length - 1
  const search = (books: Books, done: number): Books | undefined => {
    if (done === everything) return accepts(books) ? books : undefined
    const point = `${done} ${[...books.holds].map(([key, hold]) => `${key} ${hold.status}`).toSorted().join()}`
    if (deadEnds.has(point)) return undefined
    for (const [i, { command, outcome }] of observed.entries()) {
      if ((done & 2 ** i) !== 0) continue
      const decision = decide(books, command, "id" in outcome ? outcome.id : "")
      if (!same(decision.outcome, outcome)) continue
      const found = search(decision.after, done | 2 ** i)
      if (found !== undefined) return found
    }
    deadEnds.add(point)
    return undefined
  }
  return search(before, 0)
}
