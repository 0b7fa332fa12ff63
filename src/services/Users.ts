import { Context, type Effect, type Option } from "effect"
import type { UserId } from "../domain/Ids.ts"
import type { Unavailable } from "../domain/Problem.ts"

/** The public face of the identity bulkhead for every other one: who exists, and how to reach them. */
export class Users extends Context.Service<Users, {
  /** The account with this address, in any spelling. A disabled account is not found. */
  findByEmail(email: string): Effect.Effect<Option.Option<UserId>, Unavailable>
  /** Whether there is an account that is not disabled. */
  exists(userId: UserId): Effect.Effect<boolean, Unavailable>
  emailOf(userId: UserId): Effect.Effect<Option.Option<string>, Unavailable>
}>()("midnight/services/identity/Users") {}
