import { DateTime, Duration, Option, type Redacted, Schema, SchemaGetter } from "effect"
import { isCommon } from "./CommonPasswords.ts"
import { SessionId, UserId } from "./Ids.ts"
import { Role } from "./Principal.ts"
import { Problem } from "./Problem.ts"

// The address syntax of HTML's e-mail inputs: ASCII, so that one mailbox has one spelling and none that looks like it.
const label = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
const address = new RegExp(`^[a-z0-9.!#$%&'*+/=?^_\`{|}~-]{1,64}@${label}(?:\\.${label})*$`)

/** An e-mail address, trimmed and in lower case, as it is stored and compared. */
export const Email = Schema.String.pipe(
  Schema.decodeTo(
    Schema.String.check(
      Schema.isMaxLength(254),
      Schema.isPattern(address, { expected: "an e-mail address such as ada@example.org" })
    ),
    { decode: SchemaGetter.transform((text) => text.trim().toLowerCase()), encode: SchemaGetter.passthrough() }
  ),
  Schema.brand("Email")
)
export type Email = typeof Email.Type

const characters = (text: string): number => Array.from(text).length

/** What a person types to sign in. Only its size is limited here: rules for new passwords change, old ones stay valid. */
export const Password = Schema.RedactedFromValue(
  Schema.String.check(
    Schema.makeFilter((text: string) => text.length >= 1 && characters(text) <= 128 || "1 to 128 characters")
  )
)

/** 15 to 128 characters, none of the commonest; no rules of composition (NIST SP 800-63B-4, 3.1.1). */
export const NewPassword = Schema.RedactedFromValue(
  Schema.String.check(
    Schema.makeFilter((text: string) => {
      const length = characters(text)
      return length >= 15 && length <= 128 || "15 to 128 characters"
    }),
    Schema.makeFilter((text: string) => !isCommon(text) || "a password that is not among the commonest")
  )
)

// As ranges of what is allowed: the contract shows this to tools that know no `\p{Cc}` and no `\u{10ffff}`.
const printable = `[ -~\\u00a0-\\ud7ff\\ue000-${String.fromCodePoint(0x10ffff)}]`

/** How a person is called: no control characters and no broken Unicode, which PostgreSQL would refuse. */
export const DisplayName = Schema.String.check(
  Schema.isPattern(new RegExp(`^${printable}{1,100}$`, "u"), {
    expected: "1 to 100 characters without control characters"
  })
)

export const User = Schema.Struct({
  id: UserId,
  email: Email,
  displayName: Schema.OptionFromNullOr(DisplayName),
  roles: Schema.Array(Role),
  emailVerified: Schema.Boolean,
  createdAt: Schema.DateTimeUtcFromString
}).annotate({ identifier: "User" })
export type User = typeof User.Type

/** What a signed-in client holds. `expiresIn` is the access token's life in seconds. */
export const Tokens = Schema.Struct({
  accessToken: Schema.RedactedFromValue(Schema.String),
  refreshToken: Schema.RedactedFromValue(Schema.String),
  tokenType: Schema.Literal("Bearer"),
  expiresIn: Schema.Int
}).annotate({ identifier: "Tokens" })
export type Tokens = typeof Tokens.Type

export const SignedIn = Schema.Struct({ user: User, tokens: Tokens }).annotate({ identifier: "SignedIn" })
export type SignedIn = typeof SignedIn.Type

/** A key as `/.well-known/jwks.json` shows it (RFC 8037). */
export const PublicKey = Schema.Struct({
  kty: Schema.Literal("OKP"),
  crv: Schema.Literal("Ed25519"),
  x: Schema.String,
  kid: Schema.String,
  use: Schema.Literal("sig"),
  alg: Schema.Literal("EdDSA")
}).annotate({ identifier: "PublicKey" })
export type PublicKey = typeof PublicKey.Type

/** What a session is used from: for its owner's eyes, kept while it lasts. The address is in the form that limits count by. */
export interface Device {
  readonly userAgent: Option.Option<string>
  readonly address: string
}

