import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Cause, Config, Console, Effect, Exit, Layer, Predicate, type Runtime, Schema, SchemaIssue } from "effect"
import { SqlError } from "effect/sql"
import { join } from "node:path"
import * as Settings from "./Config.ts"
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

const issuesOf = SchemaIssue.makeFormatterStandardSchemaV1()

const messageOf = (error: unknown): string => {
  if (error instanceof Config.ConfigError && Schema.isSchemaError(error.cause)) {
    const wrong = issuesOf(error.cause.issue).issues.map(({ message, path }) =>
      `${(path ?? []).join(".")} is missing or wrong (${message})`
    )
    return `${wrong.join("; ")}. .env.example describes every variable.`
  }
  if (SqlError.isSqlError(error)) {
    return `The database does not answer as it should: ${
      String(error.reason.cause)
    }. Is it running, and has \`npm run migrate\` `
      + "been run on it?"
  }
  return error instanceof Error || Predicate.hasProperty(error, "message") ? String(error.message) : String(error)
}

/** One line that says what is wrong, and an exit code that tells supervisors whether trying again can help. */
const explained = (name: string) => <A, E, R>(main: Effect.Effect<A, E, R>) =>
  Effect.catch(main, (error) =>
    Effect.andThen(
      // The help that was shown instead says what was wrong with the command line.
      Predicate.isTagged(error, "ShowHelp") ? Effect.void : Console.error(`${name}: ${messageOf(error)}`),
      Effect.sync(() => {
        process.exitCode = error instanceof Config.ConfigError ? configurationExitCode : 1
      })
    ))

// A process that was told to stop, and did, has done well; NodeRuntime would report 130.
const teardown: Runtime.Teardown = (exit, onExit) =>
  onExit(Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause) ? Number(process.exitCode ?? 0) : 1)

/** Runs a command to its end. A missing or wrong setting is one line with the variable's name. */
export const runCommand = <A, E>(name: string, command: Effect.Effect<A, E>): void =>
  NodeRuntime.runMain(explained(name)(command), { teardown })

/** Runs a server process until SIGTERM. */
export const launchProcess = <A, E>(name: string, server: Layer.Layer<A, E>): void =>
  runCommand(name, Layer.launch(server.pipe(Layer.provide(ParentWatch), Layer.provide(telemetry(name)))))
