import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { OperationId, OutgoingId, UserId } from "../../src/domain/Ids.ts"
import { newId } from "../../src/services/NewId.ts"
import { Outgoings } from "../../src/services/Outgoings.ts"
import { Payouts } from "../../src/services/Payouts.ts"
import { Reconciliation } from "../../src/services/Reconciliation.ts"
import {
  bank,
  cancel,
  fails,
  paid,
  payout,
  payoutOf,
  posted,
  untilPayout,
  untilPosted,
  untilWallet,
  waits,
  wallet
} from "../layers/MoneyOut.ts"
import { owner, PaymentsBench } from "../layers/PaymentsBench.ts"
import { Sandbox, sandboxSecrets } from "../layers/sandbox.ts"

const settleThere = Effect.fnUntraced(function*(id: string, outcome: "pay" | "fail") {
  const { base } = yield* Sandbox
  const [row] = yield* owner(`SELECT provider_reference FROM payments.outgoing WHERE id = $1`, [id])
  return yield* Effect.promise(() =>
    fetch(`${base}/v1/payouts/${row?.[0]}/settle`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        authorization: `Bearer ${sandboxSecrets.SANDBOX_SECRET_KEY}`
      },
      body: JSON.stringify({ outcome })
    }).then(({ status }) => status)
  )
})
const begun = (id: string) =>
  owner(`SELECT provider_reference FROM payments.outgoing WHERE id = $1`, [id]).pipe(
    Effect.delay("20 millis"),
    Effect.repeat({ until: (rows) => rows[0]?.[0] !== null }),
    Effect.timeout("20 seconds")
  )
const work = (id: string) => Effect.flatMap(Outgoings, (outgoings) => outgoings.work(OutgoingId.make(id)))

