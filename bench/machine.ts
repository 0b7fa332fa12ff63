import { readdirSync, readFileSync } from "node:fs"
import { arch, cpus, release, totalmem } from "node:os"

// Linux alone tells what processes cost; elsewhere these figures are left out.
const ticksPerSecond = 100

const read = (path: string): string | undefined => {
  try {
    return readFileSync(path, "utf8")
  } catch {
    return undefined
  }
}

interface Process {
  readonly pid: number
  readonly parent: number
  /** Its own, and that of its children which ended. */
  readonly ticks: number
}

const processes = (): ReadonlyArray<Process> => {
  let names: ReadonlyArray<string> = []
  try {
    names = readdirSync("/proc")
  } catch {
    return []
  }
  return names.filter((name) => /^\d+$/.test(name)).flatMap((name) => {
    // The name of a program may hold spaces and brackets; what follows its last bracket does not.
    const fields = read(`/proc/${name}/stat`)?.split(") ").at(-1)?.split(" ")
    if (fields === undefined) return []
    const number = (at: number) => Number(fields[at] ?? 0)
    return [{ pid: Number(name), parent: number(1), ticks: number(11) + number(12) + number(13) + number(14) }]
  })
}

/** The processor seconds of these processes and all below them, so far. */
export const cpuSeconds = (roots: ReadonlyArray<number>): number => {
  const all = processes()
  const wanted = new Set(roots)
  for (let before = -1; before !== wanted.size;) {
    before = wanted.size
    for (const { parent, pid } of all) if (wanted.has(parent)) wanted.add(pid)
  }
  return all.filter(({ pid }) => wanted.has(pid)).reduce((sum, { ticks }) => sum + ticks, 0) / ticksPerSecond
}

/** Processor seconds that the whole machine was busy since it started, a hypervisor's theft included. */
export const busySeconds = (): number => {
  const [, user, nice, system, , , irq, softirq, steal] =
    read("/proc/stat")?.split("\n")[0]?.split(/\s+/).map(Number) ?? []
  return [user, nice, system, irq, softirq, steal].reduce<number>((sum, ticks) => sum + (ticks ?? 0), 0) /
    ticksPerSecond
}

export const hasProc = read("/proc/stat") !== undefined

/** Megabytes that a process holds in memory. */
export const residentMegabytes = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(read(`/proc/${pid}/status`) ?? "")?.[1] ?? 0) / 1024

export const describeMachine = () => ({
  processor: cpus()[0]?.model ?? "unknown",
  cores: cpus().length,
  memoryGigabytes: Math.round(totalmem() / 2 ** 30),
  system: `${process.platform} ${release()} ${arch()}`
})
