import { Effect, Schema } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"

const Line = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Struct({ pid: Schema.Int })))

/** Starts `hold.ts` and waits for its line: the process itself, and the pid that it reports. Killed at the end. */
export const held = (what: "postgres" | "home" | "supervisor", path: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const child = spawn(process.execPath, [join(import.meta.dirname, "hold.ts"), what, path], {
        stdio: ["ignore", "pipe", "inherit"]
      })
      const ended = once(child, "exit")
      const [line]: ReadonlyArray<unknown> = await once(createInterface(child.stdout), "line")
      const kill = Effect.promise(async () => {
        child.kill("SIGKILL")
        await ended
      })
      return { pid: Line(line).pid, kill }
    }),
    ({ kill }) => kill
  )

/** A process that has ended counts as dead also while nobody has reaped it. */
export const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return process.platform !== "linux" || !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"))
  } catch {
    return false
  }
}

/** Looks again on every turn of the event loop, whatever clock the test has; the test's own time limit bounds it. */
export const until = (condition: () => boolean) =>
  Effect.promise(async () => {
    while (!condition()) await new Promise((resume) => setTimeout(resume, 5))
  })

export const temporaryFolder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "midnight-"))),
  (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true, maxRetries: 10 }))
)
