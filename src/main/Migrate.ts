import { Console, Effect } from "effect"
import * as Settings from "../layers/Config.ts"
import { migrate, setRolePasswords } from "../layers/Migrations.ts"
import { ownerPool } from "../layers/Pools.ts"
import { runCommand } from "../layers/ProcessMain.ts"

const program = Effect.gen(function*() {
  const secret = yield* Settings.rolesSecret
  const done = yield* migrate
  yield* setRolePasswords(secret)
  yield* Console.log(
    done.length === 0
      ? "The database is up to date."
      : `Applied ${done.map(([id, name]) => `${String(id).padStart(4, "0")}_${name}`).join(", ")}.`
  )
})

runCommand("migrate", Effect.provide(program, ownerPool("midnight-migrate")))
