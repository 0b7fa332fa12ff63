import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { setPriority } from "node:os"

// No Effect here: a process that shall yield does so before it loads anything, since loading is most of what starting costs.

const threads = (): ReadonlyArray<number> => {
  try {
    return readdirSync("/proc/self/task").map(Number)
  } catch {
    return [process.pid]
  }
}

/** Whether this process has its session for itself. The sixth field of stat; the second, its name, may hold spaces and brackets. */
export const leadsItsSession = (): boolean => {
  try {
    return Number(readFileSync("/proc/self/stat", "latin1").split(") ").at(-1)?.split(" ")[3]) === process.pid
  } catch {
    return false
  }
}

/** Lowers every thread that this process has by now; Linux ranks them one by one, and new ones take after who starts them. */
export const lowerThreads = (nice: number): void => {
  for (const thread of threads()) {
    try {
      setPriority(thread, nice)
    } catch {
      // The thread ended in the meantime, or this system does not allow it; then the rest still helps.
    }
  }
}

/** Lets every process of ordinary priority go first, from now on: the threads, and the session once if it is this process's own. */
export const yieldAtOnce = (nice: number): void => {
  lowerThreads(nice)
  try {
    if (leadsItsSession()) writeFileSync("/proc/self/autogroup", String(nice))
  } catch {
    // No sessions are weighed here, or too many were changed just now: `yieldProcessor` tries again.
  }
}
