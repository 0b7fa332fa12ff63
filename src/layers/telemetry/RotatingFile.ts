import { appendFileSync, mkdirSync, renameSync, statSync } from "node:fs"
import { appendFile } from "node:fs/promises"
import { dirname } from "node:path"

export interface RotatingFileOptions {
  readonly path: string
  /** Bytes after which the file becomes `<path>.1`, the former `<path>.1` becomes `.2`, and so on. */
  readonly maxBytes: number
  /** Files kept, the current one included. */
  readonly files: number
  readonly flushEveryMs: number
}

// Lines wait here while the disk is slow. Beyond this they are dropped and counted: telemetry never pushes back.
const maxPendingBytes = 8 * 1024 * 1024

/**
 * Appends lines to a file that is rotated by size. It is opened by path for every flush, so processes that share a file
 * follow each other's rotation; two that rotate in the same instant can lose the oldest generation, never the newest.
 */
export class RotatingFile {
  readonly #options: RotatingFileOptions
  #pending: Array<string> = []
  #pendingBytes = 0
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> = Promise.resolve()
  #dropped = 0

  constructor(options: RotatingFileOptions) {
    this.#options = options
    mkdirSync(dirname(options.path), { recursive: true })
  }

  get dropped(): number {
    return this.#dropped
  }

  append(line: string): void {
    if (this.#pendingBytes > maxPendingBytes) {
      this.#dropped++
      return
    }
    this.#pending.push(line, "\n")
    this.#pendingBytes += line.length + 1
    this.#timer ??= setTimeout(() => void this.flush(), this.#options.flushEveryMs).unref()
  }

  flush(): Promise<void> {
    const text = this.#take()
    if (text === "") return this.#writing
    this.#writing = this.#write(text, this.#writing)
    return this.#writing
  }

  /** For the last moments of a process, when nothing asynchronous would still run. */
  flushSync(): void {
    const text = this.#take()
    if (text === "") return
    try {
      this.#rotate()
      appendFileSync(this.#options.path, text)
    } catch {
      this.#lost(text)
    }
  }

  async #write(text: string, earlier: Promise<void>): Promise<void> {
    await earlier
    try {
      this.#rotate()
      await appendFile(this.#options.path, text)
    } catch {
      this.#lost(text)
    }
  }

  #take(): string {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const text = this.#pending.join("")
    this.#pending = []
    this.#pendingBytes = 0
    return text
  }

  // A full or missing disk must not end the process that serves money.
  #lost(text: string): void {
    this.#dropped += text.split("\n").length - 1
  }

  #rotate(): void {
    const { files, maxBytes, path } = this.#options
    const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0
    if (size < maxBytes) return
    for (let generation = files - 1; generation >= 1; generation--) {
      const from = generation === 1 ? path : `${path}.${generation - 1}`
      if (statSync(from, { throwIfNoEntry: false }) !== undefined) renameSync(from, `${path}.${generation}`)
    }
  }
}
