import { Config, Effect, Layer } from "effect"
import { ProviderSettings } from "../services/GatewayPolicy.ts"
import { defaultIdentityFigures, type IdentityFigures, IdentitySettings } from "../services/IdentitySettings.ts"
import { LedgerQueue } from "../services/LedgerWriter.ts"
import { VideoSettings } from "../services/VideoSettings.ts"
import { duration, integer, millis } from "./Bounded.ts"
import { figure, unfinishedUploads } from "./LimitFigures.ts"
import type { EngineOptions } from "./media/Engine.ts"

/**
 * The least that OWASP's Password Storage Cheat Sheet accepts of argon2id: for so many KiB, so many passes. Nothing that is
 * weaker can be set, by no variable: the hashes outlive whoever was in a hurry.
 */
const leastPasses = (memoryCost: number): number =>
  memoryCost >= 47_104 ? 1 : memoryCost >= 19_456 ? 2 : memoryCost >= 12_288 ? 3 : memoryCost >= 9_216 ? 4 : 5

const hashing = Effect.gen(function*() {
  const memoryCost = yield* integer("ARGON2_MEMORY_KIB", 19_456, { from: 7_168, to: 1_048_576 })
  const least = leastPasses(memoryCost)
  return {
    memoryCost,
    // Where none are set, what is set of memory says how many it takes.
    timeCost: yield* integer("ARGON2_PASSES", Math.max(2, least), { from: least, to: 20 }),
    parallelism: yield* integer("ARGON2_LANES", 1, { from: 1, to: 8 }),
    concurrent: yield* integer("ARGON2_CONCURRENCY", 2, { from: 1, to: 64 }),
    mostQueued: yield* integer("ARGON2_QUEUE", 50, { from: 1, to: 10_000 })
  }
})

const session = Config.all({
  idle: duration("REFRESH_TOKEN_IDLE", "7 days", { from: "1 minute", to: "7 days" }),
  absolute: duration("REFRESH_TOKEN_LIFE", "30 days", { from: "1 minute", to: "30 days" }),
  grace: duration("REFRESH_TOKEN_GRACE", "10 seconds", { from: 0, to: "10 seconds" })
})

/** What identity is told. Its times have ceilings: they can be made shorter than docs/security.md says, never longer. */
export const identitySettings = Layer.effect(
  IdentitySettings,
  Effect.gen(function*() {
    const { failures } = defaultIdentityFigures
    const figures: IdentityFigures = {
      hashing: yield* hashing,
      accessTokenLife: Math.floor(
        (yield* millis("ACCESS_TOKEN_LIFE", "10 minutes", { from: "1 minute", to: "10 minutes" })) / 1_000
      ),
      session: yield* session,
      failures: {
        account: yield* figure("LIMIT_FAILED_LOGINS", failures.account),
        address: yield* figure("LIMIT_FAILED_LOGINS_ADDRESS", failures.address)
      },
      oneTimeTokens: {
        life: {
          verify_email: yield* duration("VERIFY_TOKEN_LIFE", "24 hours", { from: "5 minutes", to: "24 hours" }),
          reset_password: yield* duration("RESET_TOKEN_LIFE", "1 hour", { from: "5 minutes", to: "1 hour" })
        },
        mostPerHour: yield* integer("MAILS_PER_HOUR", 5, { from: 1, to: 100 })
      }
    }
    return figures
  })
)

/** Calls to payment providers. A request must have time left to write down what came of one. */
export const providerSettings = Layer.effect(
  ProviderSettings,
  Config.map(
    Config.all({
      limitMillis: millis("PROVIDER_CALL_LIMIT", "10 seconds", { from: "1 second", to: "20 seconds" }),
      attempts: integer("PROVIDER_ATTEMPTS", 3, { from: 1, to: 10 }),
      longestPause: millis("PROVIDER_RETRY_PAUSE", "5 seconds", { from: "250 millis", to: "10 seconds" }),
      retryPercent: integer("PROVIDER_RETRY_PERCENT", 10, { from: 0, to: 100 }),
      failuresToOpen: integer("PROVIDER_BREAKER_FAILURES", 5, { from: 1, to: 100 }),
      openFor: duration("PROVIDER_BREAKER_PAUSE", "30 seconds", { from: "1 second", to: "10 minutes" })
    }),
    ({ retryPercent, ...rest }) => ({ ...rest, earnedByCall: retryPercent / 100 })
  )
)

export const ledgerSettings = Layer.effect(LedgerQueue, integer("LEDGER_QUEUE", 10_000, { from: 100, to: 1_000_000 }))

const mebibyte = 1_048_576

export const videoSettings = Layer.effect(
  VideoSettings,
  Config.map(
    Config.all({
      mostWaiting: integer("VIDEO_QUEUE", 20_000, { from: 1, to: 1_000_000 }),
      mostUnfinished: unfinishedUploads,
      stored: integer("UPLOADS_STORED_MIB", 20_480, { from: 200, to: 10_485_760 }),
      mostAtOnce: integer("UPLOADS_AT_ONCE", 64, { from: 1, to: 10_000 })
    }),
    ({ stored, ...rest }) => ({ ...rest, mostStored: stored * mebibyte })
  )
)

/** What one media child may use. It can be given less pixels than docs/security.md says, not more. */
export const mediaSettings = Config.map(
  Config.all({
    cpu: millis("MEDIA_CPU_LIMIT", "60 seconds", { from: "1 second", to: "10 minutes" }),
    wall: millis("MEDIA_WALL_LIMIT", "120 seconds", { from: "1 second", to: "1 hour" }),
    patience: millis("MEDIA_PATIENCE", "1 hour", { from: "1 minute", to: "1 day" }),
    resident: integer("MEDIA_RESIDENT_MIB", 640, { from: 128, to: 16_384 }),
    data: integer("MEDIA_DATA_MIB", 1_280, { from: 768, to: 65_536 }),
    file: integer("MEDIA_FILE_MIB", 256, { from: 1, to: 256 }),
    openFiles: integer("MEDIA_OPEN_FILES", 64, { from: 32, to: 1_024 }),
    maxPixels: integer("MEDIA_MAX_PIXELS", 8_912_896, { from: 65_536, to: 8_912_896 })
  }),
  ({ cpu, data, file, maxPixels, openFiles, patience, resident, wall }): Partial<EngineOptions> => ({
    cpuSeconds: cpu / 1_000,
    wallSeconds: wall / 1_000,
    patienceSeconds: patience / 1_000,
    residentBytes: resident * mebibyte,
    dataBytes: data * mebibyte,
    fileBytes: file * mebibyte,
    openFiles,
    maxPixels
  })
)
