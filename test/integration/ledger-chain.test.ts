import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { Books } from "../layers/Books.ts"

/** An edit, and words of which at least one has to stand in what the audit says about it. */
interface Edit {
  readonly column: string
  readonly statements: ReadonlyArray<string>
  readonly place: string
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

const entryEdits = Effect.fnUntraced(function*(n: number) {
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
    set("balance_after", "balance_after # 1"),
    {
      // The entry after it would be beyond the largest number, had it been added to this one.
      column: "balance_after, at its first byte",
      statements: [`UPDATE wallet.entries SET balance_after = 9223372036854775807 WHERE ${entriesOf(n, "second")}`],
      place: `transfer ${yield* text(`SELECT id::text FROM wallet.transfers WHERE ${of(n, "second")}`)}`
    },
    { column: "rows without a transfer", statements: moved(ghost), place: `entry ${ghost}` },
    {
      column: "rows without an account",
      statements: [
        `INSERT INTO wallet.entries (account_id, created_at, id, transfer_id, amount, balance_after)
           VALUES ('${ghost}', clock_timestamp(), '${ghost}', '${other}', 5, 5)`
      ],
      place: `entry ${ghost}`
    }
  ]
})

const transferEdits = Effect.fnUntraced(function*(n: number) {
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

const flip = (column: string) => `set_byte(${column}, 0, get_byte(${column}, 0) # 1)`

const linkEdits = (n: number): ReadonlyArray<Edit> => {
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

/** The edits of the list that a judge did not notice, or noticed without naming the place. */
const missed = Effect.fnUntraced(function*(edits: ReadonlyArray<Edit>) {
  const { edited } = yield* Books
  const missing: Array<string> = []
  for (const { column, place, statements } of edits) {
    const { audit, script } = yield* edited(statements)
    if (audit.length === 0) missing.push(`${column}: not seen by the audit`)
    else if (!audit.some((row) => row.includes(place))) {
      missing.push(`${column}: ${place} is not named in ${audit.join(", ")}`)
    }
    if (script.length === 0) missing.push(`${column}: not seen by reconcile.sql`)
  }
  return missing
})

const clean = Effect.gen(function*() {
  const { judge } = yield* Books
  return yield* judge
})

layer(Books.fresh, { timeout: "60 seconds" })("the audit of the chain", (it) => {
  it.effect("finds books clean that nobody edited", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* clean, { audit: [], script: [] })
    }))
  it.effect("names the place of an edit in every column of the entries", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* missed(yield* entryEdits(2)), [])
    }))
  it.effect("names the place of an edit in every column of the transfers", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* missed(yield* transferEdits(2)), [])
    }))
  it.effect("names the link of an edit in every column of the chain, and in its newest link", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* missed([...linkEdits(2), ...linkEdits(3)]), [])
    }))
  it.effect("finds nothing any more when all is as it was", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* clean, { audit: [], script: [] })
    }))
})

layer(Books.migrated("0025_chain_covers_all"), { timeout: "60 seconds" })(
  "the audit of a chain that is older than its hashes",
  (it) => {
    it.effect("finds links and reversals of before the migration clean, and what follows them", () =>
      Effect.gen(function*() {
        const { text } = yield* Books
        assert.strictEqual(
          yield* text("SELECT string_agg((seal IS NOT NULL)::text, ',' ORDER BY n) FROM wallet.chain"),
          "true,true,false,false"
        )
        assert.deepStrictEqual(yield* clean, { audit: [], script: [] })
      }))
    it.effect("names the place of an edit in every column of the entries, before and after", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* missed([...yield* entryEdits(2), ...yield* entryEdits(3)]), [])
      }))
    it.effect("names the place of an edit in every column of the transfers, before and after", () =>
      Effect.gen(function*() {
        // What a reversal reverses is in the seal of its link, not in its own leaf.
        const sealed = (yield* transferEdits(2)).map((edit) =>
          edit.column.startsWith("reverses") ? { ...edit, place: "link 2:" } : edit
        )
        assert.deepStrictEqual(yield* missed([...sealed, ...yield* transferEdits(3)]), [])
      }))
    it.effect("names the link of an edit in every column of the chain, sealed or not", () =>
      Effect.gen(function*() {
        const seals = [1, 2, 3].map((n): Edit => ({
          column: "seal",
          statements: [`UPDATE wallet.chain SET seal = ${n === 3 ? "sha256('')" : flip("seal")} WHERE n = ${n}`],
          place: `link ${n}:`
        }))
        const unsealed = {
          column: "seal, to none",
          statements: ["UPDATE wallet.chain SET seal = NULL WHERE n = 2"],
          place: "link 2:"
        }
        const edits = [1, 2, 3, 4].flatMap((n) => linkEdits(n))
        assert.deepStrictEqual(yield* missed([...edits, ...seals, unsealed]), [])
      }))
  }
)
