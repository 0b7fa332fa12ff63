import { Context, Schema } from "effect"
import { SessionId, UserId } from "./Ids.ts"

export const Role = Schema.Literals(["member", "sponsor", "reviewer", "admin"])
export type Role = typeof Role.Type

/** In whatever order. */
export const sameRoles = (some: ReadonlyArray<Role>, others: ReadonlyArray<Role>): boolean =>
  some.every((role) => others.includes(role)) && others.every((role) => some.includes(role))

/** Who is asking, as the access token says. */
export const Principal = Schema.Struct({ userId: UserId, sessionId: SessionId, roles: Schema.Array(Role) })
export type Principal = typeof Principal.Type

/** Request context: only the Authorization middleware provides it. */
export class CurrentUser extends Context.Service<CurrentUser, Principal>()("midnight/domain/CurrentUser") {}
