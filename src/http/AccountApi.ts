import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema } from "effect/http-api"
import { DisplayName, InvalidCredentials, NewPassword, Password, Session, User } from "../domain/Identity.ts"
import { AccountExport, AccountNotEmpty, ErasureRequest } from "../domain/IdentityAccount.ts"
import { SessionId } from "../domain/Ids.ts"
import { pageOf, pageQuery } from "../domain/Page.ts"
import { InvalidRequest, NotFound, TooManyRequests, Unauthorized, Unavailable } from "../domain/Problem.ts"
import { Admission, AdmissionClass } from "./middleware/Admission.ts"
import { Authorization } from "./middleware/Authorization.ts"
import * as Policies from "./middleware/Policies.ts"
import { RateLimit, RatePolicies } from "./middleware/RateLimit.ts"
import { AccessPolicy } from "./middleware/RoleRequired.ts"

/** Of those who prove their password once more. */
const failures = [Policies.failedLogins, Policies.failedLoginsOfAddress]

const logout = HttpApiEndpoint.post("logout", "/api/auth/logout", {
  success: HttpApiSchema.NoContent,
  error: Unavailable
})
  .annotate(AdmissionClass, "auth")

const me = HttpApiEndpoint.get("me", "/api/auth/me", { success: User, error: [Unauthorized, Unavailable] })

const updateMe = HttpApiEndpoint.patch("updateMe", "/api/auth/me", {
  payload: Schema.Struct({ displayName: Schema.optionalKey(Schema.OptionFromNullOr(DisplayName)) }),
  success: User,
  error: [Unauthorized, Unavailable]
})

const sessions = HttpApiEndpoint.get("sessions", "/api/auth/sessions", {
  query: pageQuery,
  success: pageOf(Session),
  error: [InvalidRequest, Unavailable]
})

const revokeSession = HttpApiEndpoint.delete("revokeSession", "/api/auth/sessions/:id", {
  params: { id: SessionId },
  success: HttpApiSchema.NoContent,
  error: [NotFound, Unavailable]
})
  .annotate(AdmissionClass, "auth")

const changePassword = HttpApiEndpoint.post("changePassword", "/api/auth/password/change", {
  payload: Schema.Struct({ currentPassword: Password, newPassword: NewPassword }),
  success: HttpApiSchema.NoContent,
  error: [InvalidCredentials, TooManyRequests, Unauthorized, Unavailable]
})
  .annotate(AdmissionClass, "auth")
  .annotate(RatePolicies, failures)

const resendVerification = HttpApiEndpoint.post("resendVerification", "/api/auth/email/resend", {
  success: HttpApiSchema.Accepted,
  error: Unavailable
})
  .annotate(AdmissionClass, "auth")
  .annotate(RatePolicies, [Policies.resend, Policies.forgot])

const exportMe = HttpApiEndpoint.get("exportMe", "/api/auth/me/export", {
  success: AccountExport,
  error: [Unauthorized, Unavailable]
}).annotate(RatePolicies, [Policies.accountExport])

const eraseMe = HttpApiEndpoint.delete("eraseMe", "/api/auth/me", {
  payload: ErasureRequest,
  success: HttpApiSchema.NoContent,
  error: [AccountNotEmpty, InvalidCredentials, TooManyRequests, Unauthorized, Unavailable]
})
  .annotate(AdmissionClass, "auth")
  .annotate(RatePolicies, failures)

/** What somebody who is signed in does with their own account. */
export class AccountApi extends HttpApiGroup.make("account")
  .add(logout, me, updateMe, sessions, revokeSession, changePassword, resendVerification, exportMe, eraseMe)
  .annotateEndpoints(AccessPolicy, "signedIn")
  .middleware(Admission)
  .middleware(RateLimit)
  .middleware(Authorization)
{}
