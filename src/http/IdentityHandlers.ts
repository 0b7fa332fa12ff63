import { Effect, Option } from "effect"
import { HttpEffect, HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { AccessTokens } from "../services/AccessTokens.ts"
import { Identity } from "../services/Identity.ts"
import { Credentials } from "../services/IdentityCredentials.ts"
import { Sessions } from "../services/IdentitySessions.ts"
import { Api } from "./Api.ts"
import { deviceOf } from "./Device.ts"
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
    const credentials = yield* Credentials
    const accessTokens = yield* AccessTokens
    const device = deviceOf(yield* ClientAddress)
    return handlers.handleAll({
      register: ({ payload, request }) =>
        identity.register({ ...payload, displayName: Option.fromUndefinedOr(payload.displayName) }, device(request)),
      login: ({ payload, request }) => identity.login({ ...payload, device: device(request) }),
      refresh: ({ payload, request }) =>
        Effect.map(sessions.refresh(payload.refreshToken, device(request)), (tokens) => ({ tokens })),
      forgotPassword: ({ payload }) => credentials.forgot(payload.email),
      resetPassword: ({ payload }) => credentials.reset(payload.token, payload.password),
      verifyEmail: ({ payload }) => credentials.verifyEmail(payload.token),
      jwks: () => Effect.as(cacheKeys, { keys: accessTokens.publicKeys })
    })
  })
)
