import type { Effect } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import { bulkheads } from "./0001_bulkheads.ts"
import { ledger } from "./0002_ledger.ts"
import { queueTables } from "./0003_queues.ts"
import { identity } from "./0004_identity.ts"
import { payments } from "./0005_payments.ts"
import { video } from "./0006_video.ts"
import { rewards } from "./0007_rewards.ts"
import { chain } from "./0008_chain.ts"
import { locks } from "./0009_locks.ts"
import { fingerprintTables } from "./0010_fingerprints.ts"
import { review } from "./0011_review.ts"
import { uploads } from "./0012_uploads.ts"
import { pictures } from "./0013_pictures.ts"
import { identityAccounts } from "./0014_identity_accounts.ts"
import { securityEvents } from "./0015_security_events.ts"
import { ledgerBatches } from "./0016_ledger_batches.ts"
import { outgoing } from "./0019_outgoing.ts"
import { disputes } from "./0020_disputes.ts"
import { reconciliation } from "./0021_reconciliation.ts"
import { campaignSubmissions } from "./0023_campaign_submissions.ts"
import { webhooksOut } from "./0024_webhooks_out.ts"
import { chainCoversAll } from "./0025_chain_covers_all.ts"
import { ledgerSets } from "./0026_ledger_sets.ts"
import { whatWasBegun } from "./0027_what_was_begun.ts"
import { identityHardening } from "./0028_identity_hardening.ts"
import { auditOfActs } from "./0029_audit_of_acts.ts"
import { disputesDecided } from "./0030_disputes_decided.ts"
import { holdChanges } from "./0031_hold_changes.ts"
import { entriesOfAKind } from "./0032_entries_of_a_kind.ts"
import { videosInUse } from "./0033_videos_in_use.ts"
import { auditOfReviews } from "./0034_audit_of_reviews.ts"
import { flagsDecided } from "./0035_flags_decided.ts"
import { mailNotSent } from "./0036_mail_not_sent.ts"
import { followedWhenHeard } from "./0038_followed_when_heard.ts"

/** Forward only; a change of the schema is a new entry, never an edit of one that has been released. */
export const migrations: Record<string, Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient>> = {
  "0001_bulkheads": bulkheads,
  "0002_ledger": ledger,
  "0003_queues": queueTables,
  "0004_identity": identity,
  "0005_payments": payments,
  "0006_video": video,
  "0007_rewards": rewards,
  "0008_chain": chain,
  "0009_locks": locks,
  "0010_fingerprints": fingerprintTables,
  "0011_review": review,
  "0012_uploads": uploads,
  "0013_pictures": pictures,
  "0014_identity_accounts": identityAccounts,
  "0015_security_events": securityEvents,
  "0016_ledger_batches": ledgerBatches,
  "0019_outgoing": outgoing,
  "0020_disputes": disputes,
  "0021_reconciliation": reconciliation,
  "0023_campaign_submissions": campaignSubmissions,
  "0024_webhooks_out": webhooksOut,
  "0025_chain_covers_all": chainCoversAll,
  "0026_ledger_sets": ledgerSets,
  "0027_what_was_begun": whatWasBegun,
  "0028_identity_hardening": identityHardening,
  "0029_audit_of_acts": auditOfActs,
  "0030_disputes_decided": disputesDecided,
  "0031_hold_changes": holdChanges,
  "0032_entries_of_a_kind": entriesOfAKind,
  "0035_flags_decided": flagsDecided,
  "0036_mail_not_sent": mailNotSent,
  "0033_videos_in_use": videosInUse,
  "0034_audit_of_reviews": auditOfReviews,
  "0038_followed_when_heard": followedWhenHeard
}
