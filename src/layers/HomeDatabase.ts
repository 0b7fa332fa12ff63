import { Config, ConfigProvider, Effect, Layer, Option, Redacted, Schema } from "effect"
import { join, resolve } from "node:path"
import * as Settings from "./Config.ts"
import { EmbeddedPostgres } from "./EmbeddedPostgres.ts"

export class NoDatabase extends Schema.TaggedError<NoDatabase>()("NoDatabase", { message: Schema.String }) {}

/**
 * For commands that look at a database: the one of DATABASE_URL, or the embedded one that `npm start` runs in
 * MIDNIGHT_HOME. Where there is neither, it says what to do.
 */
export const homeDatabase = Layer.unwrap(
  Effect.gen(function*() {
    const given = yield* Config.option(Settings.databaseUrl)
    const running = yield* EmbeddedPostgres.find(join(resolve(yield* Settings.home), "postgres"))
    if (Option.isSome(given)) return Layer.empty
    if (Option.isNone(running)) {
      return yield* new NoDatabase({
        message: "There is no database to look at: start Midnight with npm start, or set DATABASE_URL."
      })
    }
    return ConfigProvider.layerAdd(ConfigProvider.fromUnknown({ DATABASE_URL: Redacted.value(running.value) }))
  })
)
