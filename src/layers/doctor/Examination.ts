import { Cause, Clock, Context, DateTime, Effect, Exit, Layer, Option } from "effect"
import { SqlClient } from "effect/sql"
import { PaymentId, SubmissionId, VideoId } from "../../domain/Ids.ts"
import { CampaignEscrowStore } from "../../services/CampaignEscrowStore.ts"
import * as Commands from "../../services/Commands.ts"
import * as Queues from "../../services/CommandStore.ts"
import { DisputeStore } from "../../services/DisputeStore.ts"
import { FingerprintStore } from "../../services/FingerprintStore.ts"
import { FlagStore } from "../../services/FlagStore.ts"
import {
  PaymentsKeys,
  paymentsKeys,
  RewardsKeys,
  rewardsKeys,
  VideoKeys,
  videoKeys
} from "../../services/IdempotencyStore.ts"
import { IdentityEventStore } from "../../services/IdentityEventStore.ts"
import { IdentityFailureStore } from "../../services/IdentityFailureStore.ts"
import { IdentityPeerStore } from "../../services/IdentityPeerStore.ts"
import { IdentityRevocationStore } from "../../services/IdentityRevocationStore.ts"
import { IdentitySessionStore } from "../../services/IdentitySessionStore.ts"
import { IdentityStore } from "../../services/IdentityStore.ts"
import { IdentityTokenStore } from "../../services/IdentityTokenStore.ts"
import { LedgerHistoryStore } from "../../services/LedgerHistoryStore.ts"
import { LedgerStore } from "../../services/LedgerStore.ts"
import { OutgoingStore } from "../../services/OutgoingStore.ts"
import { PaymentStore } from "../../services/PaymentStore.ts"
import { ReconciliationStore } from "../../services/ReconciliationStore.ts"
import { ReviewStore } from "../../services/ReviewStore.ts"
import { RewardStore } from "../../services/RewardStore.ts"
import { UploadStore } from "../../services/UploadStore.ts"
import { VerificationStore } from "../../services/VerificationStore.ts"
import { VideoStore } from "../../services/VideoStore.ts"
import { WebhookDeliveryStore } from "../../services/WebhookDeliveryStore.ts"
import { WebhookEndpointStore } from "../../services/WebhookEndpointStore.ts"
import { WebhookLogStore, WebhookQueue, webhookQueue } from "../../services/WebhookLogStore.ts"
import type { NamedQuery } from "./NamedQuery.ts"
import { fingerprintQueries } from "./QueriesOfFingerprints.ts"
import { identityQueries } from "./QueriesOfIdentity.ts"
import { historyQueries, keyQueries, ledgerQueries, paymentQueries } from "./QueriesOfMoney.ts"
import { moneyOutQueries } from "./QueriesOfMoneyOut.ts"
import { purged, queueQueries, queueUse, worked } from "./QueriesOfQueues.ts"
import { reviewQueries } from "./QueriesOfReview.ts"
import { rewardQueries } from "./QueriesOfRewards.ts"
import { videoQueries } from "./QueriesOfVideo.ts"
import { webhookQueries } from "./QueriesOfWebhooks.ts"
import { makeRecorder, type Recorded, type Recorder } from "./Recorder.ts"
import { takeSamples } from "./Samples.ts"

/** What one named query sent, in one of the two examinations. */
export interface Examined {
  readonly name: string
  readonly statements: ReadonlyArray<Recorded>
  /** Why it could not be examined to its end. */
  readonly failure: string | undefined
}

