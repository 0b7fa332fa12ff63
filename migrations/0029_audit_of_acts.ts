import { statements } from "./statements.ts"

/**
 * The audit log takes the acts of every bulkhead, each in the transaction of the act. A role may add rows of its own kinds and
 * no others, and none but identity may read any: whoever takes over one bulkhead can neither invent what another did nor see
 * what the log already has. The table's triggers keep what was written, also against the owner.
 */
const kinds = {
  midnight_payments: ["payout_approved", "payout_rejected", "webhook_replayed", "reconciliation_run"],
  midnight_rewards: [],
  midnight_video_api: [],
  midnight_webhooks: [
    "webhook_endpoint_created",
    "webhook_endpoint_changed",
    "webhook_endpoint_rotated",
    "webhook_endpoint_deleted"
  ]
}
const listed = (names: ReadonlyArray<string>) => names.map((name) => `'${name}'`).join(", ")

export const auditOfActs = statements([
  `ALTER TABLE identity.security_events
     ADD COLUMN subject text CHECK (length(subject) BETWEEN 1 AND 300),
     ADD COLUMN scope text CHECK (scope IN ('own', 'all'))`,
  `ALTER TABLE identity.security_events ENABLE ROW LEVEL SECURITY`,
  `CREATE POLICY reads ON identity.security_events FOR SELECT TO midnight_identity USING (true)`,
  // Whatever happens to accounts, of which later releases may know more kinds.
  `CREATE POLICY writes_identity ON identity.security_events FOR INSERT TO midnight_identity
     WITH CHECK (kind NOT IN (${listed(Object.values(kinds).flat())}))`,
  ...Object.entries(kinds).flatMap(([role, own]) => [
    `CREATE POLICY writes_${role.replace("midnight_", "")} ON identity.security_events FOR INSERT TO ${role}
       WITH CHECK (kind IN (${listed([...own, "dead_letter_requeued"])}))`,
    `GRANT USAGE ON SCHEMA identity TO ${role}`,
    `GRANT INSERT ON identity.security_events TO ${role}`
  ])
])
