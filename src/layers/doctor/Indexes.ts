import { type Expected, keeps, serves } from "./Expected.ts"
import { identityIndexes } from "./IndexesOfIdentity.ts"
import { paymentIndexes } from "./IndexesOfPayments.ts"

import { fingerprintIndexes } from "./IndexesOfFingerprints.ts"
import { webhookIndexes } from "./IndexesOfWebhooks.ts"

export type { Expected }

/** By table, then by name. */
export const expectedIndexes: Readonly<Record<string, Readonly<Record<string, Expected>>>> = {
  ...fingerprintIndexes,
  "idempotency.payments": {
    payments_pkey: serves(
      "unique btree (user_id, scope, key)",
      "PaymentsKeys.claim PaymentsKeys.answer PaymentsKeys.forget PaymentsKeys.leave"
    )
  },
  "idempotency.rewards": {
    rewards_pkey: serves(
      "unique btree (user_id, scope, key)",
      "RewardsKeys.claim RewardsKeys.answer RewardsKeys.forget RewardsKeys.leave"
    )
  },
  "idempotency.video": {
    video_pkey: serves(
      "unique btree (user_id, scope, key)",
      "VideoKeys.claim VideoKeys.answer VideoKeys.forget VideoKeys.leave"
    )
  },
  ...identityIndexes,
  ...paymentIndexes,
  ...webhookIndexes,
  "queue.mail_commands": {
    idx_mail_commands_id: serves("unique btree (id, queue_name)", "MailCommands MailQueue.requeue MailQueue.state"),
    idx_mail_commands_take: serves(
      "btree (queue_name, visible_at) WHERE ((state)::text = 'pending'::text)",
      "MailCommands"
    ),
    idx_mail_commands_update: serves("btree (sequence, acquired_by)", "MailCommands"),
    mail_commands_ended: serves("btree (state, updated_at, sequence)", "MailQueue.deadLetters MailQueue.standing"),
    mail_commands_pkey: keeps("unique btree (sequence)", "the queue's order; its library made it")
  },
  "queue.payment_commands": {
    idx_payment_commands_id: serves(
      "unique btree (id, queue_name)",
      "PaymentCommands PaymentQueue.requeue PaymentQueue.state"
    ),
    idx_payment_commands_take: serves(
      "btree (queue_name, visible_at) WHERE ((state)::text = 'pending'::text)",
      "PaymentCommands"
    ),
    idx_payment_commands_update: serves("btree (sequence, acquired_by)", "PaymentCommands"),
    payment_commands_ended: serves(
      "btree (state, updated_at, sequence)",
      "PaymentQueue.deadLetters PaymentQueue.standing"
    ),
    payment_commands_pkey: keeps("unique btree (sequence)", "the queue's order; its library made it")
  },
  "queue.requeues": {
    requeues_pkey: keeps("unique btree (id)", "a row for each time a dead letter was tried again")
  },
  "queue.settlement_commands": {
    idx_settlement_commands_id: serves(
      "unique btree (id, queue_name)",
      "VerificationStore.decide ReviewStore.decide SettlementCommands"
    ),
    idx_settlement_commands_take: serves(
      "btree (queue_name, visible_at) WHERE ((state)::text = 'pending'::text)",
      "SettlementCommands"
    ),
    idx_settlement_commands_update: serves("btree (sequence, acquired_by)", "SettlementCommands"),
    settlement_commands_ended: serves(
      "btree (state, updated_at, sequence)",
      "SettlementQueue.deadLetters SettlementQueue.standing"
    ),
    settlement_commands_pkey: keeps("unique btree (sequence)", "the queue's order; its library made it")
  },
  "queue.verification_commands": {
    idx_verification_commands_id: serves(
      "unique btree (id, queue_name)",
      "VideoStore.addSubmission VideoStore.enqueue VerificationCommands VerificationQueue.requeue VerificationQueue.state"
    ),
    idx_verification_commands_take: serves(
      "btree (queue_name, visible_at) WHERE ((state)::text = 'pending'::text)",
      "VerificationStore.takeOver VerificationCommands"
    ),
    idx_verification_commands_update: serves("btree (sequence, acquired_by)", "VerificationCommands"),
    verification_commands_ended: serves(
      "btree (state, updated_at, sequence)",
      "VerificationQueue.deadLetters VerificationQueue.standing"
    ),
    verification_commands_pkey: keeps("unique btree (sequence)", "the queue's order; its library made it")
  },
  "rewards.campaigns": {
    campaigns_escrow: serves(
      "btree (escrow_seen_at) WHERE ((status = 'closed'::text) AND (NOT escrow_emptied))",
      "CampaignEscrowStore.closed"
    ),
    campaigns_listed: serves("btree (created_at DESC, id DESC)", "RewardStore.list"),
    campaigns_open: serves("btree (sponsor_id) WHERE (status <> 'closed'::text)", "RewardStore.isInvolved"),
    campaigns_pkey: serves(
      "unique btree (id)",
      "RewardStore.find RewardStore.setStatus RewardStore.edit RewardStore.intend CampaignEscrowStore.closed CampaignEscrowStore.emptied"
    ),
    campaigns_search: serves("gin (search)", "RewardStore.list")
  },
  "rewards.slots": {
    slots_member: serves(
      "btree (campaign_id, user_id) WHERE (status <> 'released'::text)",
      "RewardStore.intend RewardStore.taken"
    ),
    slots_pending: serves(
      "btree (user_id) WHERE (status = ANY (ARRAY['reserving'::text, 'reserved'::text]))",
      "RewardStore.isInvolved"
    ),
    slots_pkey: serves(
      "unique btree (submission_id)",
      "RewardStore.intend RewardStore.slot RewardStore.keep RewardStore.claim RewardStore.released RewardStore.paid"
    ),
    slots_unfinished: serves(
      "btree (updated_at) WHERE (status = ANY (ARRAY['reserving'::text, 'releasing'::text]))",
      "RewardStore.claimUnfinished"
    )
  },
  "video.heartbeats": {
    heartbeats_pkey: serves("unique btree (process_id)", "VerificationStore.takeOver VerificationStore.beat")
  },
  "video.submissions": {
    submissions_in_review: serves(
      "btree (status, created_at, id) WHERE (status <> 'reserving'::text)",
      "ReviewStore.queue"
    ),
    submissions_of_campaign: serves(
      "btree (campaign_id, created_at DESC, id DESC) WHERE (status <> 'reserving'::text)",
      "ReviewStore.ofCampaign"
    ),
    submissions_of_user: serves(
      "btree (user_id, created_at DESC, id DESC) WHERE (status <> 'reserving'::text)",
      "VideoStore.page"
    ),
    submissions_pkey: serves(
      "unique btree (id)",
      "VideoStore.submission VideoStore.addSubmission VerificationStore.decide ReviewStore.find ReviewStore.decide ReviewStore.verdict"
    ),
    submissions_reserving: serves(
      "btree (created_at) WHERE (status = 'reserving'::text)",
      "VideoStore.stuckReservations"
    ),
    submissions_unjudged: serves(
      "btree (id) WHERE (status = ANY (ARRAY['queued'::text, 'verifying'::text]))",
      "VerificationStore.failDeadLetters"
    ),
    submissions_verifying: serves("btree (worker_id) WHERE (status = 'verifying'::text)", "VerificationStore.takeOver"),
    submissions_video_id_campaign_id_key: serves(
      "unique btree (video_id, campaign_id) NULLS NOT DISTINCT",
      "VideoStore.addSubmission"
    ),
    submissions_waiting: serves(
      "btree (id) WHERE (status = ANY (ARRAY['reserving'::text, 'queued'::text]))",
      "VideoStore.queueIsFull"
    )
  },
  "video.uploads": {
    uploads_abandoned: serves("btree (expires_at) WHERE (status = 'pending'::text)", "UploadStore.forget"),
    uploads_kept: serves(
      "btree (completed_at) WHERE ((status = 'complete'::text) AND (removed_at IS NULL))",
      "UploadStore.retire"
    ),
    uploads_pkey: serves(
      "unique btree (id)",
      "VideoStore.uploadStatus VideoStore.addSubmission VideoStore.enqueue UploadStore.find UploadStore.among UploadStore.begin UploadStore.complete UploadStore.cancel UploadStore.forget UploadStore.retire VerificationStore.begin VerificationStore.decide VerificationStore.fail"
    ),
    uploads_stored: serves("btree (user_id) INCLUDE (bytes) WHERE (removed_at IS NULL)", "VideoStore.addUpload"),
    uploads_unfinished: serves(
      "btree (user_id, COALESCE(resumable_until, expires_at)) WHERE (status = 'pending'::text)",
      "VideoStore.addUpload"
    )
  },
  "wallet.accounts": {
    accounts_kind_owner_currency_key: serves(
      "unique btree (kind, owner, currency)",
      "LedgerStore.post LedgerStore.wallets LedgerStore.accounts LedgerStore.transfer LedgerHistoryStore.entries LedgerHistoryStore.standing"
    ),
    accounts_pkey: serves("unique btree (id)", "LedgerStore.post LedgerHistoryStore.acts LedgerHistoryStore.act")
  },
  "wallet.chain": {
    chain_hash_key: keeps("unique btree (hash)", "no two links are alike"),
    chain_last_seq_key: keeps("unique btree (last_seq)", "a transfer is in one link"),
    chain_pkey: serves("unique btree (n)", "LedgerStore.chain")
  },
  "wallet.entries": {
    entries_of_kind: serves(
      "btree (account_id, kind, created_at, seq) WHERE (kind IS NOT NULL)",
      "LedgerHistoryStore.entries"
    ),
    entries_pkey: serves(
      "unique btree (account_id, created_at, seq)",
      "LedgerHistoryStore.entries LedgerHistoryStore.standing"
    ),
    entries_transfer: serves(
      "btree (transfer_id)",
      "LedgerStore.post LedgerStore.chain LedgerStore.transfer LedgerHistoryStore.acts LedgerHistoryStore.act"
    )
  },
  "wallet.hold_changes": {
    hold_changes_pkey: serves(
      "unique btree (account_id, at, seq)",
      "LedgerStore.post LedgerHistoryStore.standing"
    )
  },
  "wallet.holds": {
    holds_expiring: serves(
      "btree (expires_at) WHERE ((status = 'open'::text) AND (expires_at IS NOT NULL))",
      "LedgerStore.expireHolds"
    ),
    holds_key_key: serves("unique btree (key)", "LedgerStore.post"),
    holds_open: keeps(
      "btree (account_id) WHERE (status = 'open'::text)",
      "what an account holds is the sum of its open holds: servers look for it account by account"
    ),
    holds_pkey: serves("unique btree (id)", "LedgerStore.post")
  },
  "wallet.transfers": {
    transfers_administered: serves(
      "btree (seq DESC) WHERE (kind = ANY (ARRAY['adjustment'::text, 'reversal'::text]))",
      "LedgerHistoryStore.acts"
    ),
    transfers_key_key: serves("unique btree (key)", "LedgerStore.post"),
    transfers_pkey: serves(
      "unique btree (id)",
      "LedgerStore.post LedgerStore.transfer LedgerHistoryStore.entries LedgerHistoryStore.act"
    ),
    transfers_reversals: serves("btree (reverses) WHERE (reverses IS NOT NULL)", "LedgerStore.post"),
    transfers_seq_key: serves("unique btree (seq)", "LedgerStore.chain")
  }
}
