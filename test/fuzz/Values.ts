import { Predicate } from "effect"
import type { Random } from "../chaos/bank/Random.ts"

export type Json = Readonly<Record<PropertyKey, unknown>>
export const objectOf = (value: unknown): Json => Predicate.isObject(value) ? value : {}
export const listOf = (value: unknown): ReadonlyArray<unknown> => Array.isArray(value) ? value : []

/** What earlier answers have shown, so that requests can name things that exist: their own and other people's. */
export interface Seen {
  readonly ids: Array<string>
  readonly cursors: Array<string>
  readonly emails: Array<string>
  readonly tokens: Array<string>
}

export const password = "a long enough passphrase"

export const pick = <A>(random: Random, from: ReadonlyArray<A>, fallback: A): A =>
  from[random.between(0, Math.max(0, from.length - 1))] ?? fallback

const hex = (random: Random, length: number) =>
  Array.from({ length }, () => random.between(0, 15).toString(16)).join("")

export const uuid = (random: Random) =>
  `${hex(random, 8)}-${hex(random, 4)}-7${hex(random, 3)}-8${hex(random, 3)}-${hex(random, 12)}`

const word = (random: Random) => hex(random, random.between(1, 12))

const instants = [
  "2026-01-01T00:00:00.000Z",
  "2026-11-24T01:02:03Z",
  "1970-01-01T00:00:00Z",
  "9999-12-31T23:59:59.999Z"
]

/** Texts that mean something, by the name they go under: the document calls most of them just strings. */
const meant = (random: Random, name: string, seen: Seen): string | undefined => {
  if (/^(.*I|i)d$/.test(name)) return random.chance(0.8) ? pick(random, seen.ids, uuid(random)) : uuid(random)
  if (name === "email") {
    return random.chance(0.4)
      ? pick(random, seen.emails, "nobody@example.com")
      : `${word(random)}@example.com`
  }
  if (/password/i.test(name)) return random.chance(0.7) ? password : `${password} ${word(random)}`
  if (name === "cursor") return pick(random, seen.cursors, "eyJpZCI6IjEifQ")
  if (/token/i.test(name)) return pick(random, seen.tokens, hex(random, 64))
  if (/^(at|from|to)$|At$|Until$|deadline/i.test(name)) return pick(random, instants, "")
  if (/sha256/i.test(name)) return hex(random, 64)
  if (/currency/i.test(name)) return pick(random, ["NGN", "USD", "KES"], "NGN")
  if (/url$/i.test(name)) return "https://app.example.com/return"
  if (/type$/i.test(name)) return "video/mp4"
  return undefined
}

const text = (random: Random, schema: Json, name: string, seen: Seen): string => {
  const least = Number(schema["minLength"] ?? 0)
  const most = Number(schema["maxLength"] ?? 40)
  const known = random.chance(0.9) ? meant(random, name, seen) : undefined
  const some = known ??
    pick(random, [word(random), "ä ö", "𝒳", "x".repeat(most), "x".repeat(least), "x".repeat(most + 1)], "x")
  return some.padEnd(random.chance(0.95) ? least : 0, "x")
}

const whole = (random: Random, schema: Json): number => {
  const least = Number(schema["minimum"] ?? 0)
  const most = Number(schema["maximum"] ?? 1_000_000)
  return pick(random, [least, most, random.between(least, Math.min(most, least + 1_000)), least - 1, most + 1], least)
}

export const resolve = (document: Json, schema: Json): Json => {
  const ref = schema["$ref"]
  if (typeof ref !== "string") return schema
  return resolve(
    document,
    objectOf(ref.slice(2).split("/").reduce<unknown>((node, key) => objectOf(node)[key], document))
  )
}

/** A value as the schema wants it, at or just beyond a boundary now and then. */
export const valueOf = (random: Random, given: Json, name: string, document: Json, seen: Seen): unknown => {
  const schema = resolve(document, given)
  const next = (one: unknown, under = name) => valueOf(random, objectOf(one), under, document, seen)
  if (schema["enum"] !== undefined) return pick(random, listOf(schema["enum"]), "")
  if (schema["const"] !== undefined) return schema["const"]
  if (schema["anyOf"] !== undefined) return next(pick(random, listOf(schema["anyOf"]), {}))
  if (schema["allOf"] !== undefined) {
    return next({ ...schema, allOf: undefined, ...objectOf(listOf(schema["allOf"])[0]) })
  }
  switch (schema["type"]) {
    case "string":
      return text(random, schema, name, seen)
    case "integer":
    case "number":
      return whole(random, schema)
    case "boolean":
      return random.chance(0.5)
    case "null":
      return null
    case "array":
      return Array.from({ length: random.between(Number(schema["minItems"] ?? 0), 3) }, () => next(schema["items"]))
    default: {
      const required = listOf(schema["required"])
      return Object.fromEntries(
        Object.entries(objectOf(schema["properties"]))
          .filter(([member]) => required.includes(member) || random.chance(0.5))
          .map(([member, one]) => [member, next(one, member)])
      )
    }
  }
}

