import { DateTime, Effect, Option, Schema } from "effect"
import { Base64Url } from "effect/encoding"
import { InvalidRequest } from "./Problem.ts"

/** How many items a page has: at most 100, 20 when nothing is asked. */
export const Limit = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100 }))
export const defaultLimit = 20

/** Query parameters that every list takes. */
export const pageQuery = {
  cursor: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(512))),
  limit: Schema.optionalKey(Limit)
}

/** A list: the items, and where the next page begins (null at the end). */
export const pageOf = <S extends Schema.Top>(item: S) =>
  Schema.Struct({ items: Schema.Array(item), nextCursor: Schema.NullOr(Schema.String) })

const instant = /^[2-9]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00$/

/** An instant in a cursor, to the microsecond as the database writes it: a Date would round it, and lose or repeat items. */
export const PositionInstant = Schema.String.check(Schema.makeFilter((text: string) => {
  const read = instant.test(text) ? DateTime.make(text.replace("+00", "Z")) : Option.none()
  // The 30th of February is read as the 2nd of March, and would be refused by the database.
  const exact = Option.exists(read, (at) => DateTime.formatIso(at).slice(0, 19) === text.slice(0, 19))
  return exact || "an instant to the microsecond"
}))

/** A bigint in a cursor: what JSON cannot say as a number, within what the database can hold. */
export const PositionNumber = Schema.BigIntFromString.check(
  Schema.isBetweenBigInt({ minimum: 0n, maximum: 9_223_372_036_854_775_807n })
)

/**
 * Opaque cursors over a position: base64url of its JSON. They carry no rights: a tampered one can only name another
 * position in the caller's own list, and one that does not decode is refused.
 */
export const cursorOf = <S extends Schema.Codec<unknown, unknown>>(position: S) => {
  const json = Schema.fromJsonString(position)
  const encode = Schema.encodeEffect(json)
  const decode = Schema.decodeEffect(json)
  return {
    encode: (value: S["Type"]): Effect.Effect<string> =>
      Effect.map(Effect.orDie(encode(value)), (text) => Base64Url.encode(text)),
    decode: (cursor: string | undefined): Effect.Effect<Option.Option<S["Type"]>, InvalidRequest> =>
      cursor === undefined
        ? Effect.succeed(Option.none())
        : Effect.fromResult(Base64Url.decodeString(cursor)).pipe(
          Effect.flatMap(decode),
          Effect.map((value) => Option.some(value)),
          Effect.mapError(() => badCursor)
        )
  }
}

const badCursor = new InvalidRequest({
  detail: "The cursor is not one that this list gave out.",
  errors: [{ pointer: "/query/cursor", detail: "the nextCursor of the page before, or none" }]
})

/** Cuts a list that was read with one item more than asked, and says where the next page begins. */
export const cut = <A>(
  rows: ReadonlyArray<A>,
  limit: number,
  cursor: (last: A) => Effect.Effect<string>
): Effect.Effect<{ readonly items: ReadonlyArray<A>; readonly nextCursor: string | null }> => {
  const items = rows.slice(0, limit)
  const last = items.at(-1)
  return rows.length <= limit || last === undefined
    ? Effect.succeed({ items, nextCursor: null })
    : Effect.map(cursor(last), (nextCursor) => ({ items, nextCursor }))
}
