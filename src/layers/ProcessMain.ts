import { NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer } from "effect"
import { join } from "node:path"
import * as Settings from "./Config.ts"
import type { CannotListen } from "./HttpServer.ts"
import { ParentWatch } from "./ParentWatch.ts"
import { configurationExitCode } from "./Processes.ts"
import * as Telemetry from "./Telemetry.ts"

/** Telemetry of one of the server processes. Spans go to disk where `npm start` runs them, for `npm run trace`. */
const telemetry = (serviceName: string) =>
  Layer.unwrap(Effect.gen(function*() {
    const home = yield* Settings.home
    const supervised = yield* Config.Boolean("MIDNIGHT_SUPERVISED").pipe(Config.withDefault(false))
    const spanFolder = supervised ? join(home, "spans") : undefined
    return Telemetry.layer({ serviceName, version: "0.1.0", spanFolder, ...(yield* Telemetry.logConfig) })
  }))

/**
 * Runs a server process until SIGTERM. A missing or wrong setting ends it with the variable's name and an exit code that
 * tells supervisors not to try again.
 */
export const launchProcess = <A, E>(
  name: string,
  server: Layer.Layer<A, E | Config.ConfigError | CannotListen>
): void =>
  Layer.launch(server.pipe(Layer.provide(ParentWatch), Layer.provide(telemetry(name)))).pipe(
    Effect.catchIf(
      (error) => error instanceof Config.ConfigError,
      (error) =>
        Effect.andThen(
          Console.error(`The ${name} process cannot start. ${error.message}`),
          Effect.sync(() => {
            process.exitCode = configurationExitCode
          })
        )
    ),
    NodeRuntime.runMain
  )
