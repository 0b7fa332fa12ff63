// In place of the media child: answers once Linux ranks its session last, and never before.
import { existsSync, readFileSync } from "node:fs"

const answer = { findings: { _tag: "Empty" }, cpuSeconds: 0, peakBytes: 0, phases: [] }
const isLast = () =>
  !existsSync("/proc/self/autogroup") || readFileSync("/proc/self/autogroup", "utf8").includes("nice 19")

setInterval(() => {
  if (isLast()) process.stdout.write(`${JSON.stringify(answer)}\n`, () => process.exit(0))
}, 10)
