import { Clock, Config, DateTime, Effect, Layer, Option, Redacted, Schema } from "effect"
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto"
import { AccessTokens } from "../services/AccessTokens.ts"
import { MailCommands, mailCommands } from "../services/Commands.ts"
import { MailQueue, mailQueue } from "../services/CommandStore.ts"
import { withDatabase } from "../services/Database.ts"
import { Health } from "../services/Health.ts"
import { Identity } from "../services/Identity.ts"
import { IdentityAdmin } from "../services/IdentityAdmin.ts"
import { Credentials } from "../services/IdentityCredentials.ts"
import { SecurityEvents } from "../services/IdentityEvents.ts"
import { IdentityEventStore } from "../services/IdentityEventStore.ts"
import { IdentityFailureStore } from "../services/IdentityFailureStore.ts"
import { LoginLimit } from "../services/IdentityLoginLimit.ts"
import { MailDelivery, MailRequests } from "../services/IdentityMail.ts"
import { IdentityPeerStore } from "../services/IdentityPeerStore.ts"
import { Revocations } from "../services/IdentityRevocations.ts"
import { IdentityRevocationStore } from "../services/IdentityRevocationStore.ts"
import { Sessions } from "../services/IdentitySessions.ts"
import { IdentitySessionStore } from "../services/IdentitySessionStore.ts"
import { IdentityStore } from "../services/IdentityStore.ts"
import { IdentityTokenStore } from "../services/IdentityTokenStore.ts"
import { Passwords } from "../services/Passwords.ts"
import { Users } from "../services/Users.ts"
import { identitySettings } from "./BulkheadSettings.ts"
import { consume } from "./Consumers.ts"
import { MailerLive, MailSettingsLive } from "./Mailers.ts"
import { pool } from "./Pools.ts"
import { queueMetrics } from "./QueueMetrics.ts"
import { secret } from "./Secrets.ts"
import { every, supervised } from "./Supervision.ts"

const read = (make: (pem: string) => KeyObject) => (pem: string): Option.Option<KeyObject> =>
  Option.filter(Option.liftThrowable(make)(pem), ({ asymmetricKeyType }) => asymmetricKeyType === "ed25519")

/**
 * Each PEM of a text, with real line breaks or with `\n` where the platform's variables have no others. Nothing when one of
 * them is not a key: a rotation in which a key silently went missing would sign people out.
 */
const keysOf = (make: (pem: string) => KeyObject) => (text: string): ReadonlyArray<KeyObject> => {
  const pems = text.replaceAll("\\n", "\n").split(/(?=-----BEGIN )/).filter((part) => part.trim() !== "")
  return Option.getOrElse(Option.all(pems.map(read(make))), () => [])
}

// A filter, so that the error names the variable and what is wanted. The value itself is never in the message.
const keys = (name: string, parse: (text: string) => ReadonlyArray<KeyObject>, expected: string) =>
  Config.schema(
    Schema.RedactedFromValue(
      Schema.String.check(Schema.makeFilter((text: string) => parse(text).length > 0 || expected))
    ),
    name
  ).pipe(Config.map((text) => parse(Redacted.value(text))))

const accessTokens = Effect.gen(function*() {
  const [signingKey] = yield* keys("JWT_PRIVATE_KEY", keysOf(createPrivateKey), "an Ed25519 private key, PKCS #8 PEM")
  if (signingKey === undefined) return yield* Effect.die("JWT_PRIVATE_KEY was accepted without a key in it")
  const previous = yield* keys("JWT_PREVIOUS_KEYS", keysOf(createPublicKey), "Ed25519 keys, PEM").pipe(
    Config.withDefault([])
  )
  return AccessTokens.layer({
    signingKey,
    publicKeys: [createPublicKey(signingKey), ...previous],
    issuer: yield* Config.NonEmptyString("JWT_ISSUER").pipe(Config.withDefault("midnight")),
    audience: yield* Config.NonEmptyString("JWT_AUDIENCE").pipe(Config.withDefault("midnight"))
  })
})

// One pool for all of the bulkhead: its stores share transactions.
const stores = Layer.suspend(() =>
  Layer.mergeAll(
    IdentityStore.layer,
    IdentitySessionStore.layer,
    IdentityTokenStore.layer,
    IdentityFailureStore.layer,
    IdentityEventStore.layer,
    IdentityPeerStore.layer,
    mailCommands("consumer"),
    mailQueue()
  ).pipe(
    Layer.provide(pool("identity")),
    Layer.merge(IdentityRevocationStore.layer.pipe(Layer.provide(pool("revocations"))))
  )
)

