import { DateTime, Schema } from "effect"
import { pageQuery } from "./Page.ts"
import { WebhookEventType } from "./WebhookEndpoints.ts"

/** `evt_<type>_<id of what it is about>`: the same for every attempt and every endpoint, so that receivers can tell a repetition. */
export const WebhookEventId = Schema.String.check(
  Schema.isPattern(/^evt_[a-z_]{1,40}_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, { expected: "an event's id" })
).pipe(Schema.brand("WebhookEventId"))
export type WebhookEventId = typeof WebhookEventId.Type

/** `failed` is a dead letter: nobody tries again until it is asked for. */
export const DeliveryState = Schema.Literals(["pending", "delivered", "failed"])
export type DeliveryState = typeof DeliveryState.Type

/** One attempt. `status` is that of the answer; null where none came, and `failure` says why. */
export const DeliveryAttempt = Schema.Struct({
  at: Schema.DateTimeUtcFromString,
  status: Schema.NullOr(Schema.Int),
  failure: Schema.NullOr(Schema.String),
  milliseconds: Schema.Int
}).annotate({ identifier: "WebhookDeliveryAttempt" })
export type DeliveryAttempt = typeof DeliveryAttempt.Type

export const WebhookDelivery = Schema.Struct({
  id: WebhookEventId,
  type: WebhookEventType,
  state: DeliveryState,
  attempts: Schema.Int,
  lastFailure: Schema.NullOr(Schema.String),
  nextAttemptAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  log: Schema.Array(DeliveryAttempt).annotate({ description: "The last twenty attempts, the oldest first" }),
  createdAt: Schema.DateTimeUtcFromString
}).annotate({ identifier: "WebhookDelivery" })
export type WebhookDelivery = typeof WebhookDelivery.Type

export const deliveryQuery = { ...pageQuery, state: Schema.optionalKey(DeliveryState) }

const second = 1_000
const minute = 60 * second
const hour = 60 * minute

/** How long after each failed attempt the next one follows: thirteen in all, the last after 2 days 16 hours. */
export const delays: ReadonlyArray<number> = [
  5 * second,
  30 * second,
  2 * minute,
  10 * minute,
  30 * minute,
  hour,
  2 * hour,
  4 * hour,
  8 * hour,
  12 * hour,
  16 * hour,
  20 * hour
]
/** Up to a tenth is added to each delay, so that what failed together does not come back together. */
export const jitter = 0.1
export const givenUpAfter = { hours: 72 } as const

/** Nothing but failure for this long, and the endpoint is taken for abandoned. */
export const abandonedAfter = 5 * 24 * hour

/** What the receiver answered, or why there is no answer. */
export interface DeliveryOutcome {
  readonly status: number | null
  readonly failure: string | null
}

export type DeliveryDecision =
  | { readonly _tag: "Delivered" }
  | { readonly _tag: "Retry"; readonly at: DateTime.Utc }
  | { readonly _tag: "GiveUp" }

/** Any 2xx is an acknowledgement, and nothing else is. */
export const isAcknowledged = ({ status }: DeliveryOutcome): boolean => status !== null && status >= 200 && status < 300
export const isGone = ({ status }: DeliveryOutcome): boolean => status === 410

/**
 * What becomes of a delivery after its attempt number `attempt`, counted from 1. `chance` is from 0 to 1. A delivery that
 * waited behind others has had fewer attempts when its time is over.
 */
export const decideDelivery = (
  outcome: DeliveryOutcome,
  attempt: number,
  now: DateTime.Utc,
  giveUpAt: DateTime.Utc,
  chance: number
): DeliveryDecision => {
  if (isAcknowledged(outcome)) return { _tag: "Delivered" }
  const delay = delays[attempt - 1]
  if (isGone(outcome) || delay === undefined) return { _tag: "GiveUp" }
  const at = DateTime.add(now, { milliseconds: Math.round(delay * (1 + jitter * chance)) })
  return DateTime.isGreaterThan(at, giveUpAt) ? { _tag: "GiveUp" } : { _tag: "Retry", at }
}

/** How long an endpoint that failed so many times in a row is left alone, in milliseconds: never longer than a minute. */
export const pauseAfter = (failures: number): number => Math.min(second * 2 ** (failures - 1), minute)

export const failureOf = ({ failure, status }: DeliveryOutcome): string =>
  failure ?? (status === 410 ? "the receiver answered 410 and wants no more" : `the receiver answered ${status}`)