/** JSON texts, as they go over the wire, that a careless server stumbles over. */
const wrongTexts = [
  "null",
  "true",
  "0",
  "-1",
  "0.1",
  "-0",
  "1e400",
  "-1e400",
  "9007199254740993",
  "1e12",
  "1000000000001",
  "\"5\"",
  "\"\"",
  "[]",
  "{}",
  "[[]]",
  "{\"__proto__\":{\"role\":\"admin\"}}",
  "\"\\u0000\"",
  "\"\\ud800\"",
  "\"\\udc00x\"",
  "\"\\u202e\"",
  "\"\\ufeff\"",
  "\"'; DROP TABLE users; --\"",
  "\"%00\"",
  "\"../../etc/passwd\"",
  "\"${7*7}\"",
  "\"NaN\"",
  "NaN",
  "Infinity",
  "undefined",
  "'x'",
  "\"2026-02-30T00:00:00Z\"",
  "\"+275760-09-13T00:00:00Z\"",
  "\"-271821-04-20T00:00:00Z\"",
  "\"0000-00-00\"",
  "\"constructor\"",
  "\"toString\""
] as const

const huge = (random: Random) => JSON.stringify("x".repeat(pick(random, [300, 5_000, 60_000, 70_000], 300)))
const deep = (random: Random) => {
  const levels = pick(random, [33, 100, 5_000], 33)
  return random.chance(0.5)
    ? "[".repeat(levels) + "]".repeat(levels)
    : "{\"a\":".repeat(levels) + "1" + "}".repeat(levels)
}

export const wrongText = (random: Random): string =>
  random.chance(0.1) ? huge(random) : random.chance(0.1) ? deep(random) : random.pick(wrongTexts)

/** An object's members as JSON text, one or more of them spoilt: of another type, missing, doubled, or unheard of. */
const spoilt = (random: Random, value: Json): string => {
  const members = Object.entries(value).map(([name, one]) =>
    [JSON.stringify(name), JSON.stringify(one) ?? "null"] as const
  )
  const at = random.between(0, Math.max(0, members.length - 1))
  const wrong = wrongText(random)
  const other = members.map((member, n) => n === at ? [member[0], wrong] as const : member)
  const extra = JSON.stringify(
    pick(random, ["role", "balance", "userId", "__proto__", "id", "", "\u{1F600}", "constructor"], "x")
  )
  const chosen = pick(random, [
    other,
    other,
    other,
    members.filter((_, n) => n !== at),
    [...members, [extra, wrong] as const],
    [...members, ...members.slice(at, at + 1)],
    [...other, ...members.slice(at, at + 1)]
  ], other)
  return `{${chosen.map(([name, one]) => `${name}:${one}`).join(",")}}`
}

/** A body's bytes for a schema: right, wrong in a member, wrong altogether, or not JSON. */
export const bodyOf = (random: Random, schema: Json, document: Json, seen: Seen): Buffer => {
  const value = objectOf(valueOf(random, schema, "", document, seen))
  const text = JSON.stringify(value)
  const turn = random.between(1, 100)
  if (turn <= 45) return Buffer.from(text)
  if (turn <= 80) return Buffer.from(spoilt(random, value))
  if (turn <= 88) return Buffer.from(wrongText(random))
  return pick(random, [
    Buffer.from(text.slice(0, random.between(0, text.length))),
    Buffer.from(`${text}${text}`),
    Buffer.from(text.replaceAll("\"", "'")),
    Buffer.from(`\ufeff${text}`),
    Buffer.from([0xff, 0xfe, 0x00, 0x7b]),
    Buffer.from(`{"a":"${"\u0000\u0001"}"}`),
    Buffer.from(text.replace("{", "{\"a\":\"\x80\","), "latin1"),
    Buffer.from(`${" ".repeat(65_600)}${text}`),
    Buffer.alloc(0)
  ], Buffer.alloc(0))
}
