import { Context, Duration } from "effect"
import { loginLimits, oneTimeTokens, sessionLimits, type TokenPurpose } from "../domain/Identity.ts"

/** So many within so long. */
export interface Figure {
  readonly limit: number
  readonly windowSeconds: number
}

const quarter = Duration.toSeconds(loginLimits.window)

/** What a deployment may set of identity; the defaults are those of docs/configuration.md. Read when layers are built. */
export interface IdentityFigures {
  /** argon2id: KiB, passes, lanes; how many hashes are made at once, and how many may wait. */
  readonly hashing: {
    readonly memoryCost: number
    readonly timeCost: number
    readonly parallelism: number
    readonly concurrent: number
    readonly mostQueued: number
  }
  /** Seconds. */
  readonly accessTokenLife: number
  readonly session: {
    readonly idle: Duration.Duration
    readonly absolute: Duration.Duration
    readonly grace: Duration.Duration
  }
  readonly failures: { readonly account: Figure; readonly address: Figure }
  readonly oneTimeTokens: {
    readonly life: Readonly<Record<TokenPurpose, Duration.Duration>>
    readonly mostPerHour: number
  }
}

export const defaultIdentityFigures: IdentityFigures = {
  hashing: { memoryCost: 19_456, timeCost: 2, parallelism: 1, concurrent: 2, mostQueued: 50 },
  accessTokenLife: 600,
  session: sessionLimits,
  failures: {
    account: { limit: loginLimits.account, windowSeconds: quarter },
    address: { limit: loginLimits.address, windowSeconds: quarter }
  },
  oneTimeTokens
}

export const IdentitySettings = Context.Reference<IdentityFigures>("midnight/services/identity/IdentitySettings", {
  defaultValue: () => defaultIdentityFigures
})
