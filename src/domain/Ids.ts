import { Schema } from "effect"

// UUIDv7 is what Midnight makes; any UUID is accepted from outside, so that a foreign id is "not found", not "malformed".
const uuid = Schema.String.check(
  Schema.isPattern(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/, {
    expected: "a UUID in lower case"
  })
)

export const UserId = uuid.pipe(Schema.brand("UserId"))
export type UserId = typeof UserId.Type
export const SessionId = uuid.pipe(Schema.brand("SessionId"))
export type SessionId = typeof SessionId.Type
export const SecurityEventId = uuid.pipe(Schema.brand("SecurityEventId"))
export type SecurityEventId = typeof SecurityEventId.Type
export const WalletId = uuid.pipe(Schema.brand("WalletId"))
export type WalletId = typeof WalletId.Type
export const TransferId = uuid.pipe(Schema.brand("TransferId"))
export type TransferId = typeof TransferId.Type
export const EntryId = uuid.pipe(Schema.brand("EntryId"))
export type EntryId = typeof EntryId.Type
export const HoldId = uuid.pipe(Schema.brand("HoldId"))
export type HoldId = typeof HoldId.Type
export const PaymentId = uuid.pipe(Schema.brand("PaymentId"))
export type PaymentId = typeof PaymentId.Type
export const RefundId = uuid.pipe(Schema.brand("RefundId"))
export type RefundId = typeof RefundId.Type
export const PayoutId = uuid.pipe(Schema.brand("PayoutId"))
export type PayoutId = typeof PayoutId.Type
export const CampaignId = uuid.pipe(Schema.brand("CampaignId"))
export type CampaignId = typeof CampaignId.Type
export const VideoId = uuid.pipe(Schema.brand("VideoId"))
export type VideoId = typeof VideoId.Type
export const SubmissionId = uuid.pipe(Schema.brand("SubmissionId"))
export type SubmissionId = typeof SubmissionId.Type
/** What an idempotent operation creates is named by this id, on the first attempt and on every retry. */
export const OperationId = uuid.pipe(Schema.brand("OperationId"))
export type OperationId = typeof OperationId.Type
/** A refund or a payout: the id of either. */
export const OutgoingId = uuid.pipe(Schema.brand("OutgoingId"))
export type OutgoingId = typeof OutgoingId.Type
export const DisputeId = uuid.pipe(Schema.brand("DisputeId"))
export type DisputeId = typeof DisputeId.Type
export const WebhookEndpointId = uuid.pipe(Schema.brand("WebhookEndpointId"))
export type WebhookEndpointId = typeof WebhookEndpointId.Type
