import { closeSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { type FileHandle, open } from "node:fs/promises"
import { dirname } from "node:path"

interface Waiting {
  readonly line: string
  readonly written: () => void
  readonly refused: (cause: unknown) => void
}

const read = (path: string): ReadonlyArray<string> => {
  try {
    return readFileSync(path, "utf8").split("\n").filter((line) => line !== "")
  } catch {
    return []
  }
}

/**
 * An append-only file of lines. A line is acknowledged when it is on disk; lines that arrive while the disk is busy go
 * together in the next write. When the file has grown past `mostLines` it is replaced by a snapshot of what still matters.
 */
export class Journal {
  readonly #path: string
  readonly #mostLines: number
  readonly #snapshot: () => ReadonlyArray<string>
  #waiting: Array<Waiting> = []
  #writing: Promise<void> | undefined
  #file: FileHandle | undefined
  #lines = 0
  /** After a failed write the file may end in half a line; the next write then begins with a line of its own. */
  #torn = false

  constructor(path: string, mostLines: number, snapshot: () => ReadonlyArray<string>) {
    this.#path = path
    this.#mostLines = mostLines
    this.#snapshot = snapshot
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    // Fails at the start, not at the first charge, when the file cannot be written.
    closeSync(openSync(path, "a", 0o600))
  }

  /** Hands every line to `apply`, then keeps only the snapshot: a torn last line is gone after that. */
  replay(apply: (line: string) => void): void {
    for (const line of read(this.#path)) apply(line)
    this.#compact()
  }

  /** `apply` runs in the moment the line is durable, before anybody else can look. */
  append(line: string, apply: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const written = () => {
        apply()
        resolve()
      }
      this.#waiting.push({ line, written, refused: reject })
      this.#writing ??= this.#drain()
    })
  }

  async close(): Promise<void> {
    await this.#writing
    await this.#file?.close()
  }

  async #drain(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting
      this.#waiting = []
      try {
        this.#file ??= await open(this.#path, "a", 0o600)
        await this.#file.appendFile((this.#torn ? "\n" : "") + batch.map(({ line }) => `${line}\n`).join(""))
        await this.#file.datasync()
      } catch (cause) {
        this.#torn = true
        for (const { refused } of batch) refused(cause)
        continue
      }
      this.#torn = false
      for (const { written } of batch) written()
      this.#lines += batch.length
      if (this.#lines > this.#mostLines) await this.#recycle()
    }
    // In the same step as the last look at what waits: a line that comes a moment later starts a drain of its own.
    this.#writing = undefined
  }

  /** Where it fails, as on a full disk, the long file stays in use and the next batch tries again. */
  async #recycle(): Promise<void> {
    try {
      await this.#file?.close()
      this.#file = undefined
      this.#compact()
    } catch {
      this.#file = undefined
    }
  }

  #compact(): void {
    const fresh = `${this.#path}.new`
    writeFileSync(fresh, this.#snapshot().map((line) => `${line}\n`).join(""), { mode: 0o600, flush: true })
    renameSync(fresh, this.#path)
    this.#lines = 0
  }
}
