import { DateTime, Option, Schema } from "effect"
import { UserId, WebhookEndpointId } from "./Ids.ts"
import { Problem } from "./Problem.ts"

/** What can be announced. A type never changes its meaning; new ones may come. */
export const WebhookEventType = Schema.Literals([
  "payment.succeeded",
  "payment.failed",
  "payment.canceled",
  "refund.succeeded",
  "refund.failed",
  "payout.paid",
  "payout.failed",
  "payout.canceled",
  "reward.paid",
  "transfer.received",
  "submission.approved",
  "submission.rejected",
  "submission.needs_review"
]).annotate({ identifier: "WebhookEventType" })
export type WebhookEventType = typeof WebhookEventType.Type

/** `*` is every type, those too that a later version adds. */
const EventTypes = Schema.Array(Schema.Literals(["*", ...WebhookEventType.literals]))
const EventFilter = EventTypes.check(
  Schema.isMinLength(1),
  Schema.isMaxLength(20),
  Schema.isUnique()
)

/** `own`: what concerns the endpoint's owner. `all`: what concerns anybody; for administrators. */
export const WebhookScope = Schema.Literals(["own", "all"])
export type WebhookScope = typeof WebhookScope.Type

export const mostEndpoints = 10
/** How long the secret before the last rotation signs too. */
export const overlap = { hours: 24 } as const

const Url = Schema.String.check(
  Schema.isMinLength(8),
  Schema.isMaxLength(2048),
  Schema.makeFilter((text: string) => {
    const url = URL.canParse(text) ? new URL(text) : undefined
    const isPlain = url !== undefined && ["https:", "http:"].includes(url.protocol) && url.username === ""
      && url.password === "" && url.hash === ""
    return isPlain || "an https URL without credentials and fragment"
  })
)
const Description = Schema.String.check(Schema.isPattern(/^\P{C}{1,280}$/u))

export const WebhookEndpointRequest = Schema.Struct({
  url: Url,
  events: Schema.optionalKey(EventFilter).annotate({ description: "Which types it is told of; all when left out" }),
  scope: Schema.optionalKey(WebhookScope),
  description: Schema.optionalKey(Description)
}).annotate({ identifier: "WebhookEndpointRequest" })
export type WebhookEndpointRequest = typeof WebhookEndpointRequest.Type

export const WebhookEndpointChange = Schema.Struct({
  url: Schema.optionalKey(Url),
  events: Schema.optionalKey(EventFilter),
  description: Schema.optionalKey(Description),
  status: Schema.optionalKey(Schema.Literals(["enabled", "disabled"]))
}).annotate({ identifier: "WebhookEndpointChange" })
export type WebhookEndpointChange = typeof WebhookEndpointChange.Type

/**
 * Why nothing is sent any more. `gone`: it answered 410. `failing`: nothing but failure for five days. `owner_gone`: its
 * owner's account is disabled or erased, or no administrator's any more where the scope asks for one.
 */
export const DisabledReason = Schema.Literals(["by_user", "gone", "failing", "owner_gone"])
export type DisabledReason = typeof DisabledReason.Type

const shown = {
  id: WebhookEndpointId,
  url: Schema.String,
  events: EventTypes,
  scope: WebhookScope,
  description: Schema.NullOr(Schema.String),
  status: Schema.Literals(["enabled", "disabled"]),
  disabledReason: Schema.NullOr(DisabledReason),
  failingSince: Schema.NullOr(Schema.DateTimeUtcFromString),
  createdAt: Schema.DateTimeUtcFromString
}
export const WebhookEndpointView = Schema.Struct(shown).annotate({ identifier: "WebhookEndpoint" })
export type WebhookEndpointView = typeof WebhookEndpointView.Type

/** With its secret, which is shown this once: `whsec_` and base64, as Standard Webhooks has it. */
export const WebhookEndpointWithSecret = Schema.Struct({ ...shown, secret: Schema.String })
  .annotate({ identifier: "WebhookEndpointWithSecret" })
export type WebhookEndpointWithSecret = typeof WebhookEndpointWithSecret.Type

export interface WebhookEndpoint {
  readonly id: WebhookEndpointId
  readonly userId: UserId
  readonly scope: WebhookScope
  readonly url: string
  readonly description: Option.Option<string>
  readonly events: WebhookEndpointView["events"]
  readonly status: "enabled" | "disabled"
  readonly disabledReason: Option.Option<DisabledReason>
  readonly failingSince: Option.Option<DateTime.Utc>
  readonly createdAt: DateTime.Utc
}

export const endpointView = (row: WebhookEndpoint): WebhookEndpointView => ({
  id: row.id,
  url: row.url,
  events: row.events,
  scope: row.scope,
  description: Option.getOrNull(row.description),
  status: row.status,
  disabledReason: Option.getOrNull(row.disabledReason),
  failingSince: Option.getOrNull(row.failingSince),
  createdAt: row.createdAt
})

export class WebhookUrlNotAllowed extends Problem<WebhookUrlNotAllowed>()("WebhookUrlNotAllowed", {
  type: "/problems/webhook-url-not-allowed",
  status: 400,
  title: "Events are sent to public https addresses only"
}, { code: Schema.tag("WebhookUrlNotAllowed") }) {}

export class WebhookEndpointLimit extends Problem<WebhookEndpointLimit>()("WebhookEndpointLimit", {
  type: "/problems/webhook-endpoint-limit",
  status: 409,
  title: "You have as many webhook endpoints as an account may have"
}, { code: Schema.tag("WebhookEndpointLimit"), limit: Schema.Int }) {}

export class WebhookEndpointDisabled extends Problem<WebhookEndpointDisabled>()("WebhookEndpointDisabled", {
  type: "/problems/webhook-endpoint-disabled",
  status: 409,
  title: "The webhook endpoint is disabled"
}, { code: Schema.tag("WebhookEndpointDisabled"), disabled_reason: DisabledReason }) {}
