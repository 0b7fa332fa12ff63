import { Config, Duration, Option, Schema } from "effect"

/**
 * A variable that has bounds. What is outside of them, or unreadable, ends the start with the variable's name, what is
 * allowed and what was given: a limit of zero, or one that is as good as none, is found before the first request.
 */
const within = <A>(name: string, fallback: A, parse: (text: string) => A | undefined, allowed: string) => {
  const isAllowed = Schema.makeFilter((text: string) =>
    parse(text.trim()) !== undefined || `expected ${allowed}, got ${JSON.stringify(text.slice(0, 80))}`
  )
  return Config.schema(Schema.String.check(isAllowed), name).pipe(
    Config.map((text) => parse(text.trim()) ?? fallback),
    Config.withDefault(fallback)
  )
}

export interface Bounds<A> {
  readonly from: A
  readonly to: A
}

const decodeDuration = Schema.decodeUnknownOption(Schema.DurationFromString)

/** A time such as `500 millis`, `10 seconds` or `15 minutes`. */
export const duration = (name: string, fallback: Duration.Input, { from, to }: Bounds<Duration.Input>) => {
  const [least, most] = [Duration.fromInputUnsafe(from), Duration.fromInputUnsafe(to)]
  return within(
    name,
    Duration.fromInputUnsafe(fallback),
    (text) =>
      Option.getOrUndefined(
        Option.filter(decodeDuration(text), Duration.between({ minimum: least, maximum: most }))
      ),
    `a time from ${Duration.format(least)} to ${Duration.format(most)}, such as "${fallback}"`
  )
}

/** The same in milliseconds, for what takes numbers. */
export const millis = (name: string, fallback: Duration.Input, bounds: Bounds<Duration.Input>) =>
  Config.map(duration(name, fallback, bounds), Duration.toMillis)

/** A whole number. */
export const integer = (name: string, fallback: number, { from, to }: Bounds<number>) =>
  within(
    name,
    fallback,
    (text) => {
      const value = Number(text)
      return /^[0-9]{1,16}$/.test(text) && value >= from && value <= to ? value : undefined
    },
    `a whole number from ${from} to ${to}`
  )
