import { type Expected, keeps, serves } from "./Expected.ts"

/** The indexes of the payments bulkhead. */
export const paymentIndexes: Readonly<Record<string, Readonly<Record<string, Expected>>>> = {
  "payments.disputes": {
    disputes_of_payment: serves("btree (payment_id)", "DisputeStore.isDisputed"),
    disputes_pkey: serves(
      "unique btree (id)",
      "DisputeStore.find DisputeStore.end DisputeStore.flag DisputeStore.settle DisputeStore.touch"
    ),
    disputes_provider_reference_key: serves(
      "unique btree (provider, reference)",
      "DisputeStore.insert DisputeStore.findByReference"
    ),
    disputes_unfinished: serves("btree (updated_at) WHERE (NOT settled)", "DisputeStore.unfinished")
  },
  "payments.payout_members": {
    payout_members_pkey: serves("unique btree (user_id)", "OutgoingStore.insertPayout")
  },
  "payments.outgoing": {
    outgoing_flagged: serves(
      "btree (kind, id DESC) WHERE ((flag IS NOT NULL) AND (flag_decision IS NULL))",
      "FlagStore.outgoings"
    ),
    outgoing_in_status: serves("btree (status, id DESC) WHERE (kind = 'payout'::text)", "OutgoingStore.inStatus"),
    outgoing_lately: serves("btree (user_id, created_at)", "OutgoingStore.insertPayout"),
    outgoing_of_payment: serves("btree (payment_id) WHERE (kind = 'refund'::text)", "OutgoingStore.refundsOf"),
    outgoing_of_user: serves(
      "btree (user_id, id DESC) WHERE ((kind = 'payout'::text) AND (status <> ALL (ARRAY['reserving'::text, 'refused'::text])))",
      "OutgoingStore.payouts"
    ),
    outgoing_pkey: serves(
      "unique btree (id)",
      "OutgoingStore.find OutgoingStore.insertRefund OutgoingStore.insertPayout OutgoingStore.admit OutgoingStore.refuse OutgoingStore.approve OutgoingStore.reject OutgoingStore.cancel OutgoingStore.turnAway OutgoingStore.begin OutgoingStore.giveBack OutgoingStore.recipient OutgoingStore.answer OutgoingStore.asked OutgoingStore.complete OutgoingStore.fail OutgoingStore.flag OutgoingStore.settle FlagStore.accept FlagStore.revive FlagStore.clear FlagStore.leave"
    ),
    outgoing_provider_kind_provider_reference_key: keeps(
      "unique btree (provider, kind, provider_reference)",
      "a provider's refund or payout is one of ours"
    ),
    outgoing_unfinished: serves(
      "btree (updated_at) WHERE ((NOT settled) AND (status <> 'pending_approval'::text) AND (flag IS NULL))",
      "OutgoingStore.stuck"
    )
  },
  "payments.payments": {
    payments_flagged: serves(
      "btree (id DESC) WHERE ((flag IS NOT NULL) AND (flag_decision IS NULL))",
      "FlagStore.charges"
    ),
    payments_of_user: serves("btree (user_id, id DESC)", "PaymentStore.list"),
    payments_open: serves(
      "btree (asked_at) WHERE ((status = ANY (ARRAY['requires_action'::text, 'processing'::text])) AND (flag IS NULL))",
      "PaymentStore.stuck"
    ),
    payments_pkey: serves(
      "unique btree (id)",
      "PaymentStore.insert PaymentStore.answer PaymentStore.move PaymentStore.succeed PaymentStore.flag PaymentStore.find PaymentStore.fee PaymentStore.disputed PaymentStore.asked OutgoingStore.insertRefund OutgoingStore.refuse OutgoingStore.complete OutgoingStore.fail FlagStore.acceptCharge FlagStore.endCharge FlagStore.revive"
    ),
    payments_provider_provider_reference_key: keeps(
      "unique btree (provider, provider_reference)",
      "a provider's charge is one payment's"
    ),
    payments_transfer_id_key: keeps("unique btree (transfer_id)", "a transfer credits one payment")
  },
  "payments.reconciliations": {
    reconciliations_pkey: serves("unique btree (id)", "ReconciliationStore.reports")
  },
  "payments.webhook_inbox": {
    webhook_inbox_newest: serves("btree (received_at, provider, event_id)", "ReconciliationStore.events"),
    webhook_inbox_pkey: serves("unique btree (provider, event_id)", "PaymentStore.receive ReconciliationStore.event")
  }
}
