import { Effect } from "effect"
import { open } from "node:fs/promises"

/** What a client meant to do; `key` is also the memo of the transfer, by which the books are searched. */
export interface Intent {
  readonly key: string
  readonly from: string
  readonly to: string
  readonly amount: number
}

/** `sent` before the first attempt; then at most one of the others, and `unexpected` for an answer that no client may get. */
export type Event = "sent" | "acknowledged" | "refused" | "unexpected"

export interface Journal {
  readonly path: string
  /** Returns when the line is on the disk: nothing that was acknowledged can be forgotten by the judge. */
  write(event: Event, intent: Intent, detail: string): Effect.Effect<void>
  readonly counts: Readonly<Record<Event, number>>
  /** When each acknowledgement was written, in milliseconds of the harness's own clock: the latest one. */
  readonly lastAcknowledged: () => number
}

/** Tab-separated text, in the form that `COPY` reads: event, key, from, to, amount, detail. */
export const openJournal = (path: string) =>
  Effect.gen(function*() {
    const file = yield* Effect.acquireRelease(
      Effect.promise(() => open(path, "a", 0o600)),
      (file) => Effect.promise(() => file.close())
    )
    const counts = { sent: 0, acknowledged: 0, refused: 0, unexpected: 0 }
    let last = 0
    let waiting: Array<{ readonly line: string; readonly done: () => void }> = []
    let flushing = false

    // One flush for all who wait: sixteen clients would otherwise queue up behind the disk.
    const flush = async () => {
      flushing = true
      while (waiting.length > 0) {
        const batch = waiting
        waiting = []
        await file.appendFile(batch.map(({ line }) => line).join(""))
        await file.datasync()
        for (const { done } of batch) done()
      }
      flushing = false
    }

    const write = (event: Event, { amount, from, key, to }: Intent, detail: string) =>
      Effect.promise(async () => {
        const line = `${[event, key, from, to, amount, detail.replaceAll(/[\\\s]+/g, " ")].join("\t")}\n`
        await new Promise<void>((done) => {
          waiting.push({ line, done })
          if (!flushing) void flush()
        })
        counts[event] += 1
        if (event === "acknowledged") last = performance.now()
      })

    return { path, write, counts, lastAcknowledged: () => last } satisfies Journal
  })
