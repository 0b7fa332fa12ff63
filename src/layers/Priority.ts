import { Effect, Schedule } from "effect"
import { readdirSync, readFileSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { setPriority } from "node:os"

/**
 * Linux with autogroups first shares the processors among sessions, and what a session got among its processes. A process
 * that leads a session of its own therefore gets as much as the API at any priority, idle too, until its session is made to
 * yield. 19 yields most. Where there are no sessions to weigh, this does nothing.
 */
export const lowerSession = (pid: number, nice: number): Effect.Effect<void> =>
  Effect.tryPromise(() => writeFile(`/proc/${pid}/autogroup`, String(nice))).pipe(
    // Ten changes a second are allowed to all users of a machine together; beyond that the kernel says "try again".
    Effect.retry({ times: 10, schedule: Schedule.spaced("150 millis") }),
    Effect.ignore
  )

const threads = (): ReadonlyArray<number> => {
  try {
    return readdirSync("/proc/self/task").map(Number)
  } catch {
    return [process.pid]
  }
}

// The sixth field of stat; the second, the program's name, may hold spaces and brackets.
const leadsItsSession = (): boolean => {
  try {
    return Number(readFileSync("/proc/self/stat", "latin1").split(") ").at(-1)?.split(" ")[3]) === process.pid
  } catch {
    return false
  }
}

/**
 * Lets every process of ordinary priority go first when processors are short: this one with all its threads, which Linux
 * ranks one by one, and its session, unless others live in that too.
 */
export const yieldProcessor = (nice: number): Effect.Effect<void> =>
  Effect.suspend(() => {
    for (const thread of threads()) {
      try {
        setPriority(thread, nice)
      } catch {
        // The thread ended in the meantime, or this system does not allow it; then the rest still helps.
      }
    }
    return leadsItsSession() ? lowerSession(process.pid, nice) : Effect.void
  })
