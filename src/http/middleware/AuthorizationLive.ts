import { Effect, Layer, Redacted } from "effect"
import { HttpServerRequest } from "effect/http"
import { CurrentUser } from "../../domain/Principal.ts"
import { Unauthorized } from "../../domain/Problem.ts"
import { AccessTokens } from "../../services/AccessTokens.ts"
import { Authorization } from "./Authorization.ts"
import { ClientAddress } from "./ClientAddress.ts"
import * as Exchange from "./Exchange.ts"
import { Limits } from "./Limits.ts"
import { withoutToken } from "./Policies.ts"

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

    const nothing = refused(new Unauthorized({ detail: "Send an access token: Authorization: Bearer …" }))

    return Authorization.of({
      bearer: (handler, { credential }) =>
        Redacted.value(credential) === "" ? nothing : Effect.matchEffect(tokens.verify(credential), {
          onFailure: refused,
          onSuccess: (principal) =>
            Effect.withFiber((fiber) => {
              fiber.getRef(Exchange.Current).notes["enduser.id"] = principal.userId
              return Effect.provideService(handler, CurrentUser, principal)
            })
        })
    })
  })
)
