import { assert, layer } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { elsewhere } from "../../src/domain/IdentityAccount.ts"
import { type Call, send } from "../layers/ApiTest.ts"
import { contracts } from "./AllContracts.ts"
import { Ground } from "./RouteContract.ts"

const lists = Object.entries(contracts).filter(([, { shape }]) => (shape[""] ?? []).includes("nextCursor"))
const Page = Schema.Struct({
  items: Schema.Array(Schema.Struct({ id: Schema.String })),
  nextCursor: Schema.NullOr(Schema.String)
})

const pageOf = Effect.fnUntraced(function*(call: Omit<Call, "method">, query: string) {
  const answer = yield* send({ ...call, method: "GET", path: `${call.path}?${query}` })
  assert.strictEqual(answer.status, 200, answer.text)
  return yield* Schema.decodeUnknownEffect(Page)(answer.json)
})

/** A list at once, page by page, and at once again. */
const readTwice = Effect.fnUntraced(function*(call: Omit<Call, "method">) {
  const atOnce = Effect.map(pageOf(call, "limit=100"), ({ items, nextCursor }) => {
    assert.strictEqual(nextCursor, null)
    return items.map(({ id }) => id)
  })
  const whole = yield* atOnce
  const pages: Array<string> = []
  let next = ""
  do {
    const { items, nextCursor } = yield* pageOf(call, `limit=1${next}`)
    assert.isAtMost(items.length, 1)
    pages.push(...items.map(({ id }) => id))
    next = nextCursor === null ? "" : `&cursor=${nextCursor}`
  } while (next !== "" && pages.length <= whole.length)
  return { whole, pages, after: yield* atOnce }
})

/** Cursors as somebody would make them who has looked into one: each has another value at the place of a string. */
const forgeries = (cursor: string): ReadonlyArray<string> => {
  const text = Buffer.from(cursor, "base64url").toString()
  const forged = [
    "",
    "nonsense",
    "-1",
    "9223372036854775808",
    "infinity",
    "2026-02-30T00:00:00.000000+00",
    "\\u0000",
    "' OR 1=1"
  ]
  const values = [...text.matchAll(/"[^"]*":?/g)].filter(([found]) => !found.endsWith(":"))
  assert.isAtLeast(values.length, 1)
  return values.flatMap(({ 0: { length }, index }) =>
    forged.map((value) =>
      Buffer.from(`${text.slice(0, index)}"${value}"${text.slice(index + length)}`).toString("base64url")
    )
  )
}

layer(Ground, { timeout: "60 seconds", excludeTestServices: true })("lists", (it) => {
  it("are these", () => {
    assert.isAtLeast(lists.length, 5)
  })

  it("of what is a member's own are in the export, or named by it", () => {
    const own = lists.filter(([route, { role, signedIn }]) => signedIn && role === undefined && !route.includes(":"))
      .map(([route]) => route.replace("GET ", ""))
    assert.sameMembers(own, [...elsewhere, "/api/auth/sessions"])
  })

  for (const [route, { attempt }] of lists) {
    it.effect(`${route} goes on where the page before ended, to the end`, () =>
      Effect.gen(function*() {
        for (const _ of [1, 2, 3]) yield* attempt
        const call = yield* attempt
        // What the server does by itself, such as a comparison after a minute, may add to a list while it is read.
        const { pages, whole } = yield* readTwice(call).pipe(
          Effect.repeat({ times: 10, until: ({ after, whole }) => after.join() === whole.join() })
        )
        assert.deepStrictEqual(pages, whole)
      }))

    it.effect(`${route} takes a forged cursor for a place in the caller's own list, or refuses it`, () =>
      Effect.gen(function*() {
        for (const _ of [1, 2]) yield* attempt
        const call = yield* attempt
        const { nextCursor } = yield* pageOf(call, "limit=1")
        assert.isString(nextCursor)
        for (const cursor of forgeries(nextCursor ?? "")) {
          const answer = yield* send({ ...call, method: "GET", path: `${call.path}?cursor=${cursor}` })
          assert.include([200, 400], answer.status, `${Buffer.from(cursor, "base64url").toString()} ${answer.text}`)
        }
      }))
  }
})
