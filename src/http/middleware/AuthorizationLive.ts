import { Effect, Layer, Redacted } from "effect"
import { HttpServerRequest } from "effect/http"
import { CurrentUser } from "../../domain/Principal.ts"
import { Unauthorized } from "../../domain/Problem.ts"
import { AccessTokens } from "../../services/AccessTokens.ts"
import * as AccessLog from "./AccessLog.ts"
import { Authorization } from "./Authorization.ts"
import { ClientAddress } from "./ClientAddress.ts"
import { Limits } from "./Limits.ts"
import { withoutToken } from "./RateLimitLive.ts"

/** The bearer of an access token becomes CurrentUser; everybody else is counted by address and answered 401, then 429. */
export const AuthorizationLive = Layer.effect(
  Authorization,
  Effect.gen(function*() {
    const tokens = yield* AccessTokens
    const limits = yield* Limits
    const address = yield* ClientAddress

    const refused = Effect.fnUntraced(function*(error: Unauthorized) {
      const subject = address.of(yield* HttpServerRequest.HttpServerRequest)
      yield* limits.consume([{ policy: withoutToken, subject }])
      return yield* error
    })

    return Authorization.of({
      bearer: Effect.fnUntraced(function*(handler, { credential }) {
        const principal = yield* Redacted.value(credential) === ""
          ? refused(new Unauthorized({ detail: "Send an access token: Authorization: Bearer …" }))
          : Effect.catchTag(tokens.verify(credential), "Unauthorized", refused)
        yield* AccessLog.annotate("enduser.id", principal.userId)
        yield* Effect.annotateCurrentSpan("enduser.id", principal.userId)
        return yield* Effect.provideService(handler, CurrentUser, principal)
      })
    })
  })
)
