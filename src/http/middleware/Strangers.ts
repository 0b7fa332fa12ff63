import { Context, Effect, Redacted } from "effect"
import { HttpServerRequest } from "effect/http"
import type { TooManyRequests, Unavailable } from "../../domain/Problem.ts"
import { AccessTokens } from "../../services/AccessTokens.ts"
import { ClientAddress } from "./ClientAddress.ts"
import { Limits } from "./Limits.ts"
import { withoutToken } from "./Policies.ts"

/**
 * Counts refusals that no middleware of a route sees: of paths that do not exist, and of URLs that carry their own
 * permission. It is asked after the refusal is known, so whoever asks for what there is pays nothing for it, and passes however
 * much others have guessed from the same address.
 */
export interface Strangers {
  readonly counts: (code: string | undefined, route: string | undefined) => boolean
  readonly count: Effect.Effect<void, TooManyRequests | Unavailable, HttpServerRequest.HttpServerRequest>
}

const byAddress = Effect.map(
  Effect.all([Limits, ClientAddress]),
  ([limits, address]) => (request: HttpServerRequest.HttpServerRequest) =>
    limits.consume([{ policy: withoutToken, subject: address.of(request) }])
)

/** Of the API: unknown paths and methods, and the webhooks of providers that are not configured. */
export const ofApi = Effect.gen(function*() {
  const consume = yield* byAddress
  const tokens = yield* AccessTokens
  const strangers: Strangers = {
    counts: (code, route) =>
      (route === undefined && (code === "NotFound" || code === "MethodNotAllowed"))
      || (code === "NotFound" && route?.startsWith("/api/webhooks/") === true),
    count: Effect.contextWith((context: Context.Context<HttpServerRequest.HttpServerRequest>) => {
      const request = Context.get(context, HttpServerRequest.HttpServerRequest)
      const [, token] = /^Bearer +(\S+)$/i.exec(request.headers["authorization"] ?? "") ?? []
      if (token === undefined) return consume(request)
      return Effect.matchEffect(tokens.verify(Redacted.make(token)), {
        onFailure: () => consume(request),
        onSuccess: () => Effect.void
      })
    })
  }
  return strangers
})

/** Of the video process, which knows no tokens: everything that is not there, and URLs that it has not signed. */
export const ofVideo = Effect.map(byAddress, (consume): Strangers => ({
  counts: (code) => code === "NotFound" || code === "MethodNotAllowed" || code === "UploadUrlInvalid",
  count: Effect.flatMap(HttpServerRequest.HttpServerRequest, consume)
}))
