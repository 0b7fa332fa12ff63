import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Config, Console, Effect, FileSystem, Logger, Path, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import * as SpanStore from "../layers/telemetry/SpanStore.ts"
import { draw } from "../layers/telemetry/Waterfall.ts"

class NoTrace extends Schema.TaggedError<NoTrace>()("NoTrace", { message: Schema.String }) {}

const requestId = Argument.String("request-id").pipe(
  Argument.withDescription("The X-Request-Id of an answer, or request_id of a problem or log line")
)
const json = Flag.Boolean("json").pipe(
  Flag.withDescription("Print the spans as JSON instead of drawing them"),
  Flag.withDefault(false)
)

const trace = Command.make(
  "trace",
  { requestId, json },
  Effect.fnUntraced(function*({ json, requestId }) {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const home = yield* Config.NonEmptyString("MIDNIGHT_HOME").pipe(Config.withDefault(".midnight"))
    const folder = path.join(home, "spans")
    if (!(yield* fs.exists(folder))) {
      return yield* new NoTrace({
        message:
          `${path.resolve(folder)} does not exist: no Midnight has run with this home. Start one with npm start, `
          + "or set MIDNIGHT_HOME to the home of the one that served the request."
      })
    }
    const spans = yield* SpanStore.find(folder, requestId)
    if (spans.length === 0) {
      return yield* new NoTrace({
        message:
          `No trace of request ${requestId} in ${path.resolve(folder)}. It may be older than what is kept there, `
          + "not sampled, or less than a second old."
      })
    }
    if (json) return yield* Console.log(JSON.stringify({ requestId, spans }, undefined, 2))
    const colour = process.stdout.isTTY && process.env["NO_COLOR"] === undefined
    const width = process.stdout.isTTY ? Math.min(process.stdout.columns, 160) : 110
    yield* Effect.forEach(draw(spans, { width, colour, requestId }), (line) => Console.log(line))
  })
).pipe(
  Command.withDescription("Draw what happened in a request, across all processes, as a waterfall"),
  Command.withExamples([
    { command: "npm run trace -- 01a20609-adb8-749f-b120-c3e9941c0f04", description: "Draw the request's trace" },
    {
      command: "npm run --silent trace -- 01a20609-adb8-749f-b120-c3e9941c0f04 --json",
      description: "The spans, for a program"
    }
  ])
)

trace.pipe(
  Command.run({ version: "0.1.0" }),
  Effect.catchTag(
    "NoTrace",
    ({ message }) => Console.error(message).pipe(Effect.andThen(Effect.sync(() => void (process.exitCode = 1))))
  ),
  Effect.provide(NodeServices.layer),
  Effect.provide(Logger.layer([Logger.withConsoleError(Logger.formatSimple)])),
  NodeRuntime.runMain
)
