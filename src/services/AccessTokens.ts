import { Clock, Context, DateTime, Effect, Layer, Redacted, Schema } from "effect"
import { SecureRandom } from "effect/crypto"
import { calculateJwkThumbprint, exportJWK, type JWTHeaderParameters, jwtVerify, SignJWT } from "jose"
import type { KeyObject } from "node:crypto"
import { PublicKey } from "../domain/Identity.ts"
import { SessionId, UserId } from "../domain/Ids.ts"
import { type Principal, Role } from "../domain/Principal.ts"
import { Unauthorized } from "../domain/Problem.ts"
import { Revocations } from "./IdentityRevocations.ts"
import { IdentitySettings } from "./IdentitySettings.ts"

/**
 * The longest life of an access token, in seconds (RFC 8725 asks for short ones). Whatever is set, tokens are taken for as long:
 * those which another process signed before it was told of a shorter life still hold.
 */
const longestLife = 600
/** How far the clocks of two machines may differ, in seconds. */
const skew = 30
/** Verified tokens that are remembered: those of 10,000 users who each refresh once within a token's life. */
const mostRemembered = 20_000

const Claims = Schema.Struct({
  sub: UserId,
  sid: SessionId,
  roles: Schema.Array(Role),
  jti: Schema.NonEmptyString,
  nbf: Schema.Finite,
  exp: Schema.Finite
})
const decodeClaims = Schema.decodeUnknownEffect(Claims)

export interface AccessTokenOptions {
  /** The Ed25519 key that signs. */
  readonly signingKey: KeyObject
  /** Its public half, and those of earlier keys whose tokens have not expired yet. */
  readonly publicKeys: ReadonlyArray<KeyObject>
  readonly issuer: string
  readonly audience: string
}

const publicKeyOf = async (key: KeyObject): Promise<PublicKey> => {
  const jwk = await exportJWK(key)
  const kid = await calculateJwkThumbprint(jwk)
  return Schema.decodeUnknownSync(PublicKey)({ kty: jwk.kty, crv: jwk.crv, x: jwk.x, kid, use: "sig", alg: "EdDSA" })
}

/**
 * Access tokens: EdDSA JWTs of type `at+jwt` (RFC 8725, RFC 9068). The key is found in a fixed map by `kid` alone; `jku`,
 * `x5u` and `jwk` of the header are never looked at. Verified tokens are remembered until they expire, since one Ed25519
 * verification costs more than a transfer.
 */
export class AccessTokens extends Context.Service<AccessTokens, {
  sign(principal: Principal): Effect.Effect<Redacted.Redacted<string>>
  verify(token: Redacted.Redacted<string>): Effect.Effect<Principal, Unauthorized>
  /** The public keys, the signing one first, as `/.well-known/jwks.json` shows them. */
  readonly publicKeys: ReadonlyArray<PublicKey>
}>()("midnight/services/identity/AccessTokens") {
  static readonly layer = (options: AccessTokenOptions) =>
    Layer.effect(
      AccessTokens,
      Effect.gen(function*() {
        const revocations = yield* Revocations
        const { accessTokenLife } = yield* IdentitySettings
        const keys = new Map<string, KeyObject>()
        const publicKeys: Array<PublicKey> = []
        for (const key of options.publicKeys) {
          const shown = yield* Effect.promise(() => publicKeyOf(key))
          keys.set(shown.kid, key)
          publicKeys.push(shown)
        }
        const kid = publicKeys[0]?.kid ?? (yield* Effect.die(new Error("AccessTokens needs a public key")))
        const remembered = new Map<string, { readonly principal: Principal; readonly until: number }>()

        const keyFor = ({ kid }: JWTHeaderParameters): KeyObject => {
          const key = kid === undefined ? undefined : keys.get(kid)
          if (key === undefined) throw new TypeError("unknown kid")
          return key
        }

        const decode = Effect.fnUntraced(function*(token: string, now: number) {
          const { payload } = yield* Effect.tryPromise(() =>
            jwtVerify(token, keyFor, {
              algorithms: ["EdDSA"],
              typ: "at+jwt",
              issuer: options.issuer,
              audience: options.audience,
              clockTolerance: skew,
              maxTokenAge: longestLife,
              currentDate: DateTime.toDateUtc(DateTime.makeUnsafe(now)),
              requiredClaims: ["sub", "sid", "jti", "iat", "nbf", "exp"]
            })
          )
          return yield* decodeClaims(payload)
        }, Effect.mapError(() => new Unauthorized({ detail: "The access token is not valid, or has expired." })))

        const remember = (token: string, principal: Principal, until: number) => {
          if (remembered.size >= mostRemembered) {
            const oldest = remembered.keys().next()
            if (oldest.done !== true) remembered.delete(oldest.value)
          }
          remembered.set(token, { principal, until })
        }

        // However good the signature is: the session has ended, or the account is not what the token says.
        const standing = (principal: Principal) =>
          revocations.isRevoked(principal)
            ? Effect.fail(new Unauthorized({ detail: "The access token has been revoked." }))
            : Effect.succeed(principal)

        return AccessTokens.of({
          publicKeys,
          sign: Effect.fn("AccessTokens.sign")(function*(principal) {
            const now = Math.floor((yield* Clock.currentTimeMillis) / 1000)
            const token = yield* Effect.promise(() =>
              new SignJWT({ sid: principal.sessionId, roles: [...principal.roles] })
                .setProtectedHeader({ alg: "EdDSA", typ: "at+jwt", kid })
                .setSubject(principal.userId)
                .setIssuer(options.issuer)
                .setAudience(options.audience)
                .setJti(SecureRandom.uuidV4Unsafe())
                .setIssuedAt(now)
                .setNotBefore(now)
                .setExpirationTime(now + accessTokenLife)
                .sign(options.signingKey)
            )
            return Redacted.make(token)
          }),
          verify: (redacted) =>
            Effect.clockWith((clock) => {
              const token = Redacted.value(redacted)
              const now = clock.currentTimeMillisUnsafe()
              const known = remembered.get(token)
              if (known !== undefined && now < known.until) return standing(known.principal)
              return Effect.flatMap(decode(token, now), (claims) => {
                const principal: Principal = { userId: claims.sub, sessionId: claims.sid, roles: claims.roles }
                remember(token, principal, (claims.exp + skew) * 1000)
                return standing(principal)
              })
            })
        })
      })
    )
}
