import { HttpApiMiddleware, HttpApiSecurity } from "effect/http-api"
import { CurrentUser } from "../../domain/Principal.ts"
import { TooManyRequests, Unauthorized, Unavailable } from "../../domain/Problem.ts"

/**
 * Signed in with an access token. A request without a valid one counts against its address (docs/security.md), so it may be
 * answered 429 instead of 401.
 */
export class Authorization extends HttpApiMiddleware.Service<Authorization, {
  provides: CurrentUser
}>()("midnight/http/Authorization", {
  requiredForClient: true,
  security: { bearer: HttpApiSecurity.bearer },
  error: [Unauthorized, TooManyRequests, Unavailable]
}) {}
