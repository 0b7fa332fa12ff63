import { Schema } from "effect"
import { Password, Session, User } from "./Identity.ts"
import { SecurityEvent } from "./IdentityAdmin.ts"
import { Problem } from "./Problem.ts"
import { Wallet } from "./Wallet.ts"

/**
 * What is stored about a person. Sessions and events are the newest thousand at most; what has a list of its own is named by
 * its route.
 */
export const AccountExport = Schema.Struct({
  exportedAt: Schema.DateTimeUtcFromString,
  user: User,
  sessions: Schema.Array(Session),
  securityEvents: Schema.Array(SecurityEvent),
  wallets: Schema.Array(Wallet),
  elsewhere: Schema.Array(Schema.String)
}).annotate({ identifier: "AccountExport" })
export type AccountExport = typeof AccountExport.Type

/** Routes that list the rest, for the same caller. */
export const elsewhere = [
  "/api/wallet/transactions",
  "/api/payment",
  "/api/payment/payouts",
  "/api/campaigns",
  "/api/video/submissions",
  "/api/webhook-endpoints"
] as const

/** Asks for the password again: an access token alone must not be able to end an account. */
export const ErasureRequest = Schema.Struct({ password: Password }).annotate({ identifier: "ErasureRequest" })

/** Money would be out of anybody's reach: pay it out, refund it, close campaigns, and wait for what is being decided. */
export class AccountNotEmpty extends Problem<AccountNotEmpty>()("AccountNotEmpty", {
  type: "/problems/account-not-empty",
  status: 409,
  title: "The account still has money or commitments"
}, { code: Schema.tag("AccountNotEmpty"), currencies: Schema.Array(Schema.String) }) {}
