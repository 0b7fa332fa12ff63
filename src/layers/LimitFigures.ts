import { Config, Effect, Layer, Option, Schema } from "effect"
import { Figures } from "../http/middleware/Limits.ts"
import * as Policies from "../http/middleware/Policies.ts"

const seconds = { s: 1, m: 60, h: 3_600 } as const
const form = /^([1-9][0-9]{0,6})\/([1-9][0-9]{0,4})([smh])$/

const read = (text: string) => {
  const [, limit, count, unit] = form.exec(text) ?? []
  if (unit !== "s" && unit !== "m" && unit !== "h") return undefined
  const windowSeconds = Number(count) * seconds[unit]
  return windowSeconds <= 86_400 ? { limit: Number(limit), windowSeconds } : undefined
}

const Figure = Schema.String.check(
  Schema.makeFilter((text: string) =>
    read(text) !== undefined || "a number of requests and a time of at most a day, such as 300/10s, 100/15m or 20/1h"
  )
)

/** LIMIT_USER for `user`, LIMIT_EMAIL_TRANSFERS for `email-transfers`. */
export const variableOf = (name: string): string => `LIMIT_${name.toUpperCase().replaceAll("-", "_")}`

/** What the database counts has its figures in the service. */
export const configurable = Object.values(Policies).filter(({ countedBy }) => countedBy !== "database")

/** The figures that a deployment sets of its own; read once, when the limits are built. */
export const figuresLive = Layer.effect(
  Figures,
  Effect.gen(function*() {
    const own = new Map<string, { readonly limit: number; readonly windowSeconds: number }>()
    for (const { name } of configurable) {
      const text = yield* Config.option(Config.schema(Figure, variableOf(name)))
      const figure = Option.isSome(text) ? read(text.value) : undefined
      if (figure !== undefined) own.set(name, figure)
    }
    return own
  })
)
