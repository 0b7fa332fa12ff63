import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema } from "effect/http-api"
import {
  DisplayName,
  Email,
  EmailTaken,
  InvalidCredentials,
  InvalidRefreshToken,
  InvalidToken,
  MailedToken,
  NewPassword,
  Password,
  PublicKey,
  SignedIn,
  Tokens
} from "../domain/Identity.ts"
import { TooManyRequests, Unavailable } from "../domain/Problem.ts"
import { Admission, AdmissionClass } from "./middleware/Admission.ts"
import * as Policies from "./middleware/Policies.ts"
import { AddressRateLimit, RatePolicies } from "./middleware/RateLimit.ts"
import { AccessPolicy } from "./middleware/RoleRequired.ts"

const register = HttpApiEndpoint.post("register", "/api/auth/register", {
  payload: Schema.Struct({ email: Email, password: NewPassword, displayName: Schema.optionalKey(DisplayName) }),
  success: SignedIn.pipe(HttpApiSchema.status(201)),
  error: [EmailTaken, Unavailable]
})
  .annotate(AdmissionClass, "auth")
  .annotate(RatePolicies, [Policies.register])
  .middleware(Admission)
  .middleware(AddressRateLimit)

const login = HttpApiEndpoint.post("login", "/api/auth/login", {
  payload: Schema.Struct({ email: Email, password: Password }),
  success: SignedIn,
  error: [InvalidCredentials, TooManyRequests, Unavailable]
})
  .annotate(AdmissionClass, "auth")
  .annotate(RatePolicies, [Policies.login, Policies.failedLogins, Policies.failedLoginsOfAddress])
  .middleware(Admission)
  .middleware(AddressRateLimit)

const refresh = HttpApiEndpoint.post("refresh", "/api/auth/refresh", {
  payload: Schema.Struct({ refreshToken: Schema.RedactedFromValue(Schema.String.check(Schema.isMaxLength(128))) }),
  success: Schema.Struct({ tokens: Tokens }),
  error: [InvalidRefreshToken, Unavailable]
})
  .annotate(AdmissionClass, "auth")
  .annotate(RatePolicies, [Policies.refresh])
  .middleware(Admission)
  .middleware(AddressRateLimit)

const forgotPassword = HttpApiEndpoint.post("forgotPassword", "/api/auth/password/forgot", {
  payload: Schema.Struct({ email: Email }),
  success: HttpApiSchema.Accepted,
  error: Unavailable
})
  .annotate(AdmissionClass, "auth")
  .annotate(RatePolicies, [Policies.forgot])
  .middleware(Admission)
  .middleware(AddressRateLimit)

const resetPassword = HttpApiEndpoint.post("resetPassword", "/api/auth/password/reset", {
  payload: Schema.Struct({ token: MailedToken, password: NewPassword }),
  success: HttpApiSchema.NoContent,
  error: [InvalidToken, Unavailable]
})
  .annotate(AdmissionClass, "auth")
  .middleware(Admission)
  .middleware(AddressRateLimit)

const verifyEmail = HttpApiEndpoint.post("verifyEmail", "/api/auth/email/verify", {
  payload: Schema.Struct({ token: MailedToken }),
  success: HttpApiSchema.NoContent,
  error: [InvalidToken, Unavailable]
})
  .annotate(AdmissionClass, "auth")
  .middleware(Admission)
  .middleware(AddressRateLimit)

/** Not limited: verifiers fetch it, and caches keep it (docs/security.md). */
const jwks = HttpApiEndpoint.get("jwks", "/.well-known/jwks.json", {
  success: Schema.Struct({ keys: Schema.Array(PublicKey) }).annotate({ identifier: "PublicKeys" })
})

export class IdentityApi extends HttpApiGroup.make("identity")
  .add(register, login, refresh, forgotPassword, resetPassword, verifyEmail, jwks)
  .annotateEndpoints(AccessPolicy, "anyone")
{}