layer(PaymentsBench, { timeout: "60 seconds", excludeTestServices: true })("a payout", (it) => {
  it.effect("holds the money at once, and takes it when the provider has paid", () =>
    Effect.gen(function*() {
      const user = yield* newId(UserId)
      yield* paid(user)
      const made = yield* payout(user, 1_000)
      assert.deepInclude(made, { status: "processing", destination: { type: "bank", last4: "1234" } })
      yield* untilPayout(user, made.id, "paid")
      yield* untilWallet(user, 1_500, 0)
      assert.strictEqual(yield* posted(`payout:${made.id}`), 1)
    }))

  it.effect("releases the money when the provider fails, and says why", () =>
    Effect.gen(function*() {
      const user = yield* newId(UserId)
      yield* paid(user)
      const made = yield* payout(user, 1_000, fails)
      const failed = yield* untilPayout(user, made.id, "failed")
      assert.strictEqual(failed.failureReason, "account_closed")
      yield* untilWallet(user, 2_500, 0)
      assert.strictEqual(yield* posted(`payout:${made.id}`), 0)
    }))

  it.effect("that waits at the provider is asked about, and settled when it is paid there", () =>
    Effect.gen(function*() {
      const user = yield* newId(UserId)
      yield* paid(user)
      const made = yield* payout(user, 700, waits)
      yield* begun(made.id)
      yield* work(made.id)
      assert.deepStrictEqual(yield* wallet(user), [2_500, 700])
      assert.strictEqual(yield* settleThere(made.id, "pay"), 200)
      yield* Effect.all(Array.from({ length: 10 }, () => work(made.id)), { concurrency: "unbounded" })
      assert.strictEqual((yield* payoutOf(user, made.id)).status, "paid")
      yield* untilWallet(user, 1_800, 0)
      assert.strictEqual(yield* posted(`payout:${made.id}`), 1)
    }))

  it.effect("above a limit waits for an administrator, who lets it through or not", () =>
    Effect.gen(function*() {
      const payouts = yield* Payouts
      const [user, admin] = [yield* newId(UserId), yield* newId(UserId)]
      yield* paid(user, 50_000)
      const [good, bad] = [yield* payout(user, 10_001), yield* payout(user, 10_002)]
      assert.deepStrictEqual([good.status, bad.status], ["pending_approval", "pending_approval"])
      const { items } = yield* payouts.inStatus("pending_approval", { cursor: undefined, limit: 10 })
      assert.deepStrictEqual(items.map(({ id }) => id), [bad.id, good.id])
      yield* payouts.approve(good.id, admin, "known customer")
      yield* untilPayout(user, good.id, "paid")
      const rejected = yield* payouts.reject(bad.id, admin, "not this account")
      assert.deepInclude(rejected, { status: "failed", failureReason: "not this account" })
      yield* untilWallet(user, 39_999, 0)
      assert.strictEqual(
        (yield* Effect.flip(payouts.approve(bad.id, admin, "changed my mind")))._tag,
        "IllegalPayoutTransition"
      )
      assert.strictEqual(
        (yield* Effect.flip(payouts.reject(good.id, admin, "too late")))._tag,
        "IllegalPayoutTransition"
      )
    }))

  it.effect("is refused over the available balance and over a day's limit, and leaves no trace in the list", () =>
    Effect.gen(function*() {
      const payouts = yield* Payouts
      const user = yield* newId(UserId)
      yield* paid(user, 100_000)
      const over = yield* Effect.flip(payout(user, 60_001))
      assert.deepInclude(over, { _tag: "PayoutLimit", available: 60_000n })
      const poor = yield* newId(UserId)
      yield* paid(poor, 1_000)
      assert.deepInclude(yield* Effect.flip(payout(poor, 1_001)), { _tag: "InsufficientFunds", available: 1_000n })
      const tags = yield* Effect.all(
        Array.from(
          { length: 10 },
          () =>
            payout(user, 9_000, waits).pipe(Effect.match({ onSuccess: () => "made", onFailure: ({ _tag }) => _tag }))
        ),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(tags.filter((tag) => tag === "made").length, 6)
      assert.strictEqual(tags.filter((tag) => tag === "PayoutLimit").length, 4)
      assert.deepStrictEqual(
        (yield* payouts.inStatus("failed", { cursor: undefined, limit: 100 })).items.filter(({ userId }) =>
          userId === poor
        ),
        []
      )
    }))

  it.effect("is one of thirty in a minute at most, counted over all its owner's, and repetitions are not counted", () =>
    Effect.gen(function*() {
      const user = yield* newId(UserId)
      yield* paid(user, 5_000)
      const key = yield* newId(OperationId)
      for (let n = 0; n < 40; n++) yield* payout(user, 1, waits, key)
      const more = (length: number) =>
        Effect.forEach(
          Array.from({ length }),
          () => payout(user, 1, waits).pipe(Effect.match({ onSuccess: () => "made", onFailure: ({ _tag }) => _tag }))
        )
      const made = yield* more(29)
      // However long these thirty took: they were made in this minute.
      yield* owner(`UPDATE payments.outgoing SET created_at = now() WHERE user_id = $1`, [user])
      const tags = [...made, ...(yield* more(2))]
      assert.deepStrictEqual(tags.filter((tag) => tag !== "made"), ["TooManyRequests", "TooManyRequests"])
    }))

  it.effect("that is canceled while it is sent ends one way only", () =>
    Effect.gen(function*() {
      const user = yield* newId(UserId)
      yield* paid(user, 50_000)
      const ends: Array<string> = []
      for (let round = 0; round < 15; round++) {
        const made = yield* payout(user, 100)
        yield* Effect.all([
          Effect.ignore(work(made.id)),
          Effect.ignore(cancel(user, made.id)),
          Effect.ignore(work(made.id)),
          Effect.ignore(cancel(user, made.id))
        ], { concurrency: "unbounded" })
        const end = yield* payoutOf(user, made.id).pipe(
          Effect.delay("10 millis"),
          Effect.repeat({ until: ({ status }) => status !== "processing" }),
          Effect.timeout("20 seconds")
        )
        ends.push(end.status)
        // The row says so first and the ledger follows, by whoever of them brought it there.
        if (end.status === "paid") yield* untilPosted(`payout:${made.id}`)
        assert.strictEqual(yield* posted(`payout:${made.id}`), end.status === "paid" ? 1 : 0)
      }
      const paidOut = ends.filter((end) => end === "paid").length
      assert.strictEqual(ends.filter((end) => end === "canceled").length, 15 - paidOut)
      yield* untilWallet(user, 50_000 - paidOut * 100, 0)
    }))

  it.effect("keeps its destination sealed in every column while it waits", () =>
    Effect.gen(function*() {
      const user = yield* newId(UserId)
      yield* paid(user)
      const made = yield* payout(user, 100, bank("9876540002"))
      const [row] = yield* owner(
        `SELECT octet_length(destination) > 32, last4, to_jsonb(o)::text LIKE ANY (ARRAY['%987654%', '%' || encode('987654', 'hex') || '%'])
           FROM payments.outgoing o WHERE id = $1`,
        [made.id]
      )
      assert.deepStrictEqual([...row ?? []], [true, "0002", false])
    }))

  it.effect("is one for one key, and repaired when its process died after any step", () =>
    Effect.gen(function*() {
      const reconciliation = yield* Reconciliation
      const user = yield* newId(UserId)
      yield* paid(user, 50_000)
      const key = yield* newId(OperationId)
      yield* payout(user, 300, waits, key)
      yield* begun(key)
      yield* settleThere(key, "pay")
      // What a process leaves behind that died before each of its writes: the answer, the end, the ledger's work.
      yield* owner(
        `UPDATE payments.outgoing SET status = 'processing', provider_reference = NULL, done_at = NULL, settled = false,
           recipient = NULL, sending_until = now() - interval '1 second', updated_at = now() - interval '5 minutes' WHERE id = $1`,
        [key]
      )
      yield* reconciliation.askAboutStuck
      const report = yield* reconciliation.run(1)
      assert.deepStrictEqual(report.differences, [])
      yield* untilWallet(user, 49_700, 0)
      assert.strictEqual(yield* posted(`payout:${key}`), 1)
    }))
})
