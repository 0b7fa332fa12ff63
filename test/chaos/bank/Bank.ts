import { ConfigProvider, Effect, Fiber, Layer, Logger, Redacted } from "effect"
import { mkdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import { UserId } from "../../../src/domain/Ids.ts"
import { Amount } from "../../../src/domain/Money.ts"
import { between, clearingOf, walletOf } from "../../../src/domain/Wallet.ts"
import { WalletLive } from "../../../src/layers/WalletLive.ts"
import { Health } from "../../../src/services/Health.ts"
import { Ledger } from "../../../src/services/Ledger.ts"
import { Users } from "../../../src/services/Users.ts"
import { client, type Customer, register } from "./Clients.ts"
import { crashes, type Killable, type Recovery } from "./Crashes.ts"
import { openJournal } from "./Journal.ts"
import { deadlocks, type Finding, psql, type PsqlVerdict, reconcile, watch } from "./Judge.ts"
import type { Mutant } from "./Mutants.ts"
import { type CrashingPostgres, rolesSecret } from "./Postgres.ts"
import { random } from "./Random.ts"
import { crashingServer } from "./Server.ts"

export interface BankOptions {
  readonly seed: number
  readonly seconds: number
  readonly clients: number
  readonly accounts: number
  readonly servers: number
  /** What is killed; nothing, and then no answer of the 5xx class is excused. */
  readonly kills: ReadonlyArray<"server" | "postgres">
  /** The longest time of work between a recovery and the next kill, in milliseconds. */
  readonly calm: number
  readonly mutant?: Mutant
  /** Goes on for up to a minute more until so much has happened: a slow machine needs longer for the same proof. */
  readonly atLeast?: { readonly kills: number; readonly acknowledged: number }
  /** Ends as soon as something is seen to be broken: enough to catch a mutant. */
  readonly untilBroken?: boolean
}

export interface Progress {
  readonly elapsed: number
  readonly acknowledged: number
  readonly refused: number
  readonly kills: number
}

export interface BankReport {
  readonly sent: number
  readonly acknowledged: number
  readonly refused: number
  readonly kills: { readonly server: number; readonly postgres: number }
  readonly recoveries: ReadonlyArray<Recovery>
  readonly findings: ReadonlyArray<Finding>
  readonly journal: string
  /** What psql says of the same books and journal; nothing where it is not installed. */
  readonly psql: PsqlVerdict | undefined
}

/** Gives every customer their first money, through the ledger itself. */
const fund = (database: Redacted.Redacted<string>, customers: ReadonlyArray<Customer>, amount: number) =>
  Effect.flatMap(Ledger, (ledger) =>
    Effect.forEach(customers, ({ id }) =>
      ledger.post(between({
        key: `charge:${id}`,
        kind: "charge",
        from: clearingOf("bank"),
        to: walletOf(UserId.make(id)),
        amount: Amount.make(BigInt(amount)),
        currency: "NGN"
      })), { concurrency: "unbounded", discard: true })).pipe(
      Effect.provide(WalletLive.pipe(
        Layer.provide([Health.layer, Layer.mock(Users, {}), Logger.layer([])]),
        Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown({
          DATABASE_URL: Redacted.value(database),
          DATABASE_ROLES_SECRET: rolesSecret
        })))
      )),
      Effect.orDie
    )

/** Claims that were broken while the bank ran, beside what the books say afterwards. */
const notes = () => {
  const seen = new Map<string, { times: number; first: Array<string> }>()
  const note = (claim: string) => (broken: string) => {
    const finding = seen.get(claim) ?? { times: 0, first: [] }
    finding.times += 1
    if (finding.first.length < 5) finding.first.push(broken)
    seen.set(claim, finding)
  }
  return { note, findings: () => [...seen].map(([claim, finding]): Finding => ({ claim, ...finding })) }
}

/** Whether a run was as long and as hard as it was meant to be. */
export const enough = ({ atLeast }: BankOptions, kills: number, acknowledged: number): boolean =>
  atLeast === undefined || (kills >= atLeast.kills && acknowledged >= atLeast.acknowledged)

let banks = 0

