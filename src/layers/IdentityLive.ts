import { Config, DateTime, Effect, Layer, Option, Redacted, Schema } from "effect"
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto"
import { AccessTokens } from "../services/AccessTokens.ts"
import { withDatabase } from "../services/Database.ts"
import { Identity } from "../services/Identity.ts"
import { LoginLimit } from "../services/IdentityLoginLimit.ts"
import { Sessions } from "../services/IdentitySessions.ts"
import { IdentityStore } from "../services/IdentityStore.ts"
import { Passwords } from "../services/Passwords.ts"
import { Users } from "../services/Users.ts"
import * as Settings from "./Config.ts"
import { pool } from "./Pools.ts"
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
  const previous = yield* keys("JWT_PREVIOUS_PUBLIC_KEYS", keysOf(createPublicKey), "Ed25519 public keys, SPKI PEM")
    .pipe(
      Config.withDefault([])
    )
  return AccessTokens.layer({
    signingKey,
    publicKeys: [createPublicKey(signingKey), ...previous],
    issuer: yield* Config.NonEmptyString("JWT_ISSUER").pipe(Config.withDefault("midnight")),
    audience: yield* Config.NonEmptyString("JWT_AUDIENCE").pipe(Config.withDefault("midnight"))
  })
})

const store = IdentityStore.layer.pipe(Layer.provide(pool("identity")))

const sweep = Effect.gen(function*() {
  const store = yield* IdentityStore
  const round = Effect.flatMap(DateTime.now, (now) => withDatabase(store.sweep(now))).pipe(
    Effect.catchTag("Unavailable", () => Effect.logWarning("The sweep of expired sessions waits for the database"))
  )
  return yield* every("10 minutes", round)
})

/** What the bulkhead offers, over its own pool, without anything that runs by itself. */
export const IdentityServices = Layer.unwrap(
  Effect.gen(function*() {
    const refreshSecret = yield* Settings.secret("REFRESH_TOKEN_SECRET")
    const services = Identity.layer.pipe(
      Layer.provideMerge(Sessions.layer({ refreshSecret })),
      Layer.provideMerge(yield* accessTokens),
      Layer.provide(LoginLimit.layer),
      Layer.provide(Passwords.layer)
    )
    return Layer.merge(services, Users.layer).pipe(Layer.provideMerge(store))
  })
)

/** The identity bulkhead: accounts, sessions, access tokens, and what other bulkheads may ask of users. */
export const IdentityLive = supervised("identity", "sweep", sweep).pipe(Layer.provideMerge(IdentityServices))