const storesOn = (client: Layer.Layer<SqlClient.SqlClient>) =>
  Layer.mergeAll(
    IdentityStore.layer,
    IdentitySessionStore.layer,
    IdentityTokenStore.layer,
    IdentityFailureStore.layer,
    IdentityEventStore.layer,
    IdentityRevocationStore.layer,
    IdentityPeerStore.layer,
    LedgerStore.layer,
    LedgerHistoryStore.layer,
    PaymentStore.layer,
    OutgoingStore.layer,
    DisputeStore.layer,
    FlagStore.layer,
    ReconciliationStore.layer,
    RewardStore.layer,
    CampaignEscrowStore.layer,
    VideoStore.layer.pipe(Layer.provide(Commands.verificationCommands())),
    UploadStore.layer,
    VerificationStore.layer.pipe(Layer.provide(Commands.settlementCommands())),
    FingerprintStore.layer,
    ReviewStore.layer.pipe(Layer.provide(Commands.settlementCommands())),
    Queues.paymentQueue(),
    Queues.settlementQueue(),
    Queues.verificationQueue(),
    Queues.mailQueue(),
    WebhookEndpointStore.layer,
    WebhookDeliveryStore.layer,
    WebhookLogStore.layer,
    webhookQueue(),
    paymentsKeys(),
    rewardsKeys(),
    videoKeys()
  ).pipe(Layer.provide(client))

/** The three queues, each opened for the length of one use. */
const queuesOn = (client: Layer.Layer<SqlClient.SqlClient>): ReadonlyArray<NamedQuery> => {
  const nobody = "00000000-0000-7000-8000-000000000000"
  const origin = { requestId: "doctor", traceparent: Option.none<string>() }
  const submissionId = SubmissionId.make(nobody)
  const payment: typeof Commands.PaymentCommand.Type = { ...origin, paymentId: PaymentId.make(nobody) }
  const verify: typeof Commands.VerifyCommand.Type = { ...origin, submissionId, videoId: VideoId.make(nobody) }
  const settle: typeof Commands.SettleCommand.Type = {
    ...origin,
    submissionId
  }
  const mail: typeof Commands.MailCommand.Type = { ...origin, kind: "verify_email", userId: Option.none() }
  const opened = <I, Q, E>(
    queue: Context.Key<I, Q>,
    layer: Layer.Layer<I, E, SqlClient.SqlClient>,
    use: (queue: Q) => Effect.Effect<unknown, unknown>
  ) =>
    Layer.build(Layer.provide(layer, client)).pipe(
      Effect.flatMap((built) => use(Context.get(built, queue))),
      Effect.scoped
    )
  return [
    queueUse(
      "PaymentCommands",
      opened(Commands.PaymentCommands, Commands.paymentCommands(), worked<typeof Commands.PaymentCommand.Type>(payment))
    ),
    queueUse(
      "VerificationCommands",
      opened(Commands.VerificationCommands, Commands.verificationCommands(), worked(verify))
    ),
    queueUse("MailCommands", opened(Commands.MailCommands, Commands.mailCommands(), worked(mail))),
    queueUse("SettlementCommands", opened(Commands.SettlementCommands, Commands.settlementCommands(), worked(settle))),
    ...(["payment_commands", "settlement_commands", "verification_commands", "mail_commands"] as const).map((table) =>
      queueUse(`purge ${table}`, Effect.provide(purged(table), client))
    )
  ]
}

