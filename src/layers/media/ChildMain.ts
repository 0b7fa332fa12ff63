// The child program: one job in, one answer out, then gone. See Engine.ts for the guards it runs under.
import { AV_LOG_QUIET } from "node-av/constants"
import { Log } from "node-av/lib"
import { measure } from "./Measure.ts"
import type { Time } from "./Measure.ts"
import type { Answer, Job, Phase } from "./Protocol.ts"

const phases: Array<Phase> = []
const now = () => performance.timeOrigin + performance.now()

const time: Time = async (name, work, describe) => {
  const startMs = now()
  const result = await work()
  phases.push({ name, startMs, endMs: now(), attributes: describe(result) })
  return result
}

const run = async (line: string): Promise<void> => {
  phases.push({ name: "media.start", startMs: performance.timeOrigin, endMs: now(), attributes: {} })
  const job: Job = JSON.parse(line)
  const findings = await measure(job, time)
  const { system, user } = process.cpuUsage()
  const answer: typeof Answer.Encoded = {
    findings,
    cpuSeconds: (user + system) / 1e6,
    peakBytes: process.resourceUsage().maxRSS * 1024,
    phases
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`, () => process.exit(0))
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
