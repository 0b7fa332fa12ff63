import { Config, Effect, Layer, Option } from "effect"
import * as Settings from "../layers/Config.ts"
import { connections } from "../layers/EdgeSettings.ts"
import { serveHttp } from "../layers/HttpServer.ts"
import { launchProcess } from "../layers/ProcessMain.ts"
import { sandboxProvider } from "../layers/sandbox/SandboxProvider.ts"
import { secret } from "../layers/Secrets.ts"

/** The sandbox payment provider: a service of its own, that Midnight reaches over HTTP like any other provider. */
const sandbox = Layer.unwrap(Effect.gen(function*() {
  const apiPort = yield* Settings.port("PORT", 3000)
  const publicUrl = yield* Config.option(Config.NonEmptyString("SANDBOX_PUBLIC_URL"))
  const provider = sandboxProvider({
    home: yield* Settings.home,
    secretKey: yield* secret("SANDBOX_SECRET_KEY"),
    webhookSecret: yield* secret("SANDBOX_WEBHOOK_SECRET"),
    webhookUrl: yield* Config.NonEmptyString("SANDBOX_WEBHOOK_URL").pipe(
      Config.withDefault(`http://127.0.0.1:${apiPort}/api/webhooks/sandbox`)
    ),
    publicUrl: Option.getOrUndefined(publicUrl)
  })
  return serveHttp(provider, {
    port: yield* Settings.port("SANDBOX_PORT", 3002),
    host: yield* Settings.host,
    portVariable: "SANDBOX_PORT",
    corsOrigins: [],
    ...(yield* connections),
    drain: "5 seconds"
  })
}))

launchProcess("sandbox", sandbox)
