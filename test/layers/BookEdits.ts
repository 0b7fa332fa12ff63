import { Effect } from "effect"
import { Books } from "./Books.ts"

/** An edit, and words of which at least one has to stand in what the audit says about it. */
export interface Edit {
  readonly column: string
  readonly statements: ReadonlyArray<string>
  readonly place: string
  /** A server, which looks at slices, does not see it. */
  readonly wholeOnly?: boolean
}

const ghost = "00000000-0000-7000-8000-00000000dead"
const other = "00000000-0000-7000-8000-00000000beef"

/** The row of the link's transfer with that name. */
const of = (n: number, name: string) => `key = '${n}:${name}'`
const entriesOf = (n: number, name: string) =>
  `transfer_id = (SELECT id FROM wallet.transfers WHERE ${of(n, name)}) AND amount > 0`
const account = (owner: string) => `(SELECT id FROM wallet.accounts WHERE owner = '${owner}')`
const leg = (owner: string, transfer: string, id: string, amount: number) =>
  `INSERT INTO wallet.entries (account_id, created_at, id, transfer_id, amount, balance_after)
     SELECT id, clock_timestamp(), '${id}', '${transfer}', ${amount}, balance + ${amount}
       FROM wallet.accounts WHERE owner = '${owner}'`
/** Ten from one wallet to another, with balances that fit, as if by a transfer that may not be there. */
const moved = (transfer: string) => [
  leg("anna", transfer, ghost, -10),
  leg("bob", transfer, other, 10),
  "UPDATE wallet.accounts SET balance = balance - 10 WHERE owner = 'anna'",
  "UPDATE wallet.accounts SET balance = balance + 10 WHERE owner = 'bob'"
]
const slipped = (seq: string) => [
  `INSERT INTO wallet.transfers (id, key, digest, kind, created_at, seq) OVERRIDING SYSTEM VALUE
     VALUES ('${ghost}', 'slipped:in', sha256(''), 'fee', clock_timestamp(), ${seq})`,
  ...moved(ghost)
]

export const entryEdits = Effect.fnUntraced(function*(n: number) {
  const { text } = yield* Books
  const place = `transfer ${yield* text(`SELECT id::text FROM wallet.transfers WHERE ${of(n, "payment")}`)}`
  const where = `WHERE ${entriesOf(n, "payment")}`
  const set = (column: string, to: string): Edit => ({
    column,
    statements: [`UPDATE wallet.entries SET ${column} = ${to} ${where}`],
    place
  })
  return [
    set("account_id", account("anna")),
    set("created_at", "created_at + interval '1 microsecond'"),
    { ...set("created_at", "'infinity'"), column: "created_at, to no time at all" },
    {
      ...set("seq", "DEFAULT"),
      statements: [
        `UPDATE wallet.entries SET seq = DEFAULT ${where}`
      ]
    },
    set("id", `'${ghost}'`),
    { ...set("transfer_id", `'${ghost}'`), column: "transfer_id, to nothing" },
    set("transfer_id", `(SELECT id FROM wallet.transfers WHERE ${of(n, "first")})`),
    set("amount", "amount + 1"),
    set("kind", "'payout'"),
    { ...set("kind", "NULL"), column: "kind, to none" },
    set("balance_after", "balance_after # 1"),
    {
      // The entry after it would be beyond the largest number, had it been added to this one.
      column: "balance_after, at its first byte",
      statements: [`UPDATE wallet.entries SET balance_after = 9223372036854775807 WHERE ${entriesOf(n, "second")}`],
      place: `transfer ${yield* text(`SELECT id::text FROM wallet.transfers WHERE ${of(n, "second")}`)}`
    },
    { column: "rows without a transfer", statements: moved(ghost), place: `entry ${ghost}: of no transfer` },
    {
      column: "rows without an account",
      statements: [
        `INSERT INTO wallet.entries (account_id, created_at, id, transfer_id, amount, balance_after)
           SELECT '${ghost}', clock_timestamp(), '${ghost}', id, 5, 5 FROM wallet.transfers WHERE ${of(n, "first")}`
      ],
      place: `entry ${ghost}: of no account`
    }
  ]
})

