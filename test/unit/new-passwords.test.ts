import { assert, describe, it } from "@effect/vitest"
import { Option, Schema } from "effect"
import { NewPassword } from "../../src/domain/Identity.ts"

const decode = Schema.decodeUnknownOption(NewPassword)
const isTaken = (password: string) => Option.isSome(decode(password))

describe("a new password", () => {
  for (
    const common of [
      "1".repeat(17),
      "b".repeat(15),
      "Ä".repeat(20),
      "abcabcabcabcabcab",
      "Sommer24Sommer24",
      "x9!x9!x9!x9!x9!x",
      "34567890123456789",
      "rqponmlkjihgfedcba",
      "aaaaaaaabbbbbbbbb",
      "1111111111111111a",
      "123456789876543210",
      "qwertyuiopasdfghjklzxcvbnm",
      "Correct Horse Battery Staple"
    ]
  ) it(`is not ${common}`, () => assert.isFalse(isTaken(common)))

  for (
    const good of [
      "a long enough passphrase",
      "another long passphrase",
      "yellow bicycle under rain",
      "seven9seven10seven11",
      "abc123 defines the rest",
      "kVx3qPz81mWc7Rt",
      "wintergarden-sommer"
    ]
  ) it(`may be ${good}`, () => assert.isTrue(isTaken(good)))
})
