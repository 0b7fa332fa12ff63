import { writeSync } from "node:fs"

const flushEveryMs = 50
const largestWait = 64 * 1024

let waiting = ""
let timer: NodeJS.Timeout | undefined

const flush = (): void => {
  clearTimeout(timer)
  timer = undefined
  if (waiting === "") return
  const text = waiting
  waiting = ""
  process.stdout.write(text)
}

// Whatever ends the process, short of SIGKILL: what was said before it is part of the explanation.
process.on("exit", () => {
  if (waiting !== "") writeSync(1, waiting)
})

/**
 * A line to standard output, together with those of the next 50 ms: writing to a file or a pipe is synchronous in Node, and a
 * system call per request costs as much as answering it.
 */
export const writeLine = (line: string): void => {
  waiting += `${line}\n`
  if (waiting.length > largestWait) flush()
  else timer ??= setTimeout(flush, flushEveryMs)
}