/** A database of its own, with the mutant in it, its servers, and customers who have 10,000 each. */
const open = Effect.fnUntraced(function*(postgres: CrashingPostgres, folder: string, options: BankOptions) {
  const name = `bank_${options.seed}_${++banks}`
  const place = join(folder, name)
  yield* Effect.promise(() => mkdir(place, { recursive: true }))
  const database = postgres.url(name)
  yield* postgres.create(name)
  if (options.mutant !== undefined) yield* options.mutant.apply(database, name)
  const servers = yield* Effect.forEach(
    Array.from({ length: options.servers }, (_, i) => `api-${i + 1}`),
    (server) => crashingServer({ database, folder: place, name: server, preload: options.mutant?.preload }),
    { concurrency: "unbounded" }
  )
  const [home, ...others] = servers.map(({ base }) => base)
  if (home === undefined) return yield* Effect.die(new Error("a bank needs a server"))
  const numbers = Array.from({ length: options.accounts }, (_, i) => i)
  const [first, ...more] = yield* Effect.forEach(numbers, (i) => register(home, name, i), { concurrency: 2 })
  if (first === undefined) return yield* Effect.die(new Error("a bank needs customers"))
  yield* fund(database, [first, ...more], 10_000)
  const journal = yield* openJournal(join(place, "journal.tsv"))
  return { name, database, servers, journal, bases: [home, ...others] as const, customers: [first, ...more] as const }
})

/**
 * A bank under fire: clients move money over HTTP while the server and PostgreSQL are killed; then the books are compared
 * with what the clients were told. The report has no findings when every invariant and every acknowledgement holds.
 */
export const bank = Effect.fnUntraced(function*(
  postgres: CrashingPostgres,
  folder: string,
  options: BankOptions,
  onProgress: (progress: Progress) => void = () => {}
) {
  const { bases, customers, database, journal, name, servers } = yield* open(postgres, folder, options)
  const choices = random(options.seed)
  const { findings, note } = notes()
  const begin = performance.now()
  const elapsed = () => performance.now() - begin
  const kills = () => killed.kills.server + killed.kills.postgres
  const lasts = () => options.seconds + (enough(options, kills(), journal.counts.acknowledged) ? 0 : 60)
  const over = () => elapsed() > lasts() * 1000 || (options.untilBroken === true && findings().length > 0)
  const traffic = {
    bases,
    customers,
    journal,
    over,
    givenUp: () => elapsed() > (lasts() + 40) * 1000,
    onOtherTransfer: note("a repetition of a key is answered with the transfer that it made"),
    onServerError: options.kills.length > 0 ? () => {} : note("no answer is of the 5xx class while nothing is killed")
  }
  const killed = crashes(
    options.kills.flatMap((what): ReadonlyArray<Killable> =>
      what === "postgres" ? [{ name: what, ...postgres }] : servers.map((server) => ({ name: what, ...server }))
    ),
    choices.fork(1),
    options.calm,
    over,
    journal.lastAcknowledged
  )
  const progress = Effect.sync(() => onProgress({ elapsed: elapsed() / 1000, ...journal.counts, kills: kills() }))
  const background = yield* Effect.forkChild(Effect.all([
    watch(database, note("at every instant all accounts hold zero together and none is below its floor")),
    Effect.forever(Effect.andThen(progress, Effect.sleep("250 millis")))
  ], { concurrency: "unbounded" }))
  yield* Effect.all([
    killed.loop,
    ...Array.from({ length: options.clients }, (_, i) => client(`${name}:${i}`, traffic, choices.fork(i + 2)))
  ], { concurrency: "unbounded", discard: true })
  yield* Fiber.interrupt(background)
  servers.forEach((server, i) => server.diedAlone() && note("no server ends by itself")(`api-${i + 1}`))
  if (options.kills.length === 0) (yield* deadlocks(database)).forEach(note("no transactions deadlock"))
  const books = yield* reconcile(database, yield* Effect.promise(() => readFile(journal.path, "utf8")))
  return {
    ...journal.counts,
    kills: killed.kills,
    recoveries: killed.recoveries,
    findings: [...findings(), ...books],
    journal: journal.path,
    psql: psql(database, journal.path)
  } satisfies BankReport
}, Effect.scoped)
