import { PgConnection } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { Effect, Option } from "effect"
import { Rewards } from "../../src/services/Rewards.ts"
import { VerificationStore } from "../../src/services/VerificationStore.ts"
import { countOf, eventually } from "../layers/ApiTest.ts"
import { PgTest } from "../layers/PgTest.ts"
import { balanceOf, openCampaign, person, reward, RewardsBench, submitted } from "../layers/RewardsBench.ts"
import { asRole } from "../layers/VideoBench.ts"

const inOneTransaction = Effect.fnUntraced(function*(role: string, statements: ReadonlyArray<string>) {
  const connection = yield* PgConnection.make({ url: (yield* PgTest).urlFor(role) })
  for (const statement of ["BEGIN", ...statements, "COMMIT"]) yield* connection.queryValues(statement, [])
}, Effect.scoped)

/** The database says no, and says why. */
const isRefused = Effect.fnUntraced(function*(statement: string, why: string, role = "video_worker") {
  const error = yield* Effect.flip(asRole(role, statement))
  assert.include(String(error.reason.cause), why, statement)
})

const settle = (id: string, columns = "", values = "") =>
  `INSERT INTO queue.settlement_commands
     (id, queue_name, element, state, attempts, visible_at, created_at, updated_at${columns})
   VALUES ('${id}', 'settlement_commands', '{"requestId":"x","traceparent":null,"submissionId":"${id}"}', 'pending', 0,
     now(), now(), now()${values})`
const decides = (id: string, by = "worker") =>
  `UPDATE video.submissions SET status = 'approved', verdict = 'approved', decided_at = now(), decided_by = '${by}'
   WHERE id = '${id}'`

/** A submission with a slot, in a state that the worker's own code brought it to. */
const inState = Effect.fnUntraced(function*(state: "queued" | "verifying" | "needs_review") {
  const store = yield* VerificationStore
  const member = yield* person()
  const { id: campaignId } = yield* openCampaign(1)
  const { id } = yield* submitted(campaignId, member.userId)
  if (state !== "queued") yield* store.begin(id, 1)
  if (state === "needs_review") {
    yield* store.decide(
      { submissionId: id, outcome: "needs_review", checks: [], reasons: [], hasPictures: false },
      Option.none()
    )
  }
  return { id, userId: member.userId }
})

layer(RewardsBench(), { timeout: "60 seconds", excludeTestServices: true })(
  "a video process that was taken over",
  (it) => {
    it.effect("cannot ask the money side to settle what has no verdict", () =>
      Effect.gen(function*() {
        for (const state of ["queued", "verifying", "needs_review"] as const) {
          const { id } = yield* inState(state)
          yield* isRefused(settle(id), "a settlement is of a verdict")
        }
      }))

    it.effect("would not be believed if it could: the money side asks for the verdict itself", () =>
      Effect.gen(function*() {
        const { id, userId } = yield* inState("needs_review")
        const rewards = yield* Rewards
        const forged = rewards.settle({ requestId: "forged", traceparent: Option.none(), submissionId: id })
        assert.deepInclude(yield* Effect.flip(forged), { _tag: "VerdictMissing", submissionId: id })
        assert.strictEqual(yield* balanceOf(userId), 0)
        assert.strictEqual(
          yield* countOf(`SELECT count(*) FROM rewards.slots WHERE submission_id = '${id}'
        AND status = 'reserved'`),
          1
        )
      }))

    it.effect("cannot decide what waits for a person, for a slot or for its own verification", () =>
      Effect.gen(function*() {
        const nothingElse = "the worker decides what it verifies, and nothing else"
        yield* isRefused(decides((yield* inState("needs_review")).id), nothingElse)
        yield* isRefused(decides((yield* inState("queued")).id), nothingElse)
        const { id } = yield* inState("queued")
        yield* asRole(
          "owner",
          `UPDATE video.submissions SET status = 'reserving', reward_amount = NULL,
        reward_currency = NULL WHERE id = '${id}'`
        )
        yield* isRefused(`UPDATE video.submissions SET status = 'verifying' WHERE id = '${id}'`, nothingElse)
      }))

    it.effect("cannot decide in the name of a reviewer, nor the API in the worker's", () =>
      Effect.gen(function*() {
        const { id } = yield* inState("verifying")
        const reviewer = yield* person("reviewer")
        yield* isRefused(decides(id, reviewer.userId), "the worker decides in its own name")
        yield* isRefused(decides(id, "nobody"), "the worker decides in its own name")
        yield* isRefused(decides(id), "only the worker decides in the name of the worker", "video_api")
      }))

    it.effect("cannot keep a verdict from being settled", () =>
      Effect.gen(function*() {
        const { id, userId } = yield* inState("verifying")
        yield* isRefused(decides(id), "a verdict comes with its settlement")
        const status = `SELECT status FROM video.submissions WHERE id = '${id}'`
        assert.deepStrictEqual(yield* asRole("owner", status), [["verifying"]])
        // Done already, given up, taken by somebody and due at the end of time: none of it stays.
        const hidden = settle(id, ", acquired_at, acquired_by", ", 'infinity', gen_random_uuid()")
          .replace("'pending', 0,\n     now()", "'completed', 99,\n     'infinity'")
        assert.include(hidden, "'completed', 99,\n     'infinity'")
        yield* inOneTransaction("video_worker", [decides(id), hidden])
        yield* eventually(balanceOf(userId), (balance) => balance === reward)
      }))

    it.effect("cannot redirect a reward, nor take what was decided back, nor read or work the settlements", () =>
      Effect.gen(function*() {
        const { id } = yield* inState("verifying")
        for (
          const statement of [
            `UPDATE video.submissions SET user_id = gen_random_uuid() WHERE id = '${id}'`,
            `UPDATE video.submissions SET campaign_id = gen_random_uuid() WHERE id = '${id}'`,
            `UPDATE video.submissions SET reward_amount = 1 WHERE id = '${id}'`,
            `UPDATE video.submissions SET rules = '{}' WHERE id = '${id}'`,
            "UPDATE queue.settlement_commands SET state = 'completed'",
            "DELETE FROM queue.settlement_commands",
            "INSERT INTO queue.requeues (queue_name, command_id, requeued_by) VALUES ('a', 'b', 'c')",
            "SELECT 1 FROM rewards.slots",
            "SELECT 1 FROM wallet.accounts"
          ]
        ) yield* isRefused(statement, "permission denied")
      }))
  }
)
