import * as NodeServices from "@effect/platform-node/NodeServices"
import { Console, Effect } from "effect"
import { Command } from "effect/cli"
import * as Settings from "../layers/Config.ts"
import { migrate, setRolePasswords } from "../layers/Migrations.ts"
import { ownerPool } from "../layers/Pools.ts"
import { runCommand } from "../layers/ProcessMain.ts"

const migrateCommand = Command.make(
  "migrate",
  {},
  Effect.fnUntraced(function*() {
    const secret = yield* Settings.rolesSecret
    const done = yield* migrate
    yield* setRolePasswords(secret)
    yield* Console.log(
      done.length === 0
        ? "The database is up to date."
        : `Applied ${done.map(([id, name]) => `${String(id).padStart(4, "0")}_${name}`).join(", ")}.`
    )
  })
).pipe(
  Command.provide(ownerPool("midnight-migrate")),
  Command.withDescription(
    "Brings the database of DATABASE_URL up to date, forward only, and sets the passwords of the bulkheads' roles from "
      + "DATABASE_ROLES_SECRET. Servers never migrate: run it before a new version of them starts. npm start does it by itself."
  )
)

runCommand(
  "migrate",
  migrateCommand.pipe(Command.run({ version: "0.1.0" }), Effect.provide(NodeServices.layer))
)
