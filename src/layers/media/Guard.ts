import { Effect } from "effect"
import { execFile } from "node:child_process"
import { existsSync } from "node:fs"
import { access } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import type { Guard } from "../../services/MediaEngine.ts"

/** What one child may use. Sizes in bytes, times in seconds. */
export interface ChildLimits {
  /** RLIMIT_DATA. Node 24 reserves about 650 MiB of it, of which it uses little, and does not start with less. */
  readonly dataBytes: number
  /** The watchdog's bound on resident memory, which RLIMIT_DATA cannot be set tight enough to be. */
  readonly residentBytes: number
  readonly cpuSeconds: number
  /** Of its own time: while the kernel lets it wait for a processor, this clock stands. */
  readonly wallSeconds: number
  /** The end of that patience: a machine this busy for so long has no room for video. */
  readonly patienceSeconds: number
  /** The largest file it may be given. It may write none: its answer goes through a pipe. */
  readonly fileBytes: number
  readonly openFiles: number
  /** Whether everybody else goes first, as it must be wherever money moves. Tests of many files beside other tests do without. */
  readonly idle: boolean
}

/** How to start a child inside every wall that this machine has. */
export interface Guards {
  readonly prefix: ReadonlyArray<string>
  readonly guards: ReadonlyArray<Guard>
}

interface Wall {
  readonly name: string
  /** Ways to raise it, best first; the first that works is taken. */
  readonly ways: ReadonlyArray<ReadonlyArray<string>>
}

// The program itself, to be tried: a user of no rights may not reach where it is installed.
const program = fileURLToPath(new URL("./ChildMain.ts", import.meta.url))
const loading = [process.execPath, "-e", `import(${JSON.stringify(program)}).then(() => process.exit(0))`]

// A user that nothing else runs as, so that the child can signal, trace and overwrite nobody. Nothing on a usual machine has
// this number: below it are the system's and people's users, above it systemd's dynamic ones and `nobody`.
const ownUser = "60999"
const asOwnUser = (rights: string) => [
  "setpriv",
  `--reuid=${ownUser}`,
  `--regid=${ownUser}`,
  "--clear-groups",
  `--inh-caps=${rights}`,
  `--ambient-caps=${rights}`,
  `--bounding-set=${rights}`
]
const withoutRights = asOwnUser("-all")
const isWithoutRights = (prefix: ReadonlyArray<string>) => prefix.includes("--bounding-set=-all")

const lowest = [["nice", "-n", "19"], ["chrt", "--idle", "0"]]

/**
 * Linux takes a processor that runs nothing but idle-class processes for a free one and wakes others there, which then should
 * drive them off at once. Where it shares processors among sessions first, they do not: they wait for the end of a slice.
 */
const yielding = existsSync("/proc/self/autogroup") ? lowest : lowest.toReversed()

const walls = (limits: ChildLimits): ReadonlyArray<Wall> => [
  // An ordinary user can only make a network namespace inside a user namespace of its own.
  { name: "no_network", ways: [["unshare", "-n"], ["unshare", "-c", "-n"], ["unshare", "-r", "-n"]] },
  {
    name: "resource_limits",
    ways: [[
      "prlimit",
      `--data=${limits.dataBytes}`,
      // Soft before hard: SIGXCPU tells what happened, where the hard limit's SIGKILL would not.
      `--cpu=${Math.ceil(limits.cpuSeconds)}:${Math.ceil(limits.cpuSeconds) + 2}`,
      "--fsize=0",
      `--nofile=${limits.openFiles}`,
      "--core=0"
    ]]
  },
  { name: "idle_priority", ways: limits.idle ? yielding : [] },
  // When the whole machine runs out of memory, the kernel takes this process and not the database.
  { name: "first_out_of_memory", ways: [["choom", "-n", "1000", "--"]] },
  // Root can become somebody else, who keeps at most one right: to read, where the program's own folder is private.
  { name: "own_user", ways: [withoutRights, asOwnUser("-all,+dac_read_search")] },
  // Last, because the kernel forgets the parent-death signal when user namespaces or credentials change.
  { name: "parent_death_signal", ways: [["setpriv", "--no-new-privs", "--pdeathsig", "KILL"]] }
]

/** Whether Node starts behind these words. A trial is the only proof: a container may have the tool and forbid its use. */
const works = (prefix: ReadonlyArray<string>, started: ReadonlyArray<string> = [process.execPath, "--version"]) => {
  const [program, ...args] = [...prefix, ...started]
  return Effect.callback<boolean>((resume) => {
    const trial = execFile(
      program ?? process.execPath,
      args,
      { env: {}, timeout: 20_000, killSignal: "SIGKILL" },
      (error) => resume(Effect.succeed(error === null))
    )
    return Effect.sync(() => trial.kill("SIGKILL"))
  })
}

const canReadProc = Effect.promise(() => access(`/proc/${process.pid}/statm`).then(() => true, () => false))

/** Finds out once which walls this machine has, and warns of each that it lacks. */
export const probeGuards = Effect.fnUntraced(function*(limits: ChildLimits) {
  let prefix: ReadonlyArray<string> = []
  // Without what makes it slow: on a full machine a whole program would not be loaded in time at the lowest priority, and
  // that must not be taken for one that may not be read.
  let calm: ReadonlyArray<string> = []
  const guards: Array<Guard> = []
  for (const { name, ways } of walls(limits)) {
    const before = prefix
    for (const way of ways) {
      if (yield* works([...before, ...way])) {
        // Without rights it must still read all that the child's program is made of.
        if (way === withoutRights && !(yield* works([...calm, ...way], loading))) continue
        prefix = [...before, ...way]
        if (name !== "idle_priority" && name !== "resource_limits") calm = [...calm, ...way]
        break
      }
    }
    guards.push({ name, active: prefix !== before })
  }
  guards.push({ name: "reads_only_its_video", active: isWithoutRights(prefix) })
  guards.push({ name: "memory_watchdog", active: yield* canReadProc })
  const missing = guards.filter((guard) => !guard.active).map((guard) => guard.name)
  if (missing.length > 0) {
    yield* Effect.logWarning(`this machine lacks guards for the media child: ${missing.join(", ")}`)
  }
  const result: Guards = { prefix, guards }
  return result
})
