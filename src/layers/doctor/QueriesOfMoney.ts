import { NodeCrypto } from "@effect/platform-node"
import { DateTime, Effect, Option } from "effect"
import { Mac, SecureRandom } from "effect/crypto"
import { OperationId, PaymentId, TransferId, UserId } from "../../domain/Ids.ts"
import { Amount } from "../../domain/Money.ts"
import { VerifiedEvent } from "../../services/Gateway.ts"
import type { IdempotencyKeys } from "../../services/IdempotencyStore.ts"
import type { LedgerHistoryStore } from "../../services/LedgerHistoryStore.ts"
import type { Outcome } from "../../services/LedgerOutcome.ts"
import type { LedgerCommand, LedgerStore, TransferCommand } from "../../services/LedgerStore.ts"
import type { PaymentStore } from "../../services/PaymentStore.ts"
import { after, named, type Uses } from "./NamedQuery.ts"
import type { Samples } from "./Samples.ts"

const currency = "USD"
const amount = Amount.make(1n)
const fresh = <A>(schema: { readonly make: (value: string) => A }) => schema.make(SecureRandom.uuidV7Unsafe())

/** Credits a made-up wallet, alone and in a set, and holds, captures and voids in it: each path of `wallet.post`. */
const commands = (): Record<"optimistic" | "exact", ReadonlyArray<LedgerCommand>> => {
  const member = fresh(UserId)
  const hold = `doctor:${member}`
  const of = { reference: {}, memo: null, currency } as const
  const credit: TransferCommand = {
    ...of,
    op: "transfer",
    key: `doctor:credit:${member}`,
    kind: "charge",
    legs: [
      { kind: "clearing", owner: "sandbox", currency, amount: "-10" },
      { kind: "wallet", owner: member, currency, amount: "10" }
    ]
  }
  const authorise = (key: string): LedgerCommand => ({
    op: "authorise",
    key,
    kind: "wallet",
    owner: member,
    currency,
    amount: "4"
  })
  return {
    optimistic: [credit],
    exact: [
      credit,
      authorise(hold),
      {
        ...of,
        op: "capture",
        key: `${hold}:c`,
        hold,
        kind: "reward",
        amount: "4",
        to: { kind: "fees", owner: "fees" }
      },
      authorise(`${hold}:2`),
      { op: "void", hold: `${hold}:2` },
      { op: "set", commands: [{ ...credit, key: `doctor:set:${member}` }] }
    ]
  }
}

/** Gives back what the credit brought. */
const reversal = (credit: Outcome | undefined): ReadonlyArray<LedgerCommand> => [{
  op: "reverse",
  key: `doctor:reverse:${fresh(TransferId)}`,
  digest: "00".repeat(32),
  transfer: TransferId.make(credit !== undefined && "id" in credit ? credit.id : fresh(TransferId)),
  amount: null,
  memo: null,
  reference: { by: fresh(TransferId), reason: "doctor" }
}]

type Ledger = LedgerStore["Service"]

export const ledgerQueries = (store: Ledger, real: Samples) => {
  const { exact, optimistic } = commands()
  const uses: Uses<Ledger> = {
    post: [
      store.post(optimistic),
      store.post(exact),
      Effect.flatMap(store.post(commands().optimistic), ([credit]) => store.post(reversal(credit)))
    ],
    expireHolds: store.expireHolds,
    alive: store.alive,
    chain: after(store.post(optimistic), store.chain(100)),
    wallets: store.wallets([real.walletOwner]),
    accounts: store.accounts("wallet", [real.walletOwner, fresh(UserId)]),
    transfer: store.transfer(real.transferId),
    posted: store.posted(`doctor:credit:${real.walletOwner}`)
  }
  return named("LedgerStore", uses)
}

type History = LedgerHistoryStore["Service"]

