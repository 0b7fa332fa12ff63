import * as NodeServices from "@effect/platform-node/NodeServices"
import { Console, DateTime, Effect, Layer, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { type DeadLetter, QueueName } from "../domain/DeadLetters.ts"
import { homeDatabase } from "../layers/HomeDatabase.ts"
import { ownerPool } from "../layers/Pools.ts"
import { runCommand } from "../layers/ProcessMain.ts"
import { mailQueue, paymentQueue, settlementQueue, verificationQueue } from "../services/CommandStore.ts"
import { DeadLetters } from "../services/DeadLetters.ts"
import { webhookQueue } from "../services/WebhookLogStore.ts"

const most = 100
const json = Flag.Boolean("json").pipe(Flag.withDescription("Print JSON"), Flag.withDefault(false))
const queueFlag = Flag.Literals("queue", QueueName.literals).pipe(
  Flag.withDescription("Only this queue"),
  Flag.optional
)

/** All of them, page by page. */
const everyLetter = Effect.fnUntraced(function*(queue: Option.Option<QueueName>) {
  const letters = yield* DeadLetters
  const all: Array<DeadLetter> = []
  let cursor: string | undefined
  do {
    const page = yield* letters.list({ queue: Option.getOrUndefined(queue), cursor, limit: most })
    all.push(...page.items)
    cursor = page.nextCursor ?? undefined
  } while (cursor !== undefined)
  return all
})

const firstLine = (failure: string | null) => (failure ?? "no failure was written down").split("\n", 1)[0] ?? ""

const list = Command.make(
  "list",
  { queue: queueFlag, json },
  Effect.fnUntraced(function*({ json, queue }) {
    const all = yield* everyLetter(queue)
    if (json) return yield* Console.log(JSON.stringify(all, undefined, 2))
    for (const { attempts, failedAt, id, lastFailure, queue } of all) {
      yield* Console.log(`${queue.padEnd(21)} ${id}`)
      yield* Console.log(`    ${DateTime.formatIso(failedAt)} after ${attempts} attempts: ${firstLine(lastFailure)}`)
    }
    yield* Console.log(all.length === 0 ? "There are no dead letters." : `${all.length} dead letters.`)
  })
).pipe(Command.withDescription("Lists commands that were given up, queue by queue, the longest dead first"))

const requeue = Command.make(
  "requeue",
  {
    queue: Argument.Literals("queue", QueueName.literals).pipe(Argument.withDescription("The queue it died in")),
    ids: Argument.String("id").pipe(Argument.withDescription("Ids, as list prints them"), Argument.variadic()),
    all: Flag.Boolean("all").pipe(Flag.withDescription("Every dead letter of the queue"), Flag.withDefault(false))
  },
  Effect.fnUntraced(function*({ all, ids, queue }) {
    const letters = yield* DeadLetters
    const chosen = all ? (yield* everyLetter(Option.some(queue))).map(({ id }) => id) : ids
    if (chosen.length === 0) {
      yield* Console.error(all ? "There are no dead letters." : "Give ids, or --all.")
      if (!all) process.exitCode = 1
    }
    for (const id of chosen) {
      yield* letters.requeue(queue, id, "command").pipe(
        Effect.andThen(Console.log(`${id} is tried again.`)),
        Effect.catchTags({
          NotFound: () => refuse(`${id} is no dead letter of ${queue}.`),
          NotDead: ({ state }) => refuse(`${id} is no dead letter: it is ${state}.`)
        })
      )
    }
  })
).pipe(Command.withDescription("Tries dead letters again, from the first attempt. Do it when their cause is gone."))

const refuse = (message: string) =>
  Effect.andThen(
    Console.error(message),
    Effect.sync(() => {
      process.exitCode = 1
    })
  )

const deadLetters = Command.make("dead-letters").pipe(
  Command.withSubcommands([list, requeue]),
  Command.withDescription(
    "Commands between bulkheads, events out and mail that were given up after their last attempt. Reads the database of DATABASE_URL, or the "
      + "running one of MIDNIGHT_HOME. Whoever requeues, and what had failed, is kept in queue.requeues."
  ),
  Command.withExamples([
    { command: "npm run dead-letters -- list", description: "What was given up, and why" },
    { command: "npm run --silent dead-letters -- list --json", description: "The same, for a program" },
    {
      command: "npm run dead-letters -- requeue verification_commands 0198c0de-0000-7000-8000-000000000000",
      description: "One, again"
    },
    { command: "npm run dead-letters -- requeue --all payment_commands", description: "All of a queue" }
  ])
)

const live = DeadLetters.layer.pipe(
  Layer.provide(Layer.mergeAll(paymentQueue(), settlementQueue(), verificationQueue(), webhookQueue(), mailQueue())),
  Layer.provide(ownerPool("midnight-dead-letters")),
  Layer.provide(homeDatabase)
)

runCommand(
  "dead-letters",
  deadLetters.pipe(Command.provide(live), Command.run({ version: "0.1.0" }), Effect.provide(NodeServices.layer))
)
