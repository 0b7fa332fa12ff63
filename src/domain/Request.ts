import { Context } from "effect"

/**
 * The id of the HTTP request being served: taken from `X-Request-Id` or made by the HTTP edge. Work that nobody
 * requested (sweepers, reconciliation) carries "none", so that a queue command always has one to hand on.
 */
export const CurrentRequestId = Context.Reference<string>("midnight/domain/CurrentRequestId", {
  defaultValue: () => "none"
})
