// The child program: one job in, one answer out, then gone. See Engine.ts for the guards it runs under.
import { AV_LOG_QUIET } from "node-av/constants"
import { Log } from "node-av/lib"
import { fstatSync, readFileSync } from "node:fs"
import { measure } from "./Measure.ts"
import type { Time } from "./Measure.ts"
import type { Answer, Job, Phase } from "./Protocol.ts"
import { videoFd } from "./Whole.ts"

const phases: Array<Phase> = []
const now = () => performance.timeOrigin + performance.now()

const time: Time = async (name, work, describe) => {
  const startMs = now()
  const result = await work()
  phases.push({ name, startMs, endMs: now(), attributes: describe(result) })
  return result
}

/** Linux hands the maximum of `getrusage` down from the process that started this one, which is larger; this is its own. */
const peakBytes = (): number => {
  try {
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "latin1"))?.[1]) * 1024
  } catch {
    return process.resourceUsage().maxRSS * 1024
  }
}

type Found = typeof Answer.Encoded["findings"]

const respond = (findings: Found): void => {
  const { system, user } = process.cpuUsage()
  const answer: typeof Answer.Encoded = {
    findings,
    cpuSeconds: (user + system) / 1e6,
    peakBytes: peakBytes(),
    phases
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`, () => process.exit(0))
}

/** What is judged must be what was uploaded, whole: a file that somebody still writes to has no end to wait for. */
const whileUnchanged = async (work: () => Promise<Found>): Promise<Found> => {
  const { mtimeMs, size } = fstatSync(videoFd)
  const changed = () => {
    const now = fstatSync(videoFd)
    return now.mtimeMs !== mtimeMs || now.size !== size
  }
  const refusal: Found = { _tag: "Truncated", detail: "it changed while it was read" }
  const watch = setInterval(() => {
    if (!changed()) return
    clearInterval(watch)
    respond(refusal)
  }, 250)
  const findings = await work()
  clearInterval(watch)
  return changed() ? refusal : findings
}

const run = async (line: string): Promise<void> => {
  phases.push({ name: "media.start", startMs: performance.timeOrigin, endMs: now(), attributes: {} })
  const job: Job = JSON.parse(line)
  respond(await whileUnchanged(() => measure(videoFd, job, time)))
}

const fail = (error: unknown): void => {
  process.stderr.write(`${String(error)}\n`, () => process.exit(70))
}

Log.setLevel(AV_LOG_QUIET)
let input = ""
process.stdin.setEncoding("utf8")
process.stdin.on("data", (text: string) => {
  const before = input
  input += text
  const end = input.indexOf("\n")
  if (end >= 0 && !before.includes("\n")) run(input.slice(0, end)).catch(fail)
})
// The engine holds this pipe open for as long as it wants the answer, so its end means that nobody is waiting. Decoding runs
// on other threads, and a polite exit would wait for them.
process.stdin.on("end", () => process.kill(process.pid, "SIGKILL"))
