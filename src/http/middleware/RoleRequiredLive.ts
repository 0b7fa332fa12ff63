import { Context, Effect, Layer, Schema } from "effect"
import { CurrentUser, Role } from "../../domain/Principal.ts"
import { Forbidden } from "../../domain/Problem.ts"
import { AccessPolicy, RoleRequired } from "./RoleRequired.ts"

const isRole = Schema.is(Role)

export const RoleRequiredLive = Layer.succeed(
  RoleRequired,
  RoleRequired.of(Effect.fnUntraced(function*(handler, { endpoint }) {
    const role = Context.get(endpoint.annotations, AccessPolicy)
    // An endpoint that asks for this middleware and names no role is closed, not open.
    if (!isRole(role)) return yield* Effect.die(new Error(`${endpoint.path} requires a role and names none`))
    const { roles } = yield* CurrentUser
    if (!roles.includes(role)) return yield* new Forbidden({ detail: `This needs the role ${role}.` })
    return yield* handler
  }))
)
