import { Config, ConfigProvider, Effect, Layer, Option, Redacted } from "effect"
import { join, resolve } from "node:path"
import * as Settings from "./Config.ts"
import { EmbeddedPostgres } from "./EmbeddedPostgres.ts"

/**
 * For commands that look at a database: the one of DATABASE_URL, or the embedded one that `npm start` runs in
 * MIDNIGHT_HOME. Where there is neither, the configuration error about DATABASE_URL stands.
 */
export const homeDatabase = Layer.unwrap(
  Effect.gen(function*() {
    const given = yield* Config.option(Settings.databaseUrl)
    const running = yield* EmbeddedPostgres.find(join(resolve(yield* Settings.home), "postgres"))
    if (Option.isSome(given) || Option.isNone(running)) return Layer.empty
    return ConfigProvider.layerAdd(ConfigProvider.fromUnknown({ DATABASE_URL: Redacted.value(running.value) }))
  })
)
