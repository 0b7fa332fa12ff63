import { Config, Schema } from "effect"
import { Currency, defaultCurrencies } from "../domain/Money.ts"
import { duration } from "./Bounded.ts"
import { secret } from "./Secrets.ts"

/**
 * Every environment variable that a server reads, typed. A value that is missing or wrong fails the start with the
 * variable's name (`ConfigError`). Defaults are those of `.env.example`; no secret has one.
 */
export const port = (name: "PORT" | "VIDEO_PORT" | "SANDBOX_PORT", fallback: number) =>
  Config.Port(name).pipe(Config.withDefault(fallback))

export const host = Config.NonEmptyString("HOST").pipe(Config.withDefault("0.0.0.0"))
export const home = Config.NonEmptyString("MIDNIGHT_HOME").pipe(Config.withDefault(".midnight"))
export const currencies = Config.Array(Currency, "CURRENCIES").pipe(Config.withDefault(defaultCurrencies))
export const corsOrigins = Config.Array(Schema.NonEmptyString, "CORS_ORIGINS").pipe(Config.withDefault([]))
export const returnUrlOrigins = Config.Array(Schema.NonEmptyString, "RETURN_URL_ORIGINS").pipe(Config.withDefault([]))

/** What Sealed seals under, and what it could be sealed under before. */
export const encryptionSecrets = Config.all({
  current: secret("ENCRYPTION_SECRET"),
  previous: Config.Array(
    Schema.RedactedFromValue(Schema.String.check(Schema.isMinLength(32))),
    "ENCRYPTION_PREVIOUS_SECRETS"
  ).pipe(Config.withDefault([]))
})

export const databaseUrl = Config.Redacted("DATABASE_URL")
export const rolesSecret = secret("DATABASE_ROLES_SECRET")

/** Times of a pool. A whole transaction has four seconds, so that no statement of it may have more. */
export const databaseLimits = Config.all({
  /** How long a request waits for one of its bulkhead's connections. */
  acquire: duration("DATABASE_ACQUIRE_LIMIT", "500 millis", { from: "1 millis", to: "10 seconds" }),
  statement: duration("DATABASE_STATEMENT_LIMIT", "3 seconds", { from: "100 millis", to: "4 seconds" }),
  lock: duration("DATABASE_LOCK_LIMIT", "1 second", { from: "50 millis", to: "4 seconds" }),
  connect: duration("DATABASE_CONNECT_LIMIT", "2 seconds", { from: "100 millis", to: "30 seconds" })
})

const minorUnits = (name: string, fallback: number) =>
  Config.schema(Schema.NumberFromString.check(Schema.isInt(), Schema.isBetween({ minimum: 0, maximum: 1e15 })), name)
    .pipe(
      Config.withDefault(fallback),
      Config.map(BigInt)
    )

/** Events may be sent over http and to private addresses: for development, and tests. */
export const webhookAllowPrivate = Config.Boolean("WEBHOOK_ALLOW_PRIVATE").pipe(Config.withDefault(false))

/** Payouts of more than this many minor units wait for an administrator. */
export const payoutApprovalAbove = minorUnits("PAYOUT_APPROVAL_ABOVE", 5_000_000)
/** Minor units that one member may be paid out in 24 hours, in each currency. */
export const payoutDailyLimit = minorUnits("PAYOUT_DAILY_LIMIT", 100_000_000)

/** How long after its start a server begins to look through the ledger. */
export const auditAfter = Config.Duration("AUDIT_AFTER").pipe(Config.withDefault("5 minutes"))
