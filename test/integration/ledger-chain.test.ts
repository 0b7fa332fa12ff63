import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { type Edit, entryEdits, flip, holdEdits, linkEdits, shifted, transferEdits } from "../layers/BookEdits.ts"
import { Books } from "../layers/Books.ts"

/** The edits of the list that a judge did not notice, or noticed without naming the place. */
const missed = Effect.fnUntraced(function*(edits: ReadonlyArray<Edit>) {
  const { edited } = yield* Books
  const missing: Array<string> = []
  for (const { column, place, statements, wholeOnly } of edits) {
    const { audit, patrol, script } = yield* edited(statements)
    if (audit.length === 0) missing.push(`${column}: not seen by the audit`)
    else if (!audit.some((row) => row.includes(place))) {
      missing.push(`${column}: ${place} is not named in ${audit.join(", ")}`)
    }
    if (patrol.length === 0 && wholeOnly !== true) missing.push(`${column}: not seen by a server`)
    if (script.length === 0) missing.push(`${column}: not seen by reconcile.sql`)
  }
  return missing
})

const clean = Effect.gen(function*() {
  const { judge } = yield* Books
  return yield* judge
})

const migration = "0025_chain_covers_all"
const edit = "UPDATE wallet.transfers SET memo = 'x' WHERE key = '1:payment'"

layer(Books.fresh, { timeout: "60 seconds" })("the audit of the chain", (it) => {
  it.effect("finds books clean that nobody edited", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* clean, { audit: [], patrol: [], script: [] })
    }))
  it.effect("names the place of an edit in every column of the entries", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* missed(yield* entryEdits(2)), [])
    }))
  it.effect("names the place of an edit in every column of the transfers", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* missed([...yield* transferEdits(2), yield* shifted(2)]), [])
    }))
  it.effect("names the place of an edit of what a hold is, and of what was held when", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* missed(yield* holdEdits(2)), [])
    }))
  it.effect("names the link of an edit in every column of the chain, and in its newest link", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* missed([...linkEdits(2), ...linkEdits(3)]), [])
    }))
  it.effect("names the first ten of many bad rows, in their order", () =>
    Effect.gen(function*() {
      const { edited, text } = yield* Books
      const order = yield* text("SELECT string_agg(id::text, ',' ORDER BY seq) FROM wallet.transfers")
      const { audit } = yield* edited([
        // Neither the order of ids nor that of the rows on the disk is that of the transfers.
        "CREATE TEMP TABLE renamed AS SELECT id AS was, gen_random_uuid() AS id FROM wallet.transfers",
        "UPDATE wallet.transfers t SET id = r.id FROM renamed r WHERE r.was = t.id",
        "UPDATE wallet.entries e SET transfer_id = r.id, amount = amount + 1 FROM renamed r WHERE r.was = e.transfer_id"
      ])
      const renamed = new Map(
        (yield* text("SELECT string_agg(was || ' ' || id, ',') FROM renamed")).split(",").map((pair) => [
          pair.slice(0, 36),
          pair.slice(37)
        ])
      )
      const first = order.split(",").slice(0, 10).map((id) => `transfer ${renamed.get(id)}`)
      const named = (says: string) => audit.filter((row) => row.includes(says)).map((row) => row.slice(0, 45))
      assert.deepStrictEqual(named(": 2 entries, sum 2"), first)
      assert.deepStrictEqual(named(": not what was chained"), first)
    }))
  it.effect("finds nothing any more when all is as it was", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* clean, { audit: [], patrol: [], script: [] })
    }))
})

layer(Books.migrated(migration), { timeout: "60 seconds" })(
  "the audit of a chain that is older than its hashes",
  (it) => {
    it.effect("finds links and reversals of before the migration clean, and what follows them", () =>
      Effect.gen(function*() {
        const { text } = yield* Books
        assert.strictEqual(
          yield* text("SELECT string_agg((seal IS NOT NULL)::text, ',' ORDER BY n) FROM wallet.chain"),
          "true,true,false,false"
        )
        assert.deepStrictEqual(yield* clean, { audit: [], patrol: [], script: [] })
      }))
    it.effect("names the place of an edit in every column of the entries, before and after", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* missed([...yield* entryEdits(2), ...yield* entryEdits(3)]), [])
      }))
    it.effect("names the place of an edit in every column of the transfers, before and after", () =>
      Effect.gen(function*() {
        const edits = yield* Effect.all([transferEdits(2), transferEdits(3)])
        assert.deepStrictEqual(yield* missed([...edits.flat(), yield* shifted(2), yield* shifted(3)]), [])
      }))
    it.effect("names the link of an edit in every column of the chain, sealed or not", () =>
      Effect.gen(function*() {
        const seal = (n: number, set: string): Edit => ({
          column: "seal",
          statements: [`UPDATE wallet.chain SET ${set} WHERE n = ${n}`],
          place: `link ${n}:`
        })
        const seals = [
          seal(1, `seal = ${flip("seal")}`),
          seal(2, `seal = ${flip("seal")}`),
          seal(2, `seal_leaves = ${flip("seal_leaves")}`),
          seal(2, "seal = NULL"),
          seal(2, "seal_leaves = NULL"),
          seal(2, "seal = NULL, seal_leaves = NULL"),
          seal(3, "seal = sha256('')"),
          seal(3, "seal_leaves = leaves"),
          seal(3, "seal = hash, seal_leaves = leaves")
        ]
        const edits = [1, 2, 3, 4].flatMap((n) => linkEdits(n))
        assert.deepStrictEqual(yield* missed([...edits, ...seals]), [])
      }))
  }
)

