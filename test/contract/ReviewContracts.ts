import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { randomUUID } from "node:crypto"
import { SubmissionId } from "../../src/domain/Ids.ts"
import { ApiTest, as, eventually, keyed, register } from "../layers/ApiTest.ts"
import { unsureLetter } from "./RouteContract.ts"
import type { Contracts } from "./RouteContract.ts"
import { submission, uploaded } from "./VideoContracts.ts"
import { wrongPage } from "./WalletContracts.ts"

const shape = [...submission.map((name) => name.replace("reward?", "reward")), "userId", "decidedAt", "seenBefore"]
const reason = "The dark part is the night sky."

/** A submission that the worker was unsure of, and a reviewer. */
const waiting = Effect.gen(function*() {
  const { client } = yield* ApiTest
  const member = yield* register()
  const videoId = yield* uploaded(member, unsureLetter())
  const { body: { id } } = yield* client.video.verify({ payload: { videoId } }).pipe(keyed, as(member))
  const seen = client.video.submission({ params: { id } }).pipe(as(member))
  yield* eventually(seen, ({ status }) => status === "needs_review")
  return { id, member, reviewer: yield* register("reviewer") }
})

export const reviewContracts: Contracts = {
  "GET /api/review/submissions": {
    status: 200,
    signedIn: true,
    keyed: false,
    role: "reviewer",
    shape: { "": ["items", "nextCursor"], "items.0": shape, "items.0.verdict": ["outcome", "reasons", "by"] },
    attempt: Effect.map(waiting, ({ reviewer: { token } }) => ({ path: "/api/review/submissions", token })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { id, member, reviewer } = yield* waiting
      const { items } = yield* client.review.queue({ query: { limit: 100 } }).pipe(as(reviewer))
      const mine = items.filter((one) => one.id === id)
      assert.deepStrictEqual(mine.map(({ status, userId }) => [status, userId]), [["needs_review", member.id]])
      const approved = yield* client.review.queue({ query: { status: "approved" } }).pipe(as(reviewer))
      assert.isTrue(approved.items.every(({ status }) => status === "approved"))
    }),
    wrongQuery: [...wrongPage, ["status=lost", "/query/status"], ["status=reserving", "/query/status"]]
  },
  "POST /api/review/submissions/:id/decision": {
    status: 200,
    signedIn: true,
    keyed: false,
    role: "reviewer",
    shape: { "": shape, "verdict": ["outcome", "reasons", "by"] },
    attempt: Effect.map(waiting, ({ id, reviewer: { token } }) => ({
      path: `/api/review/submissions/${id}/decision`,
      token,
      body: { decision: "reject", reason }
    })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { id, member, reviewer } = yield* waiting
      const decide = (id: SubmissionId, decision: "approve" | "reject") =>
        client.review.decide({ params: { id }, payload: { decision, reason } }).pipe(as(reviewer))
      const done = yield* decide(id, "approve")
      assert.deepStrictEqual(done.verdict, { outcome: "approved", reasons: [reason], by: reviewer.id })
      const again = yield* Effect.flip(decide(id, "reject"))
      assert.deepInclude(again, { _tag: "AlreadyDecided", outcome: "approved", decided_by: reviewer.id })
      assert.strictEqual((yield* Effect.flip(decide(SubmissionId.make(randomUUID()), "reject")))._tag, "NotFound")
      const told = yield* client.video.submission({ params: { id } }).pipe(as(member))
      assert.deepStrictEqual(told.verdict, done.verdict)
      const videoId = yield* uploaded(reviewer, unsureLetter())
      const mine = yield* client.video.verify({ payload: { videoId } }).pipe(keyed, as(reviewer))
      assert.strictEqual((yield* Effect.flip(decide(mine.body.id, "approve")))._tag, "OwnSubmission")
    }),
    wrong: [
      [{ decision: "maybe" }, "/body/decision"],
      [{ reason: "" }, "/body/reason"],
      [{ reason: "  " }, "/body/reason"],
      [{ reason: "x".repeat(1_001) }, "/body/reason"],
      [{ by: randomUUID() }, "/body/by"]
    ]
  }
}
