import * as PgConnection from "@effect/sql-pg/PgConnection"
import { Effect, Exit, Redacted, Scope } from "effect"
import { spawnSync } from "node:child_process"
import { join } from "node:path"
import { cpuSeconds } from "../../../bench/machine.ts"
import { rolesSecret } from "../../../bench/sides.ts"
import { type Bulkhead, bulkheads, roleUrl } from "../../../src/layers/Pools.ts"
import { enqueue, type Pattern } from "./Jobs.ts"
import { providerFaults } from "./ProviderFaults.ts"
import type { Stage } from "./Stage.ts"
import type { VideoProgram } from "./VideoProcess.ts"

/** What can be seen of a fault once its window is over. */
export interface Traces {
  readonly log: string
  readonly ends: ReadonlyArray<string>
  readonly films: ReadonlyMap<string, number>
  /** Cores that the video process, with all below it, was busy with. */
  readonly cores: number
  readonly notes: ReadonlyArray<string>
}

export interface Fault {
  readonly says: string
  /** How the video process is started; null: not at all. */
  readonly video: VideoProgram | null
  /** Submissions a second by members, beside the payments. */
  readonly films: number
  /** Whether the engine is given a queue of clips to verify. */
  readonly jobs?: { readonly count: number; readonly poison: boolean }
  /** Brings the fault about from outside; answers how it is taken away again. */
  readonly begin?: (stage: Stage) => Promise<{ readonly note: string; readonly end: () => Promise<void> }>
  /** While payments are made. */
  readonly during?: (stage: Stage, seconds: number) => Promise<string>
  /** What proves that it was there, in a few words; a fault that was not would prove nothing. */
  readonly proof: (traces: Traces) => string | undefined
}

const file = (name: string) => join(import.meta.dirname, name)
const withFault = (...args: ReadonlyArray<string>): VideoProgram => ({ args: [file("video-with-fault.ts"), ...args] })

const counted = (times: number, what: string) => times > 0 ? `${times} × ${what}` : undefined
const inLog = (pattern: RegExp, what: string) => ({ log }: Traces) => counted([...log.matchAll(pattern)].length, what)
const ended = ({ ends }: Traces) => counted(ends.length, `ended (${[...new Set(ends)].join(", ")})`)
const answered = (answer: string) => ({ films }: Traces) => counted(films.get(answer) ?? 0, answer)

/** A disk of 1 MiB where the spool is, for this process alone. Takes the right to mount, or a user namespace. */
const smallDisk = (): ReadonlyArray<string> | undefined =>
  [["unshare", "-m"], ["unshare", "-r", "-m"]].map((way) => [
    ...way,
    "sh",
    "-c",
    "mount -t tmpfs -o size=1m tmpfs \"$SPOOL_DIR\" && exec \"$@\"",
    "sh"
  ]).find(([command = "", ...words]) =>
    spawnSync(command, [...words, "true"], { env: { PATH: process.env["PATH"], SPOOL_DIR: "/mnt" } }).status === 0
  )

const afterMillis = (millis: number) => new Promise<void>((settle) => setTimeout(settle, millis))

/** Twenty times in 30 s, at random moments; it is started again at once. */
const killing = async (stage: Stage, seconds: number) => {
  const times = Math.max(3, Math.round((20 / 30) * seconds))
  let kills = 0
  for (let n = 0; n < times; n++) {
    await afterMillis(((seconds * 1_000) / times) * (0.5 + Math.random()) * 0.95)
    if (stage.video.kill()) kills += 1
  }
  return `${kills} kills`
}

/** As many connections as a role is allowed, by somebody who does nothing with them. */
const takeAll = (url: string, scope: Scope.Scope): Effect.Effect<number> =>
  Effect.gen(function*() {
    for (let taken = 0;; taken++) {
      const next = PgConnection.make({ url: Redacted.make(url), applicationName: "isolation" })
      if (Exit.isFailure(yield* Effect.exit(Scope.provide(next, scope)))) return taken
    }
  })

/**
 * Every statement of video's waits for a lock until its time is up, and keeps its connection for so long; and no role of
 * video's gets one more.
 */
const exhaust = async (stage: Stage) => {
  const scope = await Effect.runPromise(Scope.make())
  const taken = await Effect.runPromise(Effect.gen(function*() {
    const owner = yield* Scope.provide(PgConnection.make({ url: Redacted.make(stage.url) }), scope)
    yield* owner.query("BEGIN", [])
    yield* owner.query(
      "LOCK TABLE video.uploads, video.submissions, video.heartbeats, queue.verification_commands, idempotency.video",
      []
    )
    const roles: ReadonlyArray<Bulkhead> = ["videoApi", "videoWorker"]
    let all = 0
    for (const role of roles) {
      all += yield* takeAll(roleUrl(stage.url, Redacted.make(rolesSecret), role).href, scope)
    }
    return all
  }))
  return {
    note: `${taken} connections taken from ${bulkheads.videoApi.role} and ${bulkheads.videoWorker.role}`,
    end: () => Effect.runPromise(Scope.close(scope, Exit.void))
  }
}