export const transferEdits = Effect.fnUntraced(function*(n: number) {
  const { text } = yield* Books
  const idOf = (name: string) => text(`SELECT id::text FROM wallet.transfers WHERE ${of(n, name)}`)
  const seq = yield* text(`SELECT seq::text FROM wallet.transfers WHERE ${of(n, "payment")}`)
  const place = `transfer ${yield* idOf("payment")}`
  const set = (column: string, to: string, name = "payment"): Edit => ({
    column,
    statements: [`UPDATE wallet.transfers SET ${column} = ${to} WHERE ${of(n, name)}`],
    place
  })
  return [
    { ...set("id", `'${ghost}'`), place: `(seq ${seq}, link ${n})` },
    set("key", "key || 'x'"),
    set("digest", "set_byte(digest, 31, get_byte(digest, 31) # 1)"),
    set("kind", "'payout'"),
    set("memo", "NULL"),
    set("reference", "reference || '{\"trace\": \"abd\"}'"),
    {
      ...set("reverses", `'${yield* idOf("first")}'`, "reversal"),
      place: `transfer ${yield* idOf("reversal")}`
    },
    {
      ...set("reverses", "NULL", "reversal"),
      column: "reverses, to nothing",
      place: `transfer ${yield* idOf("reversal")}`
    },
    set("created_at", "created_at - interval '1 microsecond'"),
    { ...set("created_at", "'-infinity'"), column: "created_at, to no time at all" },
    {
      column: "seq",
      statements: [`UPDATE wallet.transfers SET seq = DEFAULT WHERE ${of(n, "payment")}`],
      place: `link ${n}:`
    },
    { column: "rows between others", statements: slipped(`${seq} + 1`), place: `transfer ${ghost}` },
    { column: "rows before all others", statements: slipped("-5"), place: "link 1:" },
    {
      column: "rows gone",
      statements: [
        `DELETE FROM wallet.entries WHERE transfer_id = (SELECT id FROM wallet.transfers WHERE ${of(n, "payment")})`,
        `DELETE FROM wallet.transfers WHERE ${of(n, "payment")}`
      ],
      place: `link ${n}:`
    }
  ]
})

export const flip = (column: string) => `set_byte(${column}, 0, get_byte(${column}, 0) # 1)`

export const linkEdits = (n: number): ReadonlyArray<Edit> => {
  const set = (column: string, to: string): Edit => ({
    column,
    statements: [`UPDATE wallet.chain SET ${column} = ${to} WHERE n = ${n}`],
    place: `link ${n}:`
  })
  return [
    { ...set("n", "n + 100"), place: `link ${n + 100}:` },
    {
      ...set("n", "n + 9000000000000000000"),
      column: "n, at its first byte",
      place: `link ${9000000000000000000n + BigInt(n)}:`
    },
    set("first_seq", "first_seq - 1"),
    set("last_seq", "last_seq + 1"),
    set("transfers", "transfers + 1"),
    set("prev", flip("prev")),
    set("leaves", flip("leaves")),
    set("hash", flip("hash")),
    set("chained_at", "chained_at + interval '1 microsecond'"),
    { ...set("chained_at", "'infinity'"), column: "chained_at, to no time at all" }
  ]
}

export const holdEdits = Effect.fnUntraced(function*(n: number) {
  const { text } = yield* Books
  const hold = yield* text(`SELECT id::text FROM wallet.holds WHERE ${of(n, "hold")}`)
  const bob = `account ${yield* text(`SELECT id::text FROM wallet.accounts WHERE owner = 'bob'`)}`
  const noted = (change: string, column: string, place: string): Edit => ({
    column: `${column} of a hold's change`,
    statements: [`${change} WHERE hold_id = '${hold}' AND change < 0`],
    place
  })
  const set = (column: string, to: string): Edit => ({
    column: `${column} of a hold`,
    statements: [`UPDATE wallet.holds SET ${column} = ${to} WHERE id = '${hold}'`],
    place: `hold ${hold}`
  })
  return [
    noted(`UPDATE wallet.hold_changes SET account_id = ${account("anna")}`, "account_id", `hold ${hold}`),
    { ...noted(`UPDATE wallet.hold_changes SET hold_id = '${ghost}'`, "hold_id", `hold ${hold}`), wholeOnly: true },
    noted("UPDATE wallet.hold_changes SET change = change + 1", "change", bob),
    noted("UPDATE wallet.hold_changes SET held_after = held_after # 1", "held_after", bob),
    noted("UPDATE wallet.hold_changes SET at = 'infinity'", "at", bob),
    noted("DELETE FROM wallet.hold_changes", "row", `hold ${hold}`),
    set("amount", "amount + 1"),
    set("captured", "captured + 1"),
    set("status", "'voided'"),
    set("account_id", account("anna"))
  ]
})

/** The same characters in other columns: a leaf that only joins its columns would be the same. */
export const shifted = Effect.fnUntraced(function*(n: number) {
  const { text } = yield* Books
  return {
    column: "key, digest and memo, with the same text",
    statements: [
      `UPDATE wallet.transfers SET key = key || '|' || encode(digest, 'hex') || '|charge|mcab',
              digest = decode(repeat('ab', 32), 'hex'), memo = 'ride' WHERE ${of(n, "second")}`
    ],
    place: `transfer ${yield* text(`SELECT id::text FROM wallet.transfers WHERE ${of(n, "second")}`)}`
  }
})