export const historyQueries = (store: History, real: Samples, now: DateTime.Utc) => {
  const page = {
    userId: real.walletOwner,
    currency: Option.none(),
    kind: Option.none(),
    from: Option.none(),
    to: Option.none(),
    before: Option.none(),
    limit: 20
  }
  const from = DateTime.makeUnsafe(0)
  const to = DateTime.makeUnsafe("2200-01-01T00:00:00Z")
  const uses: Uses<History> = {
    entries: [
      store.entries(page),
      store.entries({
        ...page,
        currency: Option.some(currency),
        kind: Option.some("transfer"),
        from: Option.some(from),
        to: Option.some(to),
        before: Option.some({ at: "2100-01-01T00:00:00Z", seq: "9" })
      }),
      // A kind that few entries have.
      store.entries({ ...page, kind: Option.some("adjustment") })
    ],
    standing: store.standing(real.walletOwner, currency, now),
    standingNow: store.standingNow(real.walletOwner, currency),
    acts: [store.acts(Option.none(), 20), store.acts(Option.some(9n), 20)],
    act: store.act(real.transferId)
  }
  return named("LedgerHistoryStore", uses)
}

/** An event of the doctor's own provider-to-be: signed with a key that nothing else knows. */
const event = Effect.gen(function*() {
  const mac = yield* Mac.Mac
  const signed = new TextEncoder().encode("doctor")
  const key = yield* Mac.key(Mac.hmacSha256, new Uint8Array(32).fill(1))
  const proof = { provider: "sandbox", keys: [key], signed, tags: [yield* mac.sign(key, signed)], body: "{}" } as const
  const none = Option.none()
  const eventId = `doctor:${fresh(PaymentId)}`
  const facts = {
    eventId,
    type: "doctor",
    about: "other",
    reference: none,
    operationId: none,
    paymentId: none
  } as const
  return yield* VerifiedEvent.authenticate(proof, () => Effect.succeed(facts))
}).pipe(Effect.orDie, Effect.provide(NodeCrypto.layerMac))

type Payments = PaymentStore["Service"]

export const paymentQueries = Effect.fnUntraced(function*(store: Payments, real: Samples) {
  const id = fresh(PaymentId)
  const insert = store.insert({
    id,
    userId: real.payer,
    provider: "sandbox",
    amount,
    currency,
    livemode: false,
    returnUrl: Option.none()
  })
  const page = { userId: real.payer, before: Option.none(), limit: 20 }
  const answer = store.answer({
    id,
    providerReference: Option.some(id),
    nextAction: Option.none(),
    status: "processing"
  })
  const uses: Uses<Payments> = {
    // The second finds the payment there, and reads it.
    insert: [insert, after(insert, insert)],
    answer: after(insert, answer),
    move: after(insert, store.move(id, "failed")),
    succeed: after(insert, store.succeed(id, fresh(TransferId))),
    flag: after(insert, store.flag(id, "amount_mismatch")),
    find: store.find(real.paymentId),
    fee: after(insert, store.fee(id, 1n)),
    disputed: after(insert, store.disputed(id, true)),
    stuck: store.stuck(60, 20),
    asked: after(insert, store.asked(id)),
    list: [store.list(page), store.list({ ...page, before: Option.some(real.paymentId) })],
    receive: store.receive(yield* event)
  }
  return named("PaymentStore", uses)
})

export const keyQueries = (name: string, store: IdempotencyKeys) => {
  const scope = { userId: fresh(UserId), scope: "POST /doctor", key: "doctor" }
  const claim = store.claim(scope, new Uint8Array(32), fresh(OperationId))
  const uses: Uses<IdempotencyKeys> = {
    // The second is told of the first.
    claim: [claim, after(claim, claim)],
    answer: after(claim, store.answer(scope, { status: 200, body: "{}", location: Option.none() })),
    forget: after(claim, store.forget(scope)),
    leave: after(claim, store.leave(scope))
  }
  return named(name, uses)
}