/** A device that is signed in. */
export const Session = Schema.Struct({
  id: SessionId,
  createdAt: Schema.DateTimeUtcFromString,
  lastUsedAt: Schema.DateTimeUtcFromString,
  expiresAt: Schema.DateTimeUtcFromString,
  userAgent: Schema.OptionFromNullOr(Schema.String),
  address: Schema.OptionFromNullOr(Schema.String),
  /** The one that this request was made with. */
  current: Schema.Boolean
}).annotate({ identifier: "Session" })
export type Session = typeof Session.Type

/** The secret part of a mail that its reader hands back. */
export const MailedToken = Schema.RedactedFromValue(
  Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(128))
)

/** What a one-time token is good for, how long, and how many an account is sent within an hour. */
export type TokenPurpose = "verify_email" | "reset_password"
export const oneTimeTokens = {
  life: { verify_email: Duration.hours(24), reset_password: Duration.hours(1) },
  mostPerHour: 5
} as const

export interface Registration {
  readonly email: Email
  readonly password: Redacted.Redacted<string>
  readonly displayName: Option.Option<string>
}

/** An account that has to exist, for seeds: found by its e-mail, in any spelling, else made. */
export interface SeedUser {
  readonly email: string
  readonly password: Redacted.Redacted<string>
  readonly displayName: string
  readonly roles: ReadonlyArray<Role>
}

export class EmailTaken extends Problem<EmailTaken>()("EmailTaken", {
  type: "/problems/email-taken",
  status: 409,
  title: "There is an account with this e-mail address already"
}, { code: Schema.tag("EmailTaken") }) {}

/** The same for a wrong password, an unknown address and a disabled account. */
export class InvalidCredentials extends Problem<InvalidCredentials>()("InvalidCredentials", {
  type: "/problems/invalid-credentials",
  status: 401,
  title: "E-mail address or password is wrong"
}, { code: Schema.tag("InvalidCredentials") }) {}

/** The same for a token that is unknown, expired, revoked or was used before. */
export class InvalidRefreshToken extends Problem<InvalidRefreshToken>()("InvalidRefreshToken", {
  type: "/problems/invalid-refresh-token",
  status: 401,
  title: "The refresh token is not valid: sign in again"
}, { code: Schema.tag("InvalidRefreshToken") }) {}

/** The same for a token that is unknown, too old, already used, or for something else. */
export class InvalidToken extends Problem<InvalidToken>()("InvalidToken", {
  type: "/problems/invalid-token",
  status: 400,
  title: "The token is not valid any more: ask for another mail"
}, { code: Schema.tag("InvalidToken") }) {}

/** Limits of docs/security.md for refresh tokens: the longest that a deployment can set, and the defaults. */
export const sessionLimits = {
  idle: Duration.days(7),
  absolute: Duration.days(30),
  grace: Duration.seconds(10)
} as const

/** What the store knows of a presented refresh token. */
export interface PresentedToken {
  readonly sessionId: SessionId
  readonly usedAt: Option.Option<DateTime.Utc>
  /** Whether the token that followed it has been spent in its turn. */
  readonly succeeded: boolean
  readonly idleExpiresAt: DateTime.Utc
  readonly expiresAt: DateTime.Utc
  readonly revoked: boolean
  readonly userDisabled: boolean
}

/**
 * - rotate: the first use; the token is spent and its successor becomes valid.
 * - replay: the same use again within the grace, as after a lost answer; the same successor once more.
 * - reuse: a spent token comes back later, or when its successor was used already and so no answer can have been lost:
 *   somebody has a copy, and the whole family ends.
 * - refuse: the session is over.
 */
export type RefreshDecision = "rotate" | "replay" | "reuse" | "refuse"

export const decideRefresh = (
  token: PresentedToken,
  now: DateTime.Utc,
  grace: Duration.Duration
): RefreshDecision => {
  const over = token.revoked || token.userDisabled
    || DateTime.isGreaterThanOrEqualTo(now, token.expiresAt)
    || DateTime.isGreaterThanOrEqualTo(now, token.idleExpiresAt)
  if (over) return "refuse"
  if (Option.isNone(token.usedAt)) return "rotate"
  if (token.succeeded) return "reuse"
  return DateTime.isLessThanOrEqualTo(now, DateTime.addDuration(token.usedAt.value, grace))
    ? "replay"
    : "reuse"
}

/** One row of docs/security.md: failures of one account or one address within the window. Defaults. */
export const loginLimits = {
  account: 5,
  address: 50,
  window: Duration.minutes(15)
} as const
