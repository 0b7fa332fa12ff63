import { Effect, Option } from "effect"
import { HttpEffect, HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { CurrentUser } from "../domain/Principal.ts"
import { AccessTokens } from "../services/AccessTokens.ts"
import { Identity } from "../services/Identity.ts"
import { Sessions } from "../services/IdentitySessions.ts"
import { Api } from "./Api.ts"
import { ClientAddress } from "./middleware/ClientAddress.ts"

// A verifier that keeps the keys for longer than this would miss a new one; the old ones stay valid for longer anyway.
const cacheKeys = HttpEffect.appendPreResponseHandler((_, response) =>
  Effect.succeed(HttpServerResponse.setHeader(response, "cache-control", "public, max-age=300"))
)

export const IdentityHandlers = HttpApiBuilder.group(
  Api,
  "identity",
  Effect.fn(function*(handlers) {
    const identity = yield* Identity
    const sessions = yield* Sessions
    const accessTokens = yield* AccessTokens
    const address = yield* ClientAddress
    return handlers.handleAll({
      register: ({ payload }) =>
        identity.register({ ...payload, displayName: Option.fromUndefinedOr(payload.displayName) }),
      login: ({ payload, request }) => identity.login({ ...payload, address: address.of(request) }),
      refresh: ({ payload }) => Effect.map(sessions.refresh(payload.refreshToken), (tokens) => ({ tokens })),
      logout: () => Effect.flatMap(CurrentUser, ({ sessionId }) => sessions.end(sessionId)),
      me: () => Effect.flatMap(CurrentUser, ({ userId }) => identity.me(userId)),
      updateMe: ({ payload: { displayName } }) =>
        Effect.flatMap(
          CurrentUser,
          ({ userId }) => displayName === undefined ? identity.me(userId) : identity.rename(userId, displayName)
        ),
      jwks: () => Effect.as(cacheKeys, { keys: accessTokens.publicKeys })
    })
  })
)