layer(Books.migrated(migration, edit), { timeout: "60 seconds" })(
  "the audit of books that were edited before",
  (it) => {
    it.effect("still names that place after the migration, and no other", () =>
      Effect.gen(function*() {
        const { text } = yield* Books
        const edited = yield* text("SELECT id::text FROM wallet.transfers WHERE key = '1:payment'")
        const { audit, script } = yield* clean
        assert.deepStrictEqual(audit.map((row) => row.slice(0, 45)), [`transfer ${edited}`])
        assert.deepStrictEqual(script, ["I8: the hash chain verifies: link 1"])
      }))
  }
)

/** What is noted of holds: how much, and whether at their beginning or their last change. */
const noted = Effect.fnUntraced(function*(...keys: ReadonlyArray<string>) {
  const { text } = yield* Books
  return yield* text(
    `SELECT string_agg(c.change || ' at ' || CASE c.at WHEN h.created_at THEN 'first' WHEN h.updated_at THEN 'last' ELSE 'another' END,
             ', ' ORDER BY c.seq)
        FROM wallet.holds h JOIN wallet.hold_changes c ON c.hold_id = h.id
       WHERE h.key IN (${keys.map((key) => `'${key}'`).join()})`
  )
})

layer(Books.migrated("0031_hold_changes"), { timeout: "60 seconds" })(
  "holds of before their changes were noted",
  (it) => {
    it.effect("count from their beginning, and what was captured of them from their last change on", () =>
      Effect.gen(function*() {
        for (const n of [1, 2, 3, 4]) {
          const changes = yield* noted(`${n}:hold`, `${n}:voided`)
          assert.strictEqual(changes, "30 at first, -10 at last, 5 at first, -5 at last")
        }
        assert.deepStrictEqual(yield* clean, { audit: [], patrol: [], script: [] })
      }))
  }
)

const setBack =
  "UPDATE wallet.holds SET updated_at = created_at - interval '1 minute' WHERE key IN ('1:hold', '2:voided')"

layer(Books.migrated("0031_hold_changes", setBack), { timeout: "60 seconds" })(
  "holds within whose life the clock was set back",
  (it) => {
    it.effect("end with their beginning", () =>
      Effect.gen(function*() {
        assert.strictEqual(yield* noted("1:hold", "1:voided"), "30 at first, -10 at first, 5 at first, -5 at last")
        assert.strictEqual(yield* noted("2:hold", "2:voided"), "30 at first, -10 at last, 5 at first, -5 at first")
        assert.deepStrictEqual(yield* clean, { audit: [], patrol: [], script: [] })
      }))
  }
)

layer(Books.migratedBeside("0031_hold_changes"), { timeout: "60 seconds" })(
  "a hold that a server of before makes during the migration",
  (it) => {
    it.effect("is noted with what was captured of it meanwhile, and can end", () =>
      Effect.gen(function*() {
        assert.strictEqual(yield* noted("beside"), "9 at first, -2 at another, -7 at last")
        assert.deepStrictEqual(yield* clean, { audit: [], patrol: [], script: [] })
      }))
  }
)

layer(Books.migrated("0032_entries_of_a_kind"), { timeout: "60 seconds" })(
  "entries of before they were found by their kind",
  (it) => {
    it.effect("have the kind of their transfer as those after it have", () =>
      Effect.gen(function*() {
        const { text } = yield* Books
        const kinds = (n: number) =>
          text(`SELECT string_agg(coalesce(e.kind, 'none'), ',' ORDER BY e.seq)
                  FROM wallet.transfers t JOIN wallet.entries e ON e.transfer_id = t.id WHERE t.key LIKE '${n}:%'`)
        for (const n of [1, 2, 3, 4]) {
          assert.strictEqual(
            yield* kinds(n),
            "charge,charge,charge,charge,fee,fee,reversal,reversal,fee,fee"
          )
        }
        assert.deepStrictEqual(yield* clean, { audit: [], patrol: [], script: [] })
      }))
  }
)
