import { Config, Effect, Layer, Schema } from "effect"
import { Figures } from "../http/middleware/Limits.ts"
import * as Policies from "../http/middleware/Policies.ts"
import { integer } from "./Bounded.ts"

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

/** A variable such as LIMIT_USER=300/10s. */
export const figure = (variable: string, fallback: { readonly limit: number; readonly windowSeconds: number }) =>
  Config.schema(Figure, variable).pipe(
    Config.map((text) => read(text) ?? fallback),
    Config.withDefault(fallback)
  )

/** Unfinished uploads are so many at once, not in some time. */
export const configurable = Object.values(Policies).filter(({ name }) => name !== Policies.unfinishedUploads.name)

/** Uploads of one member that are not finished. */
export const unfinishedUploads = integer("UPLOADS_UNFINISHED", Policies.unfinishedUploads.limit, { from: 1, to: 100 })

/** The figures in force; read once, when the limits are built. */
export const figuresLive = Layer.effect(
  Figures,
  Effect.gen(function*() {
    const own = new Map<string, { readonly limit: number; readonly windowSeconds: number }>()
    for (const { limit, name, windowSeconds } of configurable) {
      own.set(name, yield* figure(variableOf(name), { limit, windowSeconds }))
    }
    const { name, windowSeconds } = Policies.unfinishedUploads
    own.set(name, { limit: yield* unfinishedUploads, windowSeconds })
    return own
  })
)
