import { Context, Effect, Layer, Predicate, Schema } from "effect"
import { mkdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"

/** Another process holds the lock. */
export class LockBusy extends Schema.TaggedError<LockBusy>()("LockBusy", { path: Schema.String }) {}

/** The lock file cannot be used at all, as when it belongs to another user. */
export class LockRefused extends Schema.TaggedError<LockRefused>()("LockRefused", {
  path: Schema.String,
  cause: Schema.Defect()
}) {
  override get message(): string {
    const reason = String(this.cause)
    return `Cannot lock ${this.path}: ${reason}. Make the folder yours, or choose another with MIDNIGHT_HOME.`
  }
}

/** Another `npm start` runs from this home. `pid` is absent only in the instant before it has written it down. */
export class HomeInUse extends Schema.TaggedError<HomeInUse>()("HomeInUse", {
  home: Schema.String,
  pid: Schema.UndefinedOr(Schema.Int)
}) {
  override get message(): string {
    const holder = this.pid === undefined ? "" : ` (process ${this.pid})`
    return `Midnight is already running from ${this.home}${holder}, and was left alone. Stop it first, or give this one a `
      + "folder and ports of its own: MIDNIGHT_HOME, PORT, VIDEO_PORT, SANDBOX_PORT."
  }
}

export interface FileLock {
  readonly release: Effect.Effect<void>
}

// Node has no flock(), but SQLite, which is part of Node, takes the kernel's file locks, and the kernel drops those with
// the process however it ends: there is no stale pid file to judge and no race between two judges. Node prints a warning
// when the module is loaded, which would be the first line that `npm start` shows.
const sqlite = () => {
  const { emitWarning } = process
  process.emitWarning = () => {}
  try {
    return process.getBuiltinModule("node:sqlite")
  } finally {
    process.emitWarning = emitWarning
  }
}

const sqliteBusy = 5

/**
 * Takes the kernel's lock on a file, which is created empty and stays empty, or fails at once with LockBusy. Nothing else
 * may open that file in this process: POSIX drops a process's locks when it closes any descriptor of the file.
 */
export const takeFileLock = (
  path: string,
  kind: "exclusive" | "shared"
): Effect.Effect<FileLock, LockBusy | LockRefused> =>
  Effect.try({
    try: () => {
      const { DatabaseSync } = sqlite()
      const database = new DatabaseSync(path, { timeout: 0 })
      try {
        database.exec(kind === "exclusive" ? "BEGIN EXCLUSIVE" : "BEGIN; SELECT count(*) FROM sqlite_master")
      } catch (cause) {
        database.close()
        throw cause
      }
      return { release: Effect.sync(() => database.close()) }
    },
    catch: (cause) =>
      Predicate.hasProperty(cause, "errcode") && cause.errcode === sqliteBusy
        ? new LockBusy({ path })
        : new LockRefused({ path, cause })
  })

/** Held for as long as this process runs from its home; the second `npm start` there fails with HomeInUse. */
export class HomeLock extends Context.Service<HomeLock, { readonly home: string }>()("midnight/layers/HomeLock") {
  static readonly layer = (home: string): Layer.Layer<HomeLock, HomeInUse | LockRefused> =>
    Layer.effect(
      HomeLock,
      Effect.gen(function*() {
        // The holder's pid stands in a file of its own: reading the locked file would drop the lock (see takeFileLock).
        const holder = join(home, "running.pid")
        yield* Effect.promise(() => mkdir(home, { recursive: true, mode: 0o700 }))
        yield* Effect.acquireRelease(takeFileLock(join(home, "lock"), "exclusive"), (lock) => lock.release).pipe(
          Effect.catchTag("LockBusy", () =>
            Effect.gen(function*() {
              const text = yield* Effect.promise(() => readFile(holder, "utf8").catch(() => ""))
              const pid = Number.parseInt(text, 10)
              return yield* new HomeInUse({ home, pid: Number.isInteger(pid) ? pid : undefined })
            }))
        )
        yield* Effect.promise(() => writeFile(holder, `${process.pid}\n`, { mode: 0o600 }))
        return { home }
      })
    )
}
