import { type Expected, keeps, serves } from "./Expected.ts"

/** The indexes of identity's tables. */
export const identityIndexes: Readonly<Record<string, Readonly<Record<string, Expected>>>> = {
  "identity.login_failures": {
    login_failures_account: serves(
      "btree (account, failed_at)",
      "IdentityFailureStore.place IdentityFailureStore.forget"
    ),
    login_failures_address: serves("btree (address, failed_at)", "IdentityFailureStore.place"),
    login_failures_pkey: serves(
      "unique btree (id)",
      "IdentityFailureStore.keep IdentityFailureStore.free IdentityStore.sweep"
    ),
    login_failures_time: serves("btree (failed_at)", "IdentityStore.sweep")
  },
  "identity.login_turns": {
    login_turns_pkey: serves("unique btree (slot)", "IdentityFailureStore.place")
  },
  "identity.one_time_tokens": {
    one_time_tokens_issued: serves("btree (issued_at)", "IdentityStore.sweep"),
    one_time_tokens_pkey: serves(
      "unique btree (hash)",
      "IdentityTokenStore.notSent IdentityTokenStore.holder IdentityTokenStore.use IdentityStore.sweep"
    ),
    one_time_tokens_user: serves(
      "btree (user_id, purpose, issued_at)",
      "IdentityTokenStore.issue IdentityTokenStore.useUp IdentityTokenStore.forget"
    )
  },
  "identity.refresh_tokens": {
    refresh_tokens_live: keeps(
      "unique btree (session_id) WHERE (used_at IS NULL)",
      "a session has one token that was not used yet"
    ),
    refresh_tokens_pkey: serves(
      "unique btree (hash)",
      "IdentitySessionStore.lockToken IdentitySessionStore.rotateToken"
    ),
    refresh_tokens_session: serves("btree (session_id)", "IdentityStore.sweep")
  },
  "identity.revocations": {
    revocations_at: serves("btree (at)", "IdentityRevocationStore.since IdentityStore.sweep"),
    revocations_pkey: serves("unique btree (id)", "IdentityStore.sweep"),
    revocations_xid: serves("btree (xid)", "IdentityRevocationStore.since IdentityStore.revocationOf")
  },
  "identity.security_events": {
    security_events_pkey: serves("unique btree (id)", "IdentityEventStore.page"),
    security_events_user: serves("btree (user_id, id DESC)", "IdentityEventStore.page")
  },
  "identity.sessions": {
    sessions_idle: serves("btree (idle_expires_at)", "IdentityStore.sweep"),
    sessions_of_user: serves(
      "btree (user_id, id DESC)",
      "IdentitySessionStore.sessions IdentitySessionStore.endSessionsOf"
    ),
    sessions_pkey: serves(
      "unique btree (id)",
      "IdentitySessionStore.insertSession IdentitySessionStore.lockToken IdentitySessionStore.rotateToken IdentityStore.sweep"
    )
  },
  "identity.users": {
    users_email_key: serves("unique btree (email)", "IdentityStore.insertUser IdentityStore.findByEmail"),
    users_pkey: serves(
      "unique btree (id)",
      "IdentityStore.findById IdentityStore.setDisplayName IdentityStore.setRoles IdentityStore.setPasswordHash IdentityStore.holdPassword IdentityStore.setEmailVerified IdentityStore.setDisabled IdentityStore.erase IdentityStore.list IdentitySessionStore.insertSession IdentitySessionStore.lockToken IdentityTokenStore.issue"
    )
  }
}
