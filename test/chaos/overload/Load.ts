import { createConnection, type Socket } from "node:net"

/** A kind of request, and how many of its answers are wanted a second. */
export interface Kind {
  readonly name: string
  /** Its part of the load; the parts of all kinds add up to 1. */
  readonly part: number
  /** Each waits for its answer, so that many may be unanswered at once. */
  readonly connections: number
  readonly request: (number: number) => string
}

export interface Seen {
  readonly kind: string
  /** 0 stands for a broken connection. */
  readonly status: number
  /** Seconds since the load began, and milliseconds from when it was due until its answer. */
  readonly at: number
  readonly millis: number
}

interface Line {
  readonly send: (due: number) => void
  readonly close: () => void
}

const statusOf = (head: string) => Number(head.slice(9, 12))
const empty: Buffer = Buffer.alloc(0)

/** One connection, opened when it is first needed, kept alive, one request at a time; opened again when the server closes it. */
const line = (port: number, next: () => string, onAnswer: (status: number, due: number) => void): Line => {
  let data: Buffer = empty
  let due: number | undefined
  let socket: Socket | undefined
  const answered = (status: number) => {
    const since = due
    due = undefined
    if (since !== undefined) onAnswer(status, since)
  }
  const open = (): Socket => {
    const made = createConnection({ port, host: "127.0.0.1", noDelay: true })
    made.on("error", () => answered(0)).on("end", () => answered(0)).on("data", (chunk: Buffer) => {
      data = data.length === 0 ? chunk : Buffer.concat([data, chunk])
      const head = data.indexOf("\r\n\r\n")
      if (head === -1) return
      const text = data.toString("latin1", 0, head)
      const end = head + 4 + Number(/\r\ncontent-length: *(\d+)/i.exec(text)?.[1] ?? 0)
      if (data.length < end) return
      data = empty
      answered(statusOf(text))
    })
    return made
  }
  return {
    send: (at) => {
      const used = socket === undefined || socket.destroyed || socket.readableEnded ? open() : socket
      socket = used
      due = at
      used.write(next(), "latin1")
    },
    close: () => socket?.destroy()
  }
}

/** Holds connections open over several loads. */
export const loader = (port: number, kinds: ReadonlyArray<Kind>) => {
  let onSeen: (seen: Seen) => void = () => {}
  let began = 0
  const lanes = kinds.map(({ connections, name, part, request }) => {
    const idle: Array<Line> = []
    let number = 0
    for (let n = 0; n < connections; n++) {
      const one: Line = line(port, () => request(number++), (status, due) => {
        idle.push(one)
        const now = performance.now()
        onSeen({ kind: name, status, at: (due - began) / 1_000, millis: now - due })
      })
      idle.push(one)
    }
    return { part, idle, lines: [...idle] }
  })

  /** Sends so many requests a second, answered or not, for so long, and then waits for what is unanswered. */
  const run = async (rate: number, seconds: number): Promise<ReadonlyArray<Seen>> => {
    const seen: Array<Seen> = []
    onSeen = (one) => seen.push(one)
    began = performance.now()
    const state = lanes.map((lane) => ({
      ...lane,
      due: new Array<number>(),
      made: 0,
      total: Math.floor(rate * lane.part * seconds)
    }))
    await new Promise<void>((settle) => {
      const timer = setInterval(() => {
        const now = performance.now()
        let unanswered = 0
        for (const lane of state) {
          const perSecond = rate * lane.part
          while (lane.made < lane.total && lane.made < ((now - began) / 1_000) * perSecond) {
            lane.due.push(began + (lane.made++ / perSecond) * 1_000)
          }
          let sent = 0
          for (; sent < lane.due.length; sent++) {
            // The one that was used last: others may be about to be closed for their idleness.
            const free = lane.idle.pop()
            if (free === undefined) break
            free.send(lane.due[sent] ?? now)
          }
          lane.due.splice(0, sent)
          unanswered += lane.total - lane.made + lane.due.length + lane.lines.length - lane.idle.length
        }
        if (unanswered === 0 || now - began > (seconds + 20) * 1_000) {
          clearInterval(timer)
          settle()
        }
      }, 1)
    })
    return seen
  }
  const close = () => {
    for (const { lines } of lanes) for (const { close } of lines) close()
  }
  return { run, close }
}