const films = 2

export const faults: Readonly<Record<string, Fault>> = {
  "fiber-fails": {
    says: "fibers of video fail, a hundred a second and a supervised one",
    video: withFault("fails"),
    films,
    proof: inLog(/video\/fault ended/g, "its supervised fiber ended")
  },
  "fiber-dies": {
    says: "fibers of video die of a defect",
    video: withFault("dies"),
    films,
    proof: inLog(/video\/fault ended/g, "its supervised fiber ended")
  },
  "throws": {
    says: "video code throws outside Effect, which ends its process, again and again",
    video: withFault("throws"),
    films,
    proof: ended
  },
  "cpu": {
    says: "JavaScript of video never gives up its processor",
    video: withFault("cpu"),
    films,
    proof: ({ cores }) => cores > 0.2 ? `${cores.toFixed(2)} cores busy` : undefined
  },
  "leak": {
    says: "video leaks as fast as it can until its heap of 192 MB ends it, again and again",
    video: { ...withFault("leaks"), environment: { NODE_OPTIONS: "--max-old-space-size=192" } },
    films,
    proof: ended
  },
  "child-segfaults": {
    says: "every media child dies of a segmentation fault",
    video: withFault("child", "child-segfaults.ts"),
    films,
    jobs: { count: 500, poison: false },
    proof: inLog(/media engine failed \(crashed\)/g, "SIGSEGV")
  },
  "child-hangs": {
    says: "every media child spins and never answers",
    video: withFault("child", "child-hangs.ts"),
    films,
    jobs: { count: 500, poison: false },
    proof: ({ cores }) => cores > 0.2 ? `${cores.toFixed(2)} cores busy` : undefined
  },
  "child-memory": {
    says: "every media child fills memory until it is ended",
    video: withFault("child", "child-exceeds-memory.ts"),
    films,
    jobs: { count: 500, poison: false },
    proof: inLog(/media engine failed \((?:out_of_memory|crashed)\).*(?:resident|allocate)/g, "out of memory")
  },
  "killed": {
    says: "the video process is killed 20 times in 30 s while it verifies",
    video: { pauseMillis: 0 },
    films,
    jobs: { count: 500, poison: false },
    during: killing,
    proof: ({ ends, notes }) => ends.length > 0 ? notes.join() : undefined
  },
  "connections": {
    says: "video's connections are exhausted: held by locks, and no more to be had",
    video: {},
    films: 20,
    begin: exhaust,
    proof: ({ films, notes }) => (films.get("announce 503") ?? 0) > 0 ? notes.join() : undefined
  },
  "spool-full": {
    says: "the disk that takes uploads is full",
    video: {},
    films: 10,
    proof: answered("upload 507")
  },
  "queue": {
    says: "5,000 jobs wait, every tenth of them poison that crashes the child",
    video: withFault("child", "child-poisoned.ts"),
    films,
    jobs: { count: 5_000, poison: true },
    proof: inLog(/media engine failed \(crashed\)/g, "poison, the others verified")
  },
  "absent": {
    says: "there is no video process, though 500 jobs wait and members try to upload",
    video: null,
    films,
    jobs: { count: 500, poison: false },
    proof: answered("upload silent")
  },
  ...providerFaults
}

/** How its video process is started on this machine; undefined where this machine cannot have the fault. */
export const programOf = (name: string): VideoProgram | null | undefined => {
  const fault = faults[name]
  if (fault === undefined || name !== "spool-full") return fault?.video
  const behind = smallDisk()
  return behind === undefined ? undefined : { behind }
}

/** Puts a fault in place, waits while payments are made, and takes it away. */
export const suffer = async (
  stage: Stage,
  fault: Fault,
  program: VideoProgram | null,
  pattern: Pattern,
  seconds: number,
  meanwhile: () => Promise<ReadonlyMap<string, number>>
): Promise<Traces> => {
  if (fault.jobs !== undefined) await enqueue(stage, pattern, fault.jobs.count, fault.jobs.poison)
  if (program === null) await stage.video.stop()
  else await stage.video.start(program)
  const notes: Array<string> = []
  const outside = await fault.begin?.(stage)
  if (outside !== undefined) notes.push(outside.note)
  const { pid } = stage.video
  const busy = () => pid === undefined ? 0 : cpuSeconds([pid])
  const [before, began] = [busy(), performance.now()]
  const during = fault.during?.(stage, seconds)
  const films = await meanwhile()
  const cores = (busy() - before) / ((performance.now() - began) / 1_000)
  if (during !== undefined) notes.push(await during)
  await outside?.end()
  return { log: stage.video.log(), ends: stage.video.ends, films, cores, notes }
}
