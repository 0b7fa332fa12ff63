// In place of the media child: the real one, but for files that begin with POISON. Those crash it.
import { readFileSync } from "node:fs"
import type { Job } from "../../../src/layers/media/Protocol.ts"

process.stdin.once("data", (line: Buffer) => {
  const job: Job = JSON.parse(line.toString())
  if (readFileSync(job.path).subarray(0, 6).toString() === "POISON") process.kill(process.pid, "SIGSEGV")
  process.stdin.pause()
  process.stdin.unshift(line)
  void import("../../../src/layers/media/ChildMain.ts").then(() => process.stdin.resume())
})
