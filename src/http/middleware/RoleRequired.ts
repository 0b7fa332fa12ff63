import { Context } from "effect"
import { HttpApiMiddleware } from "effect/http-api"
import { CurrentUser, type Role } from "../../domain/Principal.ts"
import { Forbidden } from "../../domain/Problem.ts"

/** Who may call an endpoint: anybody at all, whoever is signed in, or who has the role. */
export type Access = "anyone" | "signedIn" | Role

/** An endpoint's policy. Undefined is nobody's decision. */
export const AccessPolicy = Context.Reference<Access | undefined>("midnight/http/AccessPolicy", {
  defaultValue: () => undefined
})

/** Enforces an `AccessPolicy` that names a role: without it the answer is 403, whatever the request says. */
export class RoleRequired extends HttpApiMiddleware.Service<RoleRequired, {
  requires: CurrentUser
}>()("midnight/http/RoleRequired", { error: Forbidden }) {}
