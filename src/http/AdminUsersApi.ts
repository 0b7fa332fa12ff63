import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { AccountAct, AdminUser, OwnAccount, RolesChange, userQuery } from "../domain/IdentityAdmin.ts"
import { UserId } from "../domain/Ids.ts"
import { pageOf, pageQuery } from "../domain/Page.ts"
import { InvalidRequest, NotFound, Unavailable } from "../domain/Problem.ts"
import { Admission, AdmissionClass } from "./middleware/Admission.ts"
import { Authorization } from "./middleware/Authorization.ts"
import { RateLimit } from "./middleware/RateLimit.ts"
import { AccessPolicy, RoleRequired } from "./middleware/RoleRequired.ts"

const params = { id: UserId }

const list = HttpApiEndpoint.get("list", "/api/admin/users", {
  query: { ...pageQuery, ...userQuery },
  success: pageOf(AdminUser),
  error: [InvalidRequest, Unavailable]
})

const find = HttpApiEndpoint.get("find", "/api/admin/users/:id", {
  params,
  success: AdminUser,
  error: [NotFound, Unavailable]
})

const disable = HttpApiEndpoint.post("disable", "/api/admin/users/:id/disable", {
  params,
  payload: AccountAct,
  success: AdminUser,
  error: [NotFound, OwnAccount, Unavailable]
}).annotate(AdmissionClass, "auth")

const enable = HttpApiEndpoint.post("enable", "/api/admin/users/:id/enable", {
  params,
  payload: AccountAct,
  success: AdminUser,
  error: [NotFound, OwnAccount, Unavailable]
}).annotate(AdmissionClass, "auth")

const setRoles = HttpApiEndpoint.post("setRoles", "/api/admin/users/:id/roles", {
  params,
  payload: RolesChange,
  success: AdminUser,
  error: [NotFound, OwnAccount, Unavailable]
}).annotate(AdmissionClass, "auth")

export class AdminUsersApi extends HttpApiGroup.make("adminUsers")
  .add(list, find, disable, enable, setRoles)
  .annotateEndpoints(AccessPolicy, "admin")
  .middleware(RoleRequired)
  .middleware(Admission)
  .middleware(RateLimit)
  .middleware(Authorization)
  .annotateMerge(OpenApi.annotations({ description: "For administrators: accounts and their roles" }))
{}
