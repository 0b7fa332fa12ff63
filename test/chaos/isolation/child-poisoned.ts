// In place of the media child: the real one, but for files that begin with POISON. Those crash it.
import { readSync } from "node:fs"
import { videoFd } from "../../../src/layers/media/Whole.ts"

process.stdin.once("data", (line: Buffer) => {
  const head = Buffer.alloc(6)
  readSync(videoFd, head, 0, 6, 0)
  if (head.toString() === "POISON") process.kill(process.pid, "SIGSEGV")
  process.stdin.pause()
  process.stdin.unshift(line)
  void import("../../../src/layers/media/ChildMain.ts").then(() => process.stdin.resume())
})
