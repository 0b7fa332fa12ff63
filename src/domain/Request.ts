import { Context } from "effect"

/** What work knows of the HTTP request that it is done for. One record, since every request carries it. */
export interface Request {
  /** Taken from `X-Request-Id`, or made by the HTTP edge. */
  readonly id: string
  /** When its answer is due, in milliseconds since the epoch: what begins after that has little time left. */
  readonly endsAt: number
}

/**
 * Work that nobody requested (sweepers, reconciliation), or that many did: it carries "none", so that a queue command always has an id
 * to hand on, and is not in a hurry.
 */
export const nobodys: Request = { id: "none", endsAt: Number.POSITIVE_INFINITY }

export const CurrentRequest = Context.Reference<Request>("midnight/domain/CurrentRequest", {
  defaultValue: () => nobodys
})
