import { Schema } from "effect"
import { Email, User } from "./Identity.ts"
import { SecurityEventId, SessionId, UserId } from "./Ids.ts"
import { LedgerAct } from "./LedgerAdmin.ts"
import { Role } from "./Principal.ts"
import { Problem } from "./Problem.ts"
import { WebhookScope } from "./WebhookEndpoints.ts"

const Reason = Schema.String.check(Schema.isMinLength(3), Schema.isMaxLength(280))

/** An account as administrators see it. */
export const AdminUser = Schema.Struct({
  ...User.fields,
  disabledAt: Schema.OptionFromNullOr(Schema.DateTimeUtcFromString)
}).annotate({ identifier: "AdminUser" })
export type AdminUser = typeof AdminUser.Type

/** Why an administrator does it; kept in the audit log for good, so no place for personal data. */
export const AccountAct = Schema.Struct({ reason: Reason }).annotate({ identifier: "AccountAct" })

/** The roles an account is to have, in place of those it has. */
export const RolesChange = Schema.Struct({
  roles: Schema.UniqueArray(Role).check(Schema.isMinLength(1), Schema.isMaxLength(4)),
  reason: Reason
}).annotate({ identifier: "RolesChange" })
export type RolesChange = typeof RolesChange.Type

/** Whom to list: everybody, or who has this address. */
export const userQuery = { email: Schema.optionalKey(Email) }

export const SecurityEventKind = Schema.Literals([
  "registered",
  "login",
  "login_failed",
  "logout",
  "refresh_reused",
  "session_revoked",
  "password_changed",
  "password_reset_requested",
  "password_reset",
  "email_verified",
  "roles_changed",
  "account_disabled",
  "account_enabled",
  "account_exported",
  "account_erased",
  "login_locked",
  "email_verification_requested",
  "mail_limit_reached",
  "payout_approved",
  "payout_rejected",
  "webhook_replayed",
  "reconciliation_run",
  "flag_settled",
  "flag_released",
  "dead_letter_requeued",
  "submission_approved",
  "submission_rejected",
  "webhook_endpoint_created",
  "webhook_endpoint_changed",
  "webhook_endpoint_rotated",
  "webhook_endpoint_deleted"
])
export type SecurityEventKind = typeof SecurityEventKind.Type

/**
 * Something that happened to an account, or that an administrator or a reviewer did. Ids only, so that it can stay when the account is
 * erased; `requestId` leads to the access log. `userId` is whom it concerns: null where somebody tried an address that has no
 * account, or where it is about nobody. `by` is null where nobody was signed in.
 */
export const SecurityEvent = Schema.Struct({
  id: SecurityEventId,
  kind: SecurityEventKind,
  userId: Schema.NullOr(UserId),
  by: Schema.NullOr(UserId),
  sessionId: Schema.NullOr(SessionId),
  reason: Schema.NullOr(Schema.String),
  roles: Schema.NullOr(Schema.Array(Role)),
  subject: Schema.NullOr(Schema.String).annotate({
    description:
      "What was acted on: a payout, a submission, `kind/id` of what was flagged, `queue/command`, `provider:event`, a report or an endpoint, by its id"
  }),
  scope: Schema.NullOr(WebhookScope).annotate({
    description: "Of a webhook endpoint: `all` is told of what concerns others"
  }),
  requestId: Schema.String,
  createdAt: Schema.DateTimeUtcFromString
}).annotate({ identifier: "SecurityEvent" })
export type SecurityEvent = typeof SecurityEvent.Type

/** A line of the audit log: a security event, or what an administrator did on the ledger. */
export const AuditEntry = Schema.Union([SecurityEvent, LedgerAct])
export type AuditEntry = typeof AuditEntry.Type

/** An administrator cannot disable the account that he acts with, or take its role: nobody might be left to undo it. */
export class OwnAccount extends Problem<OwnAccount>()("OwnAccount", {
  type: "/problems/own-account",
  status: 409,
  title: "An administrator cannot do this to the account that is signed in"
}, { code: Schema.tag("OwnAccount") }) {}