const sweep = Effect.gen(function*() {
  const store = yield* IdentityStore
  const round = Effect.flatMap(DateTime.now, (now) => withDatabase(store.sweep(now))).pipe(
    Effect.catchTag("Unavailable", () => Effect.logWarning("The sweep of expired sessions waits for the database"))
  )
  return yield* every("10 minutes", round)
})

/** Reads for good what other processes have revoked. */
export const followRevocations = Effect.gen(function*() {
  const { catchUp } = yield* Revocations
  // Half of what a disabled account may have left. A round that fails is not the end: what is known stays known.
  return yield* every("500 millis", Effect.ignore(catchUp))
})

/** Says when that has not come about for so long that accounts may do more than they should. */
const watchRevocations = Effect.gen(function*() {
  const health = yield* Health
  const { isBehind } = yield* Revocations
  let known = false
  const look = Effect.gen(function*() {
    const behind = isBehind(yield* Clock.currentTimeMillis)
    yield* health.report("identity", "revocations-read", behind ? "degraded" : "ok")
    if (behind && !known) yield* Effect.logWarning("What was revoked elsewhere has not been read for two seconds")
    known = behind
  })
  return yield* every("500 millis", look)
})

/** What keeps a process from accepting what another, or an operator, has revoked. */
export const revocationTasks = () =>
  Layer.merge(
    supervised("identity", "revocations", followRevocations),
    supervised("identity", "revocations-watch", watchRevocations)
  )

// One at a time: mail may wait, and must never be what the database is busy with.
const mail = Effect.gen(function*() {
  const delivery = yield* MailDelivery
  return yield* consume("mail_commands", yield* MailCommands, 1, delivery.work)
})

/** Says at start, and again whenever it becomes so, that several processes count their callers each for itself. */
export const watchPeers = Effect.gen(function*() {
  const store = yield* IdentityPeerStore
  if (Option.isSome(yield* Config.option(Config.Redacted("REDIS_URL")))) return yield* Effect.never
  let known = 1
  const round = withDatabase(store.count).pipe(
    Effect.tap((count) =>
      count > known
        ? Effect.logWarning(
          `${count} API processes share this database without REDIS_URL: each counts its callers for itself, so a caller `
            + "may have that many times every limit. During a release this passes."
        )
        : Effect.void
    ),
    Effect.tap((count) => Effect.sync(() => known = Math.max(1, count))),
    Effect.ignore
  )
  return yield* every("10 seconds", round)
})

/** What the bulkhead offers, over its own pool, without anything that runs by itself, as these settings say. */
export const identityServices = <E>(settings: Layer.Layer<never, E>) =>
  Layer.unwrap(
    Effect.gen(function*() {
      const refreshSecret = yield* secret("REFRESH_TOKEN_SECRET")
      const services = Layer.mergeAll(Identity.layer, Credentials.layer, IdentityAdmin.layer).pipe(
        Layer.provideMerge(Sessions.layer({ refreshSecret })),
        Layer.provideMerge(yield* accessTokens),
        Layer.provideMerge(LoginLimit.layer),
        Layer.provideMerge(Layer.mergeAll(Revocations.layer, SecurityEvents.layer, MailRequests.layer)),
        Layer.provideMerge(Passwords.layer)
      )
      return Users.layer.pipe(Layer.provideMerge(services), Layer.provideMerge(stores), Layer.provide(settings))
    })
  )

/** … as the environment says. */
export const IdentityServices = identityServices(identitySettings)

/** The identity bulkhead: accounts, sessions, access tokens, and what other bulkheads may ask of users. */
export const IdentityLive = Layer.mergeAll(
  supervised("identity", "sweep", sweep),
  revocationTasks(),
  supervised("identity", "peers", watchPeers),
  queueMetrics("mail_commands", MailQueue),
  supervised("identity", "mail", mail).pipe(
    Layer.provide(MailDelivery.layer),
    Layer.provide(Layer.merge(MailerLive, MailSettingsLive))
  )
).pipe(Layer.provideMerge(IdentityServices))
