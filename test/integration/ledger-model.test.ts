import { PgConnection } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { Console, DateTime, Effect, Layer, Option, Schema } from "effect"
import * as fc from "fast-check"
import { randomBytes, randomInt } from "node:crypto"
import { CampaignId, UserId } from "../../src/domain/Ids.ts"
import { Amount } from "../../src/domain/Money.ts"
import type { Account } from "../../src/domain/Wallet.ts"
import { pool } from "../../src/layers/Pools.ts"
import { Ledger } from "../../src/services/Ledger.ts"
import { LedgerHistoryStore } from "../../src/services/LedgerHistoryStore.ts"
import { LedgerStore } from "../../src/services/LedgerStore.ts"
import { reconcile } from "../chaos/bank/Judge.ts"
import { PgTest } from "../layers/PgTest.ts"
import { testConfig } from "../layers/TestConfig.ts"
import { TwoLedgers } from "../layers/TwoLedgers.ts"
import { type Rounds, rounds } from "../model/Commands.ts"
import { type AccountName, type Books, type Command, empty, type Outcome, standingOf } from "../model/Ledger.ts"
import { explain, type Observed, show } from "../model/Serial.ts"

const history = LedgerHistoryStore.layer.pipe(Layer.provide(pool("wallet")), Layer.provide(testConfig()))
const Ground = Layer.merge(TwoLedgers.layer, history).pipe(Layer.provideMerge(PgTest.layer))

const currency = "NGN" as const

const accountOf = (name: AccountName): Account => {
  const owner = name.slice(name.indexOf(":") + 1)
  return name.startsWith("wallet:")
    ? { kind: "wallet", owner: UserId.make(owner) }
    : name.startsWith("escrow:")
    ? { kind: "escrow", owner: CampaignId.make(owner) }
    : { kind: "clearing", owner }
}

/** The end of a hold that is past its time from the start. */
const longAgo = DateTime.makeUnsafe("2020-01-01T00:00:00Z")

/** Runs a command against the real ledger, as one of its callers, and says what that caller was told. */
const perform = Effect.fnUntraced(function*(command: Command) {
  const ledger = yield* Ledger
  const posted = ({ id, replayed }: { readonly id: string; readonly replayed: boolean }): Outcome => ({
    tag: replayed ? "replayed" : "posted",
    id
  })
  switch (command.op) {
    case "transfer":
      return posted(
        yield* ledger.post({
          key: command.key,
          kind: "transfer",
          memo: Option.none(),
          reference: {},
          legs: command.legs.map(({ account, amount }) => ({ account: accountOf(account), amount, currency }))
        })
      )
    case "authorise":
      return posted(
        yield* ledger.authorise({
          key: command.key,
          account: accountOf(command.account),
          amount: Amount.make(command.amount),
          currency,
          ...(command.stale ? { expiresAt: longAgo } : {})
        })
      )
    case "capture":
      return posted(
        yield* ledger.capture({
          key: command.key,
          hold: command.hold,
          kind: "transfer",
          amount: Amount.make(command.amount),
          currency,
          to: accountOf(command.to),
          memo: Option.none(),
          reference: {}
        })
      )
    case "void":
      yield* ledger.void(command.hold)
      return { tag: "released" } as const
    case "expire":
      return { tag: "expired", holds: yield* Effect.flatMap(LedgerStore, (store) => store.expireHolds) } as const
  }
})

const observe = (command: Command) =>
  perform(command).pipe(
    Effect.catchTags({
      InsufficientFunds: ({ available }) => Effect.succeed<Outcome>({ tag: "insufficient", available }),
      PostingConflict: () => Effect.succeed<Outcome>({ tag: "conflict" }),
      HoldClosed: ({ hold_status }) => Effect.succeed<Outcome>({ tag: "closed", status: hold_status }),
      HoldExceeded: ({ available }) => Effect.succeed<Outcome>({ tag: "exceeded", rest: available })
    }),
    Effect.map((outcome): Observed => ({ command, outcome }))
  )

const Standing = Schema.decodeUnknownSync(Schema.Array(Schema.Tuple([Schema.String, Schema.String])))

/** The run's accounts, holds and keys as the database has them, one line each. */
const standing = (connection: PgConnection.PgConnection, run: string) =>
  Effect.map(
    connection.queryValues(
      `SELECT kind || ':' || owner, balance || ' held ' || held || ' entries ' || coalesce((SELECT
          string_agg(e.amount::text, ',' ORDER BY e.amount) FROM wallet.entries e WHERE e.account_id = a.id), '')
         FROM wallet.accounts a WHERE owner LIKE $1 || '%'
       UNION ALL SELECT key, status || ' ' || captured || ' of ' || amount || ' ' || id
         FROM wallet.holds WHERE key LIKE 'hold:' || $1 || '-%'
       UNION ALL SELECT key, id::text FROM wallet.transfers WHERE key LIKE 'transfer:' || $1 || '-%'`,
      [run]
    ),
    (rows) => Standing(rows).map(([name, state]) => `${name} ${state}`).toSorted().join("\n")
  )

