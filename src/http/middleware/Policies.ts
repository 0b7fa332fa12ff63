import { Duration } from "effect"
import { loginLimits } from "../../domain/Identity.ts"
import { payoutsAtOnce } from "../../domain/Payouts.ts"
import { mostUnfinished, uploadUrlMinutes } from "../../domain/Video.ts"
import type { RatePolicy } from "./RateLimit.ts"

/** The policies of docs/security.md. What an endpoint declares of them is what its callers may meet. */
const policy = (
  name: string,
  limit: number,
  windowSeconds: number,
  by: RatePolicy["by"],
  rest?: Partial<Pick<RatePolicy, "whenAway" | "countedBy">>
): RatePolicy => ({ name, limit, windowSeconds, by, whenAway: "open", countedBy: "door", ...rest })

const quarter = 900
const hour = 3_600

/** Signed-in requests. */
export const perUser = policy("user", 300, 10, "user")
/** What a route without a token and without policies of its own allows. */
export const withoutToken = policy("anonymous", 100, quarter, "address")

export const register = policy("register", 20, hour, "address")
/** Wide enough for a carrier's NAT; failed logins have their own, narrow limits. */
export const login = policy("login", 300, quarter, "address", { whenAway: "closed" })
export const refresh = policy("refresh", 300, quarter, "address")
/** Mail that anybody may cause by naming an address. The account has a limit of its own, which never shows. */
export const forgot = policy("forgot", 20, hour, "address")
export const resend = policy("resend", 5, hour, "user")
export const accountExport = policy("export", 10, hour, "user")

const window = Duration.toSeconds(loginLimits.window)
/** Wrong passwords of one account, wherever they are asked for; successes are not counted. */
export const failedLogins = policy("failed-logins", loginLimits.account, window, "account", {
  whenAway: "closed",
  countedBy: "database"
})
/** … and from one address. */
export const failedLoginsOfAddress = policy("failed-logins-address", loginLimits.address, window, "address", {
  whenAway: "closed",
  countedBy: "database"
})

/** Transfers to an address tell whether it has an account (404), so they are few. Only the handler knows the body. */
export const transfersByEmail = policy("email-transfers", 60, hour, "user", { countedBy: "handler" })
/** Counted where a repetition of a key is known: it is not another payout. */
export const payouts = policy("payouts", payoutsAtOnce.limit, payoutsAtOnce.windowSeconds, "user", {
  whenAway: "closed",
  countedBy: "database"
})
export const uploads = policy("uploads", 20, hour, "user")
/** At once: a place becomes free when an upload is finished, or its URL expires. */
export const unfinishedUploads = policy("unfinished-uploads", mostUnfinished, uploadUrlMinutes * 60, "user", {
  whenAway: "closed",
  countedBy: "database"
})
/** Counted after the signature was looked at: a provider's own events are free, also when a stranger shares its address. */
export const forgedWebhooks = policy("forged-webhooks", 60, 60, "address", { countedBy: "handler" })
