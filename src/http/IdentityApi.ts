import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema } from "effect/http-api"
import {
  DisplayName,
  Email,
  EmailTaken,
  InvalidCredentials,
  InvalidRefreshToken,
  NewPassword,
  Password,
  PublicKey,
  SignedIn,
  Tokens,
  User
} from "../domain/Identity.ts"
import { TooManyRequests, Unauthorized, Unavailable } from "../domain/Problem.ts"
import { Admission, AdmissionClass } from "./middleware/Admission.ts"
import { Authorization } from "./middleware/Authorization.ts"
import { AddressRateLimit, RateLimit, RatePolicies, type RatePolicy } from "./middleware/RateLimit.ts"

const registerPolicy: RatePolicy = { name: "register", limit: 20, windowSeconds: 3600, by: "address" }
/** Wide enough for a carrier's NAT; failed logins have their own, narrow limit, which the service counts. */
const loginPolicy: RatePolicy = { name: "login", limit: 300, windowSeconds: 900, by: "address" }
const refreshPolicy: RatePolicy = { name: "refresh", limit: 300, windowSeconds: 900, by: "address" }

const register = HttpApiEndpoint.post("register", "/api/auth/register", {
  payload: Schema.Struct({ email: Email, password: NewPassword, displayName: Schema.optionalKey(DisplayName) }),
  success: SignedIn.pipe(HttpApiSchema.status(201)),
  error: [EmailTaken, Unavailable]
})
  .annotate(AdmissionClass, "auth")
  .annotate(RatePolicies, [registerPolicy])
  .middleware(Admission)
  .middleware(AddressRateLimit)

const login = HttpApiEndpoint.post("login", "/api/auth/login", {
  payload: Schema.Struct({ email: Email, password: Password }),
  success: SignedIn,
  error: [InvalidCredentials, TooManyRequests, Unavailable]
})
  .annotate(AdmissionClass, "auth")
  .annotate(RatePolicies, [loginPolicy])
  .middleware(Admission)
  .middleware(AddressRateLimit)

const refresh = HttpApiEndpoint.post("refresh", "/api/auth/refresh", {
  payload: Schema.Struct({ refreshToken: Schema.RedactedFromValue(Schema.String.check(Schema.isMaxLength(128))) }),
  success: Schema.Struct({ tokens: Tokens }),
  error: [InvalidRefreshToken, Unavailable]
})
  .annotate(AdmissionClass, "auth")
  .annotate(RatePolicies, [refreshPolicy])
  .middleware(Admission)
  .middleware(AddressRateLimit)

const logout = HttpApiEndpoint.post("logout", "/api/auth/logout", {
  success: HttpApiSchema.NoContent,
  error: Unavailable
})
  .annotate(AdmissionClass, "auth")
  .middleware(Admission)
  .middleware(RateLimit)
  .middleware(Authorization)

const me = HttpApiEndpoint.get("me", "/api/auth/me", { success: User, error: [Unauthorized, Unavailable] })
  .middleware(Admission)
  .middleware(RateLimit)
  .middleware(Authorization)

const updateMe = HttpApiEndpoint.patch("updateMe", "/api/auth/me", {
  payload: Schema.Struct({ displayName: Schema.optionalKey(Schema.OptionFromNullOr(DisplayName)) }),
  success: User,
  error: [Unauthorized, Unavailable]
})
  .middleware(Admission)
  .middleware(RateLimit)
  .middleware(Authorization)

/** Not limited: verifiers fetch it, and caches keep it (docs/security.md). */
const jwks = HttpApiEndpoint.get("jwks", "/.well-known/jwks.json", {
  success: Schema.Struct({ keys: Schema.Array(PublicKey) }).annotate({ identifier: "PublicKeys" })
})

export class IdentityApi extends HttpApiGroup.make("identity")
  .add(register, login, refresh, logout, me, updateMe, jwks)
{}
