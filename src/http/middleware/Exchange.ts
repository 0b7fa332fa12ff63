import { Context } from "effect"

/**
 * What is learnt of one request while it is served: a single mutable record, because the path of every request leads past
 * it, and a context entry for each of its members costs more than the member is worth.
 */
export interface Exchange {
  readonly requestId: string
  /** Ids and counts for the request's one log line; never personal data. */
  readonly notes: Record<string, string | number | boolean>
  /** Headers that the answer will have, whoever makes it: where the caller stands within its limits. */
  readonly headers: Record<string, string>
}

export const make = (requestId: string): Exchange => ({ requestId, notes: {}, headers: {} })

/** The exchange that the edge has opened. Outside of a request it is one that nobody reads. */
export const Current = Context.Reference<Exchange>("midnight/http/Exchange", { defaultValue: () => make("none") })
