import { assert, layer } from "@effect/vitest"
import { DateTime, Effect, Option } from "effect"
import { UserId } from "../../src/domain/Ids.ts"
import { Amount } from "../../src/domain/Money.ts"
import { walletOf } from "../../src/domain/Wallet.ts"
import { Ledger } from "../../src/services/Ledger.ts"
import { newId } from "../../src/services/NewId.ts"
import { Wallets } from "../../src/services/Wallets.ts"
import { asOwner, charge, WalletGround } from "../layers/WalletGround.ts"

// Here the test's clock rules, and stands at 1970: no server's clock lags further behind the one that entries are dated by.
layer(WalletGround, { timeout: "60 seconds" })("the present balance", (it) => {
  it.effect("counts what was just posted and held, whatever the server's own clock says", () =>
    Effect.gen(function*() {
      const ledger = yield* Ledger
      const wallets = yield* Wallets
      const user = yield* newId(UserId)
      const now = wallets.balance(user, "NGN", Option.none())
      assert.deepInclude(yield* now, { balance: 0n, held: 0n })
      const { at: posted } = yield* charge(user, 500, 1)
      const hold = { key: `hold:${user}`, account: walletOf(user), amount: Amount.make(30n), currency: "NGN" as const }
      yield* ledger.authorise(hold)
      const { at, ...stood } = yield* now
      assert.deepStrictEqual(stood, { balance: 500n, held: 30n })
      assert.isTrue(DateTime.isGreaterThan(at, DateTime.makeUnsafe(posted)))
      assert.deepStrictEqual(yield* wallets.balance(user, "NGN", Option.some(at)), { at, ...stood })
    }))
})

layer(WalletGround, { timeout: "60 seconds", excludeTestServices: true })("the present balance", (it) => {
  it.effect("is the same when asked for again with its instant, though the database's clock was set back", () =>
    Effect.gen(function*() {
      const ledger = yield* Ledger
      const wallets = yield* Wallets
      const [before, after] = [yield* newId(UserId), yield* newId(UserId)]
      yield* charge(before, 50, 1)
      const { id } = yield* charge(after, 10, 1)
      // The clock is set back by ten minutes: of one wallet a hold alone is ahead of it, of the other an entry.
      yield* asOwner("ALTER TABLE wallet.transfers DISABLE TRIGGER immutable_rows")
      yield* asOwner(`UPDATE wallet.transfers SET created_at = created_at + interval '10 minutes' WHERE id = '${id}'`)
      yield* asOwner("ALTER TABLE wallet.transfers ENABLE ALWAYS TRIGGER immutable_rows")
      yield* charge(after, 20, 2)
      const hold = {
        key: `hold:${before}`,
        account: walletOf(before),
        amount: Amount.make(30n),
        currency: "NGN" as const
      }
      yield* ledger.authorise(hold)
      for (const [user, balance, held] of [[before, 50n, 30n], [after, 30n, 0n]] as const) {
        const now = yield* wallets.balance(user, "NGN", Option.none())
        assert.deepInclude(now, { balance, held })
        assert.deepStrictEqual(yield* wallets.balance(user, "NGN", Option.some(now.at)), now)
      }
    }))
})
