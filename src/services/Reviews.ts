import { Context, Effect, Layer, Option, Schema } from "effect"
import { type CampaignId, SubmissionId, type UserId } from "../domain/Ids.ts"
import { cursorOf, cut, PositionInstant } from "../domain/Page.ts"
import type { Principal } from "../domain/Principal.ts"
import { type InvalidRequest, NotFound, type Unavailable } from "../domain/Problem.ts"
import {
  AlreadyDecided,
  type DecideSubmission,
  outcomeOf,
  OwnCampaign,
  OwnSubmission,
  type ReviewSubmission,
  reviewView
} from "../domain/Review.ts"
import { type CampaignSubmissions, type SubmissionStatus, view } from "../domain/Video.ts"
import { currentOrigin } from "./Commands.ts"
import { withDatabase } from "./Database.ts"
import { PictureUrls } from "./PictureUrls.ts"
import { type ReviewRow, ReviewStore } from "./ReviewStore.ts"
import { Rewards } from "./Rewards.ts"

const position = cursorOf(Schema.Struct({ at: PositionInstant, id: SubmissionId }))

const notFound = new NotFound({ detail: "There is no submission by that id." })
const noCampaign = new NotFound({ detail: "You have no campaign by that id." })

/** What people decide: what the worker was unsure of, and whatever else has no verdict yet. And what a sponsor sees of it. */
export class Reviews extends Context.Service<Reviews, {
  queue(query: {
    readonly status: SubmissionStatus
    readonly cursor: string | undefined
    readonly limit: number
  }): Effect.Effect<
    { readonly items: ReadonlyArray<ReviewSubmission>; readonly nextCursor: string | null },
    InvalidRequest | Unavailable
  >
  /**
   * The reviewer's verdict. Whoever comes first of reviewers and the worker decides, so a submission that still waits or is
   * being verified can be decided too: the worker then finds it done.
   */
  decide(
    id: SubmissionId,
    reviewer: Principal,
    request: DecideSubmission
  ): Effect.Effect<ReviewSubmission, NotFound | OwnSubmission | OwnCampaign | AlreadyDecided | Unavailable>
  /** What was submitted to a campaign, as its members see it and with its pictures, for its sponsor; the newest first. */
  ofCampaign(query: {
    readonly campaignId: CampaignId
    readonly sponsor: UserId
    readonly cursor: string | undefined
    readonly limit: number
  }): Effect.Effect<CampaignSubmissions, NotFound | InvalidRequest | Unavailable>
}>()("midnight/services/video/Reviews") {
  static readonly layer = Layer.effect(
    Reviews,
    Effect.gen(function*() {
      const store = yield* ReviewStore
      const pictures = yield* PictureUrls
      const rewards = yield* Rewards
      const shown = Effect.fnUntraced(function*(row: ReviewRow) {
        const submission = yield* Effect.mapError(Effect.fromOption(reviewView(row)), () => notFound)
        return { ...submission, ...(yield* pictures.of(row)) }
      })

      const queue: Reviews["Service"]["queue"] = Effect.fn("Reviews.queue")(function*(query) {
        const after = yield* position.decode(query.cursor)
        const rows = yield* withDatabase(store.queue(query.status, after, query.limit + 1))
        const page = yield* cut(rows, query.limit, (last) => position.encode({ at: last.position, id: last.id }))
        return { items: yield* Effect.orDie(Effect.forEach(page.items, shown)), nextCursor: page.nextCursor }
      })

      const decide: Reviews["Service"]["decide"] = Effect.fn("Reviews.decide")(function*(id, reviewer, request) {
        const outcome = outcomeOf[request.decision]
        yield* Effect.annotateCurrentSpan({
          "midnight.submission.id": id,
          "midnight.outcome": outcome,
          "midnight.reviewer.id": reviewer.userId
        })
        const before = yield* withDatabase(store.find(id))
        if (Option.isNone(before)) return yield* notFound
        if (before.value.userId === reviewer.userId) {
          return yield* new OwnSubmission({ detail: "Ask another reviewer.", submission_id: id })
        }
        const campaign = Option.getOrUndefined(before.value.campaignId)
        if (campaign !== undefined && (yield* rewards.sponsors(reviewer.userId, campaign))) {
          return yield* new OwnCampaign({
            detail: "Ask another reviewer.",
            submission_id: id,
            campaign_id: campaign
          })
        }
        const written = yield* withDatabase(
          store.decide(
            { submissionId: id, reviewerId: reviewer.userId, outcome, reasons: [request.reason] },
            { ...(yield* currentOrigin), submissionId: id }
          )
        )
        const after = yield* withDatabase(store.find(id))
        if (Option.isNone(after)) return yield* notFound
        if (!written) return yield* decidedBefore(after.value)
        yield* Effect.logInfo("A reviewer decided a submission", {
          submission_id: id,
          reviewer_id: reviewer.userId,
          outcome
        })
        return yield* shown(after.value)
      })

      const asMember = Effect.fnUntraced(function*(row: ReviewRow) {
        const submission = yield* Effect.mapError(Effect.fromOption(view(row)), () => notFound)
        return { ...submission, ...(yield* pictures.of(row)) }
      })

      const ofCampaign: Reviews["Service"]["ofCampaign"] = Effect.fn("Reviews.ofCampaign")(function*(query) {
        if (!(yield* rewards.sponsors(query.sponsor, query.campaignId))) return yield* noCampaign
        const before = yield* position.decode(query.cursor)
        const rows = yield* withDatabase(store.ofCampaign(query.campaignId, before, query.limit + 1))
        const page = yield* cut(rows, query.limit, (last) => position.encode({ at: last.position, id: last.id }))
        return { items: yield* Effect.orDie(Effect.forEach(page.items, asMember)), nextCursor: page.nextCursor }
      })

      return Reviews.of({ queue, decide, ofCampaign })
    })
  )
}

const decidedBefore = ({ decidedBy, id, status }: ReviewRow) =>
  (status === "approved" || status === "rejected") && Option.isSome(decidedBy)
    ? Effect.fail(
      new AlreadyDecided({
        detail: `It was ${status} before.`,
        submission_id: id,
        outcome: status,
        decided_by: decidedBy.value
      })
    )
    : Effect.die(new Error(`the decision on ${id} was not written, though it has no verdict`))
