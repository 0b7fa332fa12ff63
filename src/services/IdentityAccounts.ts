import { Context, DateTime, Effect, Layer, Option, type Redacted } from "effect"
import type { InvalidCredentials, Session } from "../domain/Identity.ts"
import { type AccountExport, AccountNotEmpty, elsewhere } from "../domain/IdentityAccount.ts"
import type { Principal } from "../domain/Principal.ts"
import type { TooManyRequests, Unauthorized, Unavailable } from "../domain/Problem.ts"
import { withDatabase } from "./Database.ts"
import { Identity } from "./Identity.ts"
import { Credentials } from "./IdentityCredentials.ts"
import { SecurityEvents } from "./IdentityEvents.ts"
import { IdentityFailureStore } from "./IdentityFailureStore.ts"
import { accountKey } from "./IdentityLoginLimit.ts"
import { accountStands, Revocations, sessionEnded } from "./IdentityRevocations.ts"
import { IdentitySessionStore } from "./IdentitySessionStore.ts"
import { IdentityStore } from "./IdentityStore.ts"
import { IdentityTokenStore } from "./IdentityTokenStore.ts"
import { Rewards } from "./Rewards.ts"
import { Wallets } from "./Wallets.ts"
import { WebhookEndpoints } from "./WebhookEndpoints.ts"

/** The most of a list that an export carries. */
const most = 1_000

/** A person's right to know what is stored, and to have it erased. Stands above the bulkheads that it asks. */
export class Accounts extends Context.Service<Accounts, {
  export(principal: Principal): Effect.Effect<AccountExport, Unauthorized | Unavailable>
  /**
   * Erases what tells who the account was, for good. Its id stays, in the ledger, in the audit log and wherever else it was
   * written, and leads nowhere. Refused while there is money that nobody could reach any more.
   */
  erase(principal: Principal, password: Redacted.Redacted<string>, address: string): Effect.Effect<
    void,
    AccountNotEmpty | InvalidCredentials | TooManyRequests | Unauthorized | Unavailable
  >
}>()("midnight/services/identity/Accounts") {
  static readonly layer = Layer.effect(Accounts, Effect.suspend(() => make))
}

const make = Effect.gen(function*() {
  const store = yield* IdentityStore
  const sessions = yield* IdentitySessionStore
  const tokens = yield* IdentityTokenStore
  const failures = yield* IdentityFailureStore
  const identity = yield* Identity
  const credentials = yield* Credentials
  const events = yield* SecurityEvents
  const revocations = yield* Revocations
  const wallets = yield* Wallets
  const rewards = yield* Rewards
  const endpoints = yield* WebhookEndpoints

  const isEmpty = Effect.fnUntraced(function*({ userId }: Principal) {
    const full = (yield* wallets.list(userId)).filter(({ balance, held }) => balance !== 0n || held !== 0n)
    const currencies = full.map(({ currency }) => currency)
    if (full.length > 0) return yield* new AccountNotEmpty({ currencies, detail: "There is money in your wallets." })
    if (yield* rewards.isInvolved(userId)) {
      return yield* new AccountNotEmpty({ currencies, detail: "A campaign is not closed, or a reward is not decided." })
    }
  })

  return Accounts.of({
    export: Effect.fn("Accounts.export")(function*({ sessionId, userId }) {
      const user = yield* identity.me(userId)
      const now = yield* DateTime.now
      // Before the lists are read, so that it is in them.
      yield* withDatabase(events.record({ kind: "account_exported", userId, by: userId, sessionId }))
      const open = yield* withDatabase(sessions.sessions({ userId, before: Option.none(), limit: most }, now))
      const held = yield* wallets.list(userId)
      return {
        exportedAt: now,
        user,
        sessions: open.map((row): Session => ({ ...row, current: row.id === sessionId })),
        securityEvents: yield* events.page({ of: Option.some(userId), before: Option.none(), limit: most }),
        wallets: held.map((row) => ({ ...row, available: row.balance - row.held })),
        elsewhere
      }
    }),
    erase: Effect.fn("Accounts.erase")(function*(principal, password, address) {
      const { sessionId, userId } = principal
      const email = yield* credentials.prove(principal, password, address)
      // What arrives between this look and the commit stays in the ledger, under the id, for an administrator to return.
      yield* isEmpty(principal)
      // First: who is erased cannot ask again for what could not be done. Payouts have forgotten where they went when they ended.
      yield* endpoints.forget(userId)
      const now = yield* DateTime.now
      const [ended, id] = yield* withDatabase(store.transaction(Effect.gen(function*() {
        // First: a login that holds the account opens its session before this, or not at all.
        yield* store.erase(userId, now)
        const ended = yield* sessions.endSessionsOf(userId, "owner", Option.none(), now)
        yield* tokens.forget(userId)
        yield* failures.forget(accountKey(email))
        yield* events.record({ kind: "account_erased", userId, by: userId, sessionId })
        return [ended, yield* store.revocationOf(userId)] as const
      })))
      yield* revocations.note([...ended.map(sessionEnded), ...accountStands(userId, null, id)])
    })
  })
})
