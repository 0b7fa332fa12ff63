import { assert, describe, it } from "@effect/vitest"
import { DateTime, Option, Schema } from "effect"
import { Instant } from "../../src/domain/Instant.ts"

const read = (text: string) => Option.map(Schema.decodeUnknownOption(Instant)(text), DateTime.formatIso)

describe("an instant from outside", () => {
  it("is read with its offset", () => {
    assert.deepStrictEqual(read("2026-01-31T23:59:59Z"), Option.some("2026-01-31T23:59:59.000Z"))
    assert.deepStrictEqual(read("2026-02-01T00:30:00.5+01:00"), Option.some("2026-01-31T23:30:00.500Z"))
  })

  for (
    const text of [
      "5",
      "2026",
      "2026-01-31",
      "2026-01-31T10:00:00",
      "2026-02-30T10:00:00Z",
      "2026-01-31T25:00:00Z",
      "1e3",
      ""
    ]
  ) {
    it(`is not "${text}"`, () => {
      assert.isTrue(Option.isNone(read(text)))
    })
  }
})
