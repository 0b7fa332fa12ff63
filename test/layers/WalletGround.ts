import { PgConnection } from "@effect/sql-pg"
import { Effect, Layer } from "effect"
import type { UserId } from "../../src/domain/Ids.ts"
import { Amount } from "../../src/domain/Money.ts"
import { between, clearingOf, walletOf } from "../../src/domain/Wallet.ts"
import { WalletLive } from "../../src/layers/WalletLive.ts"
import { Health } from "../../src/services/Health.ts"
import { Ledger } from "../../src/services/Ledger.ts"
import { Users } from "../../src/services/Users.ts"
import { PgTest } from "./PgTest.ts"
import { testConfig } from "./TestConfig.ts"

const everybody = Layer.mock(Users, { exists: () => Effect.succeed(true) })
/** The wallet bulkhead over a database of its own, in which everybody exists. */
export const WalletGround = WalletLive.pipe(
  Layer.provide([Health.layer, everybody]),
  Layer.provide(testConfig()),
  Layer.provideMerge(PgTest.layer)
)

/** Credits somebody from outside. */
export const charge = Effect.fnUntraced(function*(to: UserId, n: number, nth: number) {
  const ledger = yield* Ledger
  return yield* ledger.post(between({
    key: `charge:${to}-${nth}`,
    kind: "charge",
    from: clearingOf("sandbox"),
    to: walletOf(to),
    amount: Amount.make(BigInt(n)),
    currency: "NGN"
  }))
})

/** One statement, as the owner of the database. */
export const asOwner = Effect.fnUntraced(function*(statement: string) {
  const pg = yield* PgTest
  const connection = yield* PgConnection.make({ url: pg.ownerUrl })
  return yield* connection.query(statement, [])
}, Effect.scoped)
