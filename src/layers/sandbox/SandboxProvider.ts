import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Effect, Layer, type Redacted } from "effect"
import { join } from "node:path"
import { ChargeBook } from "./ChargeBook.ts"
import { MovementBook } from "./MovementBook.ts"
import { routes } from "./Routes.ts"
import { makeWebhooks } from "./Webhooks.ts"

export interface SandboxProviderOptions {
  /** Its state is kept in `<home>/sandbox`. */
  readonly home: string
  readonly secretKey: Redacted.Redacted<string>
  readonly webhookSecret: Redacted.Redacted<string>
  readonly webhookUrl: string
  readonly publicUrl: string | undefined
}

/** The routes of the sandbox payment provider over its own state, to be served by whatever HTTP server there is. */
export const sandboxProvider = (options: SandboxProviderOptions) =>
  Layer.unwrap(
    Effect.gen(function*() {
      const book = yield* Effect.acquireRelease(
        Effect.sync(() => new ChargeBook(join(options.home, "sandbox", "charges.jsonl"))),
        (book) => Effect.promise(() => book.close())
      )
      const movements = yield* Effect.acquireRelease(
        Effect.sync(() => new MovementBook(join(options.home, "sandbox", "movements.jsonl"))),
        (book) => Effect.promise(() => book.close())
      )
      const announce = yield* makeWebhooks(book, { url: options.webhookUrl, secret: options.webhookSecret })
      return routes(book, movements, { ...options, announce })
    })
  ).pipe(Layer.provide(NodeHttpClient.layerUndici))
