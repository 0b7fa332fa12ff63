import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Console, Effect, Layer, Logger } from "effect"
import { Command, Flag } from "effect/cli"
import { examineDatabase } from "../layers/doctor/Report.ts"
import { drawReport } from "../layers/doctor/Screen.ts"
import { homeDatabase } from "../layers/HomeDatabase.ts"
import { ownerPool } from "../layers/Pools.ts"

const json = Flag.Boolean("json").pipe(Flag.withDescription("Print the report as JSON"), Flag.withDefault(false))

const failed = Effect.sync(() => {
  process.exitCode = 1
})
const complain = (message: string) => Effect.andThen(Console.error(message), failed)

const database = ownerPool("midnight-doctor").pipe(Layer.provide(homeDatabase))

const doctor = Command.make(
  "doctor",
  { json },
  Effect.fnUntraced(function*({ json }) {
    const report = yield* Effect.provide(examineDatabase(), database)
    if (json) yield* Console.log(JSON.stringify(report, undefined, 2))
    else {
      const colour = process.stdout.isTTY && process.env["NO_COLOR"] === undefined
      const width = process.stdout.isTTY ? Math.min(process.stdout.columns, 180) : 140
      yield* Console.log(drawReport(report, { colour, width }).join("\n"))
    }
    if (!report.healthy) yield* failed
  })
).pipe(
  Command.withDescription(
    "Examines the database of DATABASE_URL, or the running one of MIDNIGHT_HOME: slow statements, the plan of every "
      + "query that the servers send, use of indexes, sizes. Ends with 1 when a query lacks its index or reads a large "
      + "table as a whole. Changes nothing, except that it creates the extension pg_stat_statements where it may."
  ),
  Command.withExamples([
    { command: "npm run doctor", description: "The four reports and what is wrong" },
    { command: "npm run --silent doctor -- --json", description: "The same, for a program" }
  ])
)

doctor.pipe(
  Command.run({ version: "0.1.0" }),
  Effect.catchTag("NotMigrated", ({ message }) => complain(message)),
  Effect.catchTag(
    "SqlError",
    ({ message, reason }) => complain(`The database did not answer as expected. ${message} ${String(reason.cause)}`)
  ),
  Effect.catchTags({
    ConfigError: ({ message }) => complain(message),
    NoDatabase: ({ message }) => complain(message)
  }),
  Effect.provide(NodeServices.layer),
  Effect.provide(Logger.layer([Logger.withConsoleError(Logger.formatSimple)])),
  NodeRuntime.runMain
)