/** The same lines from the model's books. */
const written = (books: Books) =>
  [
    ...[...books.entries].map(([account, amounts]) => {
      const ascending = amounts.toSorted((a, b) => a < b ? -1 : a > b ? 1 : 0).join(",")
      return `${account} ${books.balances.get(account) ?? 0n} held ${
        books.held.get(account) ?? 0n
      } entries ${ascending}`
    }),
    ...[...books.holds].map(([key, { amount, captured, status }]) =>
      `${key} ${status} ${captured} of ${amount} ${books.authorisations.get(key)?.id}`
    ),
    ...[...books.transfers].map(([key, { id }]) => `${key} ${id}`)
  ].toSorted().join("\n")

const Millis = Schema.decodeUnknownSync(Schema.Tuple([Schema.Tuple([Schema.String])]))

/** An instant as callers can name one, in milliseconds, after all that was done and before whatever is done next. */
const between = Effect.fnUntraced(function*(connection: PgConnection.PgConnection) {
  const read = "SELECT ceil(extract(epoch FROM clock_timestamp()) * 1000)::text"
  const now = Effect.map(connection.queryValues(read, []), (rows) => Number(Millis(rows)[0][0]))
  const at = yield* now
  yield* Effect.repeat(now, { until: (later) => later > at + 1 })
  return DateTime.makeUnsafe(at)
})

interface Stood {
  readonly at: DateTime.Utc
  readonly books: Books
}

/** What the ledger says that the wallets were at each instant, where the model says something else. */
const misremembered = Effect.fnUntraced(function*(stood: ReadonlyArray<Stood>) {
  const { standing } = yield* LedgerHistoryStore
  const wallets = [...stood.at(-1)?.books.balances.keys() ?? []].filter((name) => name.startsWith("wallet:"))
  const asked = stood.flatMap(({ at, books }) => wallets.map((name) => ({ at, name, was: standingOf(books, name) })))
  const told = yield* Effect.forEach(asked, ({ at, name, was }) =>
    Effect.map(
      standing(UserId.make(name.slice("wallet:".length)), currency, at),
      (says) =>
        show(says) === show(was) ? [] : [`${name} at ${DateTime.formatIso(at)}: ${show(says)}, not ${show(was)}`]
    ), { concurrency: 4 })
  return told.flat()
})

/** Plays rounds against two processes' ledgers and has the model explain every answer, every row, and what was when. */
const play = Effect.fnUntraced(function*(run: string, all: Rounds) {
  const { processes } = yield* TwoLedgers
  const owner = yield* PgConnection.make({ url: (yield* PgTest).ownerUrl })
  const sweep = Effect.flatMap(LedgerStore, (store) => store.expireHolds)
  // What a run that failed half-way left to sweep would be counted in this one.
  yield* Effect.provide(sweep, processes[0])
  let books = empty
  const stood: Array<Stood> = [{ at: yield* between(owner), books }]
  for (const [number, commands] of all.entries()) {
    const observed = yield* Effect.forEach(
      commands,
      (command, i) => Effect.provide(observe(command), processes[i % 2 === 0 ? 0 : 1]),
      { concurrency: "unbounded" }
    )
    const seen = yield* standing(owner, run)
    const after = explain(books, observed, (possible) => written(possible) === seen)
    if (after === undefined) {
      assert.fail(
        `no order of round ${number} explains\n${observed.map(show).join("\n")}\nfrom\n${written(books)}\nto\n${seen}`
      )
    }
    books = after
    stood.push({ at: yield* between(owner), books })
  }
  assert.deepStrictEqual(yield* misremembered(stood), [])
}, Effect.scoped)

layer(Ground, { timeout: "60 seconds", excludeTestServices: true })("the ledger against its model", (it) => {
  it.effect("answers random commands made at once as some order of them would, and keeps the books of that order", () =>
    Effect.gen(function*() {
      const given = process.env["MODEL_SEED"]
      const seed = given === undefined ? randomInt(2 ** 31) : Number(given)
      const context = yield* Effect.context<TwoLedgers | PgTest | LedgerHistoryStore>()
      let answers = 0
      const property = fc.asyncProperty(rounds("@"), async (drawn) => {
        // Every trial has accounts and keys of its own, also when fast-check shrinks one that failed.
        const run = randomBytes(4).toString("hex")
        const all: Rounds = JSON.parse(JSON.stringify(drawn, bigintOut).replaceAll("@", run), bigintIn)
        answers += all.flat().length
        await Effect.runPromise(Effect.provideContext(play(run, all), context))
      })
      yield* Effect.promise(() => fc.assert(property, { seed, numRuns: Number(process.env["MODEL_RUNS"] ?? 60) }))
      yield* Console.log(`model: ${answers} commands, seed ${seed} (MODEL_SEED replays them)`)
      assert.deepStrictEqual(yield* reconcileAll, [])
    }))
})

const bigintOut = (_: string, value: unknown) => typeof value === "bigint" ? `${value}n` : value
const bigintIn = (_: string, value: unknown) =>
  typeof value === "string" && /^-?\d+n$/.test(value) ? BigInt(value.slice(0, -1)) : value

/** I1 to I6 over everything that was written, by SQL that shares nothing with the ledger. No client kept a journal here. */
const reconcileAll = Effect.flatMap(PgTest, (pg) => reconcile(pg.ownerUrl, "")).pipe(
  Effect.map((findings) => findings.filter(({ claim }) => /^(I\d|every balance)/.test(claim)))
)
