import { Effect, Schedule } from "effect"
import { writeFile } from "node:fs/promises"
import { leadsItsSession, lowerThreads } from "./Yield.ts"

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

/**
 * Lets every process of ordinary priority go first when processors are short: this one with all its threads, and its
 * session, unless others live in that too.
 */
export const yieldProcessor = (nice: number): Effect.Effect<void> =>
  Effect.suspend(() => {
    lowerThreads(nice)
    return leadsItsSession() ? lowerSession(process.pid, nice) : Effect.void
  })
