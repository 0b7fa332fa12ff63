import type { PgConnection } from "@effect/sql-pg"
import { Effect } from "effect"
import { SecureRandom } from "effect/crypto"
import { Email } from "../../domain/Identity.ts"
import { CampaignId, PaymentId, SubmissionId, TransferId, UserId, VideoId } from "../../domain/Ids.ts"

const text = (value: unknown): string => typeof value === "string" ? value : String(value)

/**
 * Parameters as the application would send them, taken from the newest rows of the database. Where a table is empty they
 * are made up: a statement that finds nothing has its plan all the same.
 */
export const takeSamples = Effect.fnUntraced(function*(connection: PgConnection.PgConnection) {
  let madeUp = 0
  const one = Effect.fnUntraced(function*(query: string) {
    const [row] = yield* connection.queryValues(query)
    if (row === undefined) madeUp++
    return row
  })
  const id = (query: string) =>
    Effect.map(one(query), (row) => row === undefined ? SecureRandom.uuidV7Unsafe() : text(row[0]))

  const user = yield* one(`SELECT id, email FROM identity.users ORDER BY id DESC LIMIT 1`)
  const token = yield* one(
    `SELECT t.hash FROM identity.sessions s JOIN identity.refresh_tokens t ON t.session_id = s.id
      ORDER BY s.id DESC LIMIT 1`
  )
  const failure = yield* one(`SELECT account, address FROM identity.login_failures ORDER BY id DESC LIMIT 1`)
  // The wallet of the newest entry that is a member's.
  const wallet = yield* one(
    `SELECT a.owner FROM (SELECT transfer_id FROM wallet.transfers t JOIN wallet.entries e ON e.transfer_id = t.id
                           ORDER BY t.id DESC LIMIT 100) n
       JOIN wallet.entries e ON e.transfer_id = n.transfer_id
       JOIN wallet.accounts a ON a.id = e.account_id AND a.kind = 'wallet' LIMIT 1`
  )
  const bytes = (value: unknown, length: number) => value instanceof Uint8Array ? value : new Uint8Array(length)

  return {
    userId: UserId.make(user === undefined ? SecureRandom.uuidV7Unsafe() : text(user[0])),
    email: Email.make(user === undefined ? "nobody@example.com" : text(user[1])),
    tokenHash: bytes(token?.[0], 32),
    failure: {
      account: bytes(failure?.[0], 32),
      address: failure === undefined ? "192.0.2.1" : text(failure[1])
    },
    walletOwner: UserId.make(wallet === undefined ? SecureRandom.uuidV7Unsafe() : text(wallet[0])),
    transferId: TransferId.make(yield* id(`SELECT id FROM wallet.transfers ORDER BY id DESC LIMIT 1`)),
    paymentId: PaymentId.make(yield* id(`SELECT id FROM payments.payments ORDER BY id DESC LIMIT 1`)),
    payer: UserId.make(yield* id(`SELECT user_id FROM payments.payments ORDER BY id DESC LIMIT 1`)),
    campaignId: CampaignId.make(yield* id(`SELECT id FROM rewards.campaigns ORDER BY id DESC LIMIT 1`)),
    slotId: SubmissionId.make(yield* id(`SELECT submission_id FROM rewards.slots ORDER BY submission_id DESC LIMIT 1`)),
    submissionId: SubmissionId.make(yield* id(`SELECT id FROM video.submissions ORDER BY id DESC LIMIT 1`)),
    submitter: UserId.make(yield* id(`SELECT user_id FROM video.submissions ORDER BY id DESC LIMIT 1`)),
    videoId: VideoId.make(yield* id(`SELECT id FROM video.uploads ORDER BY id DESC LIMIT 1`)),
    /** How many of these tables had no row to take them from. */
    madeUp
  }
})

export type Samples = Effect.Success<ReturnType<typeof takeSamples>>
