import { DateTime, Option, Schema } from "effect"

const iso = /^[2-9]\d{3}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d)$/

/**
 * An instant that somebody sends: ISO 8601 with date, time and offset. `Date` reads much more than that (`5` is a day of May
 * 2001 to it, the 30th of February the 2nd of March), and an interval that was meant otherwise is worse than a refusal.
 */
export const Instant = Schema.String.check(Schema.makeFilter((text: string) => {
  const read = iso.test(text) ? DateTime.make(text) : Option.none()
  // Read without its offset, a date that exists comes back as it was written.
  const local = Option.filter(
    read,
    () =>
      Option.exists(
        DateTime.make(`${text.slice(0, 10)}T00:00:00Z`),
        (day) => DateTime.formatIso(day).startsWith(text.slice(0, 10))
      )
  )
  return Option.isSome(local) || "an instant in ISO 8601 with its offset, such as 2026-01-31T23:59:59Z"
})).pipe(Schema.decodeTo(Schema.DateTimeUtcFromString)).annotate({ description: "ISO 8601 with date, time and offset" })
