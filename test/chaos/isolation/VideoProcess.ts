import { type ChildProcess, spawn } from "node:child_process"
import { closeSync, openSync, readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { descendants, kill } from "../../layers/DevServer.ts"

const project = resolve(import.meta.dirname, "../../..")

/** How a video process is started. */
export interface VideoProgram {
  /** Its file and arguments; the real main when not given. */
  readonly args?: ReadonlyArray<string>
  readonly environment?: Readonly<Record<string, string>>
  /** Words before Node's own, such as those that mount a small disk. */
  readonly behind?: ReadonlyArray<string>
  /** How long whoever watches it waits before it starts it again. `npm start` waits 1 s, and longer from time to time. */
  readonly pauseMillis?: number
}

/** How others see whether it works: by its heartbeat. */
export interface Pulse {
  readonly forget: () => Promise<unknown>
  readonly beats: () => Promise<boolean>
}

/** The video process under a supervisor that never gives up: it is started again whenever it ends. */
export class VideoProcess {
  readonly #environment: Readonly<Record<string, string>>
  readonly #log: string
  readonly #pulse: Pulse
  #program: VideoProgram = {}
  #child: ChildProcess | undefined
  #again: NodeJS.Timeout | undefined
  #ends: Array<string> = []
  #wanted = false
  #read = 0

  constructor(environment: Readonly<Record<string, string>>, folder: string, pulse: Pulse) {
    this.#environment = environment
    this.#log = join(folder, "video.log")
    this.#pulse = pulse
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** How it ended, each time since it was started. */
  get ends(): ReadonlyArray<string> {
    return this.#ends
  }

  /** What it has written since it was started. */
  log(): string {
    return readFileSync(this.#log, "utf8").slice(this.#read)
  }

  #launch() {
    const { args = ["src/main/Video.ts"], behind = [], environment } = this.#program
    const log = openSync(this.#log, "a", 0o600)
    const [command = process.execPath, ...words] = [...behind, process.execPath, ...args]
    const child = spawn(command, words, {
      cwd: project,
      env: { PATH: process.env["PATH"] ?? "", ...this.#environment, ...environment },
      // A group of its own, so that it can be ended with all that it started.
      detached: true,
      stdio: ["ignore", log, log]
    })
    closeSync(log)
    this.#child = child
    child.once("exit", (code, signal) => {
      if (!this.#wanted || this.#child !== child) return
      this.#ends.push(signal ?? `code ${code}`)
      this.#again = setTimeout(() => this.#wanted && this.#launch(), this.#program.pauseMillis ?? 1_000)
    })
  }

  /** Starts it and waits until its heart beats, or it has ended: some faults come that early. */
  async start(program: VideoProgram): Promise<void> {
    await this.stop()
    this.#program = program
    this.#ends = []
    this.#wanted = true
    closeSync(openSync(this.#log, "a", 0o600))
    this.#read = readFileSync(this.#log, "utf8").length
    await this.#pulse.forget()
    this.#launch()
    for (let tries = 0; tries < 1_200; tries++) {
      if (await this.#pulse.beats() || this.#ends.length > 0) return
      await new Promise((settle) => setTimeout(settle, 50))
    }
    throw new Error(`The video process did not start. Its log ends:\n${this.log().slice(-2_000)}`)
  }

  /** SIGKILL, to the process alone: what it started has to notice by itself. */
  kill(): boolean {
    const child = this.#child
    return child !== undefined && child.exitCode === null && child.signalCode === null && child.kill("SIGKILL")
  }

  /** Ends it for good, with its children. */
  async stop(): Promise<void> {
    this.#wanted = false
    clearTimeout(this.#again)
    const child = this.#child
    this.#child = undefined
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise((settle) => child.once("exit", settle))
    kill([...descendants(child.pid), child.pid])
    await gone
  }
}
