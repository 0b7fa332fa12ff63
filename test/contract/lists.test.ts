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
        const whole = yield* pageOf(call, "limit=100")
        const seen: Array<string> = []
        let next = ""
        do {
          const { items, nextCursor } = yield* pageOf(call, `limit=1${next}`)
          assert.isAtMost(items.length, 1)
          seen.push(...items.map(({ id }) => id))
          next = nextCursor === null ? "" : `&cursor=${nextCursor}`
        } while (next !== "" && seen.length <= whole.items.length)
        assert.deepStrictEqual(seen, whole.items.map(({ id }) => id))
        assert.strictEqual(whole.nextCursor, null)
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
