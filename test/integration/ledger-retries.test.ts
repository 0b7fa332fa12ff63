import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer, Option, Ref } from "effect"
import { OperationId, UserId } from "../../src/domain/Ids.ts"
import type { AdjustmentRequest } from "../../src/domain/LedgerAdmin.ts"
import { Amount, type Currency } from "../../src/domain/Money.ts"
import { MoneyRequest } from "../../src/domain/MoneyRequest.ts"
import { between, clearingOf, type TransferRequest, walletOf } from "../../src/domain/Wallet.ts"
import { WalletLive } from "../../src/layers/WalletLive.ts"
import { Health } from "../../src/services/Health.ts"
import { Ledger } from "../../src/services/Ledger.ts"
import { LedgerAdmin } from "../../src/services/LedgerAdmin.ts"
import { newId } from "../../src/services/NewId.ts"
import { Users } from "../../src/services/Users.ts"
import { Wallets } from "../../src/services/Wallets.ts"
import { moneyRequest } from "../layers/moneyRequest.ts"
import { PgTest } from "../layers/PgTest.ts"
import { testConfig } from "../layers/TestConfig.ts"

/** Who is a member, under which address; a test lets them go. */
const Members = Context.Service<Ref.Ref<ReadonlyMap<string, UserId>>>("midnight/test/Members")
const members = Layer.effect(Members, Ref.make<ReadonlyMap<string, UserId>>(new Map()))
const known = Layer.unwrap(Effect.map(Members, (all) =>
  Layer.mock(Users, {
    exists: (id) => Effect.map(Ref.get(all), (map) => [...map.values()].includes(id)),
    findByEmail: (address) => Effect.map(Ref.get(all), (map) => Option.fromUndefinedOr(map.get(address)))
  })))

const Ground = WalletLive.pipe(
  Layer.provideMerge(known),
  Layer.provideMerge(members),
  Layer.provide(Health.layer),
  Layer.provide(testConfig()),
  Layer.provideMerge(PgTest.layer)
)

const join = Effect.fnUntraced(function*(address: string) {
  const id = yield* newId(UserId)
  const all = yield* Members
  yield* Ref.update(all, (map) => new Map(map).set(address, id))
  const ledger = yield* Ledger
  yield* ledger.post(between({
    key: `charge:${id}`,
    kind: "charge",
    from: clearingOf("sandbox"),
    to: walletOf(id),
    amount: Amount.make(100n),
    currency: "NGN"
  }))
  return id
})
const everybodyLeaves = Effect.flatMap(Members, (all) => Ref.set(all, new Map()))

/** One request that can be repeated, and what was said of it: the answer, and whether it was called a repetition. */
const requestOf = Effect.fnUntraced(function*(sender: UserId) {
  const base = moneyRequest(sender, yield* newId(OperationId))
  return <A, E, R>(act: Effect.Effect<A, E, R>, digest = base.digest) =>
    Effect.gen(function*() {
      const replayed = yield* Ref.make(false)
      const answer = yield* Effect.provideService(act, MoneyRequest, {
        ...base,
        digest,
        replayed: Ref.set(replayed, true)
      })
      return { answer, replayed: yield* Ref.get(replayed) }
    })
})

const transfer = (request: TransferRequest) => Effect.flatMap(Wallets, (wallets) => wallets.transfer(request))
const adjust = (request: AdjustmentRequest) => Effect.flatMap(LedgerAdmin, (admin) => admin.adjust(request))
const otherDigest = "f".repeat(64)
const seven = { amount: Amount.make(7n), currency: "NGN" as const }

/** A server whose CURRENCIES are these. */
const trading = (currencies: ReadonlyArray<Currency>) =>
  Layer.fresh(Layer.merge(Wallets.layer(currencies), LedgerAdmin.layer(currencies)))

layer(Ground, { timeout: "60 seconds" })("a retry of what was posted", (it) => {
  it.effect("answers the first transfer although its recipient is no member any more", () =>
    Effect.gen(function*() {
      const [from, to] = [yield* join("a@example.com"), yield* join("b@example.com")]
      for (const request of [{ toUserId: to, ...seven }, { toEmail: "b@example.com", ...seven }]) {
        const ask = yield* requestOf(from)
        yield* Effect.flatMap(Members, (all) => Ref.set(all, new Map([["b@example.com", to]])))
        const first = yield* ask(transfer(request))
        yield* everybodyLeaves
        assert.deepStrictEqual(yield* ask(transfer(request)), { answer: first.answer, replayed: true })
        assert.isFalse(first.replayed)
        const other = yield* Effect.flip(ask(transfer(request), otherDigest))
        assert.strictEqual(other._tag, "IdempotencyKeyReused")
      }
    }))

  it.effect("answers the first transfer although the address is the sender's own now", () =>
    Effect.gen(function*() {
      const [from] = [yield* join("c@example.com"), yield* join("d@example.com")]
      const ask = yield* requestOf(from)
      const request = { toEmail: "d@example.com", ...seven }
      const first = yield* ask(transfer(request))
      yield* Effect.flatMap(Members, (all) => Ref.set(all, new Map([["d@example.com", from]])))
      assert.deepStrictEqual(yield* ask(transfer(request)), { answer: first.answer, replayed: true })
    }))

  it.effect("answers the first transfer although its currency is not traded any more", () =>
    Effect.gen(function*() {
      const [from, to] = [yield* join("e@example.com"), yield* join("f@example.com")]
      const ask = yield* requestOf(from)
      const request = { toUserId: to, ...seven }
      const first = yield* ask(transfer(request))
      const later = transfer(request).pipe(Effect.provide(trading(["USD"])))
      assert.deepStrictEqual(yield* ask(later), { answer: first.answer, replayed: true })
    }))

  it.effect("answers the first adjustment although its member or its currency has left", () =>
    Effect.gen(function*() {
      const [admin, member] = [yield* join("g@example.com"), yield* join("h@example.com")]
      const ask = yield* requestOf(admin)
      const request = { userId: member, amount: 5, currency: "NGN" as const, reason: "goodwill" }
      const first = yield* ask(adjust(request))
      const later = adjust(request).pipe(Effect.provide(trading(["USD"])))
      assert.deepStrictEqual(yield* ask(later), { answer: first.answer, replayed: true })
      yield* everybodyLeaves
      assert.deepStrictEqual(yield* ask(adjust(request)), { answer: first.answer, replayed: true })
      assert.strictEqual((yield* Effect.flip(ask(adjust(request), otherDigest)))._tag, "IdempotencyKeyReused")
    }))

  it.effect("refuses as before what was never posted", () =>
    Effect.gen(function*() {
      const [from, stranger] = [yield* join("i@example.com"), yield* newId(UserId)]
      const ask = yield* requestOf(from)
      const refusals = yield* Effect.all([
        Effect.flip(ask(transfer({ toUserId: stranger, ...seven }))),
        Effect.flip(ask(transfer({ toEmail: "i@example.com", ...seven }))),
        Effect.flip(ask(transfer({ toUserId: stranger, ...seven })).pipe(Effect.provide(trading(["USD"])))),
        Effect.flip(ask(adjust({ userId: stranger, amount: 5, currency: "NGN", reason: "goodwill" }))),
        Effect.flip(ask(adjust({ userId: from, amount: 5, currency: "JPY", reason: "goodwill" })))
      ])
      assert.deepStrictEqual(refusals.map(({ _tag }) => _tag), [
        "NotFound",
        "SameAccount",
        "UnsupportedCurrency",
        "NotFound",
        "UnsupportedCurrency"
      ])
    }))
})