const queriesOf = Effect.fnUntraced(function*(recorder: Recorder) {
  const client = Layer.succeed(SqlClient.SqlClient, recorder.client)
  const real = yield* takeSamples(recorder.connection)
  // The queues' stores look for their migrations when they are built.
  const stores = yield* recorder.undone(Layer.build(storesOn(client)))
  const now = DateTime.makeUnsafe(yield* Clock.currentTimeMillis)
  const queries: ReadonlyArray<NamedQuery> = [
    ...(yield* identityQueries({
      accounts: Context.get(stores, IdentityStore),
      sessions: Context.get(stores, IdentitySessionStore),
      tokens: Context.get(stores, IdentityTokenStore),
      failures: Context.get(stores, IdentityFailureStore),
      events: Context.get(stores, IdentityEventStore),
      revocations: Context.get(stores, IdentityRevocationStore),
      peers: Context.get(stores, IdentityPeerStore)
    }, real)),
    ...ledgerQueries(Context.get(stores, LedgerStore), real),
    ...historyQueries(Context.get(stores, LedgerHistoryStore), real, now),
    ...(yield* paymentQueries(Context.get(stores, PaymentStore), real)),
    ...moneyOutQueries(
      {
        payments: Context.get(stores, PaymentStore),
        outgoing: Context.get(stores, OutgoingStore),
        disputes: Context.get(stores, DisputeStore),
        flags: Context.get(stores, FlagStore),
        reconciliation: Context.get(stores, ReconciliationStore)
      },
      real,
      now
    ),
    ...rewardQueries(Context.get(stores, RewardStore), Context.get(stores, CampaignEscrowStore), real, now),
    ...videoQueries(
      Context.get(stores, VideoStore),
      Context.get(stores, VerificationStore),
      Context.get(stores, UploadStore),
      real,
      now
    ),
    ...fingerprintQueries(
      Context.get(stores, FingerprintStore),
      Context.get(stores, VideoStore),
      Context.get(stores, UploadStore),
      now
    ),
    ...reviewQueries(Context.get(stores, ReviewStore), Context.get(stores, VideoStore), real, now),
    ...queueQueries("PaymentQueue", Context.get(stores, Queues.PaymentQueue), recorder.connection),
    ...queueQueries("SettlementQueue", Context.get(stores, Queues.SettlementQueue), recorder.connection),
    ...queueQueries("VerificationQueue", Context.get(stores, Queues.VerificationQueue), recorder.connection),
    ...queueQueries("MailQueue", Context.get(stores, Queues.MailQueue), recorder.connection),
    ...webhookQueries(
      {
        endpoints: Context.get(stores, WebhookEndpointStore),
        deliveries: Context.get(stores, WebhookDeliveryStore),
        log: Context.get(stores, WebhookLogStore),
        queue: Context.get(stores, WebhookQueue),
        ledger: Context.get(stores, LedgerStore)
      },
      recorder.connection,
      now
    ),
    ...keyQueries("PaymentsKeys", Context.get(stores, PaymentsKeys)),
    ...keyQueries("RewardsKeys", Context.get(stores, RewardsKeys)),
    ...keyQueries("VideoKeys", Context.get(stores, VideoKeys)),
    ...queuesOn(client)
  ]
  return { queries, madeUp: real.madeUp }
})

const examineOne = Effect.fnUntraced(function*(recorder: Recorder, { calls, name }: NamedQuery) {
  const statements: Array<Recorded> = []
  let failure: string | undefined
  for (const { given, run } of calls) {
    const exit = yield* recorder.undone(Effect.gen(function*() {
      yield* given
      const done = yield* recorder.record(run)
      statements.push(...done.statements.filter(({ sql }) => !/_migrations\b/.test(sql)))
      return yield* done.exit
    })).pipe(Effect.exit)
    if (Exit.isFailure(exit)) failure = Cause.prettyErrors(exit.cause)[0]?.message ?? "unknown"
  }
  const examined: Examined = { name, statements, failure }
  return examined
})

/**
 * Runs every named query twice, and undoes it. The first time PostgreSQL plans as it does for the application, under
 * EXPLAIN ANALYZE: that tells what is slow today. The second time it may not scan a table that it can read by an index:
 * that tells what lacks an index, however few rows there are. `wanted` chooses among the queries; all by default.
 */
export const examineAll = Effect.fnUntraced(function*(wanted: (query: string) => boolean = () => true) {
  const examine = (analyze: boolean, settings: Readonly<Record<string, string>>) =>
    Effect.scoped(Effect.gen(function*() {
      const recorder = yield* makeRecorder({ analyze, settings })
      const { madeUp, queries } = yield* queriesOf(recorder)
      const examined = yield* Effect.forEach(
        queries.filter(({ name }) => wanted(name)),
        (query) => examineOne(recorder, query)
      )
      return { examined, madeUp }
    }))
  const today = yield* examine(true, {})
  const unscanned = yield* examine(false, {
    enable_seqscan: "off",
    enable_hashjoin: "off",
    enable_mergejoin: "off"
  })
  return { today: today.examined, unscanned: unscanned.examined, madeUp: today.madeUp }
})
