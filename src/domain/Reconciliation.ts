import { Schema } from "effect"
import { pageQuery } from "./Page.ts"
import { Provider } from "./Payments.ts"

/** Something that the provider and Midnight see differently and that nobody but a person can decide. */
export const Difference = Schema.Struct({
  provider: Provider,
  kind: Schema.Literals(["charge", "refund", "payout", "dispute"]),
  /** The provider's name for it; null where the provider knows nothing of it. */
  reference: Schema.NullOr(Schema.String),
  /** Ours, where we have one. */
  id: Schema.NullOr(Schema.String),
  says: Schema.String
}).annotate({ identifier: "Difference" })
export type Difference = typeof Difference.Type

export const ReconciliationReport = Schema.Struct({
  id: Schema.String,
  since: Schema.DateTimeUtcFromString,
  createdAt: Schema.DateTimeUtcFromString,
  /** What the providers listed and is ours. */
  compared: Schema.Int,
  /** What had moved at the provider and did not move here until now. */
  repaired: Schema.Int,
  /** Providers that could not be asked to the end, and why. */
  unavailable: Schema.Array(Schema.Struct({ provider: Provider, says: Schema.String })),
  differences: Schema.Array(Difference)
}).annotate({ identifier: "ReconciliationReport" })
export type ReconciliationReport = typeof ReconciliationReport.Type

/** How many hours back the providers' lists are read: two days by default, thirty at most. */
export const ReconciliationRequest = Schema.Struct({
  hours: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 720 })))
}).annotate({ identifier: "ReconciliationRequest" })

/** An event as it came in. Its body stays in the database: it is the payer's. */
export const InboxEvent = Schema.Struct({
  /** The provider and its id of the event. */
  id: Schema.String,
  provider: Provider,
  eventId: Schema.String,
  type: Schema.String,
  about: Schema.Literals(["charge", "refund", "payout", "dispute", "other"]),
  reference: Schema.NullOr(Schema.String),
  paymentId: Schema.NullOr(Schema.String),
  operationId: Schema.NullOr(Schema.String),
  receivedAt: Schema.DateTimeUtcFromString
}).annotate({ identifier: "InboxEvent" })
export type InboxEvent = typeof InboxEvent.Type

export const inboxQuery = pageQuery
export const EventId = Schema.String.check(Schema.isPattern(/^\P{C}{1,255}$/u))
export const Replayed = Schema.Struct({
  provider: Provider,
  eventId: Schema.String,
  replayedAt: Schema.DateTimeUtcFromString
}).annotate({ identifier: "Replayed" })
