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

/** What came of one kind of request. */
export interface Tally {
  readonly kind: string
  /** Answered 2xx, 503 and otherwise while the load still ran: what comes after its end was not served at that rate. */
  readonly good: number
  readonly refused: number
  readonly other: number
  /** Milliseconds from when a request was due until its answer, late ones included. */
  readonly goodP50: number
  readonly goodP99: number
  readonly refusedP50: number
  readonly refusedP99: number
  /** Seconds from the start until the last answer that was not 2xx; 0 when there was none. */
  readonly lastBad: number
  /** How often anything but 2xx and 503 came; 0 stands for a broken connection. */
  readonly strays: ReadonlyArray<readonly [status: number, times: number]>
  /** Requests that no free connection was found for in time, or whose answer never came. */
  readonly unanswered: number
}

/** One connection, opened when it is first needed, kept alive, one request at a time; opened again when the server closes it. */
interface Line {
  readonly send: (request: string, due: number) => void
  readonly close: () => void
}

// Every chunk is looked at before the next is read, so all connections read into the same bytes.
const chunk = Buffer.alloc(64 * 1024)
const lengthName = Buffer.from("content-length: ")

/** Bytes of the answer that begins here; undefined until its head is whole. */
const lengthOf = (data: Buffer): number | undefined => {
  const head = data.indexOf("\r\n\r\n")
  if (head === -1) return undefined
  const at = data.indexOf(lengthName)
  return head + 4 + (at === -1 || at > head ? 0 : Number.parseInt(data.toString("latin1", at + 16, at + 26)))
}

const line = (port: number, onAnswer: (status: number, due: number) => void): Line => {
  let began: Buffer | undefined
  let status = 0
  let missing = 0
  let due: number | undefined
  let socket: Socket | undefined
  // What was sent on a connection that had been idle: the server may have been closing it just then, and a client sends it again
  // (RFC 9112, 9.3.1). Transfers have their key.
  let again: string | undefined
  const answered = (with_: number) => {
    const since = due
    due = undefined
    if (since !== undefined) onAnswer(with_, since)
  }
  const read = (size: number): boolean => {
    if (missing > 0) missing -= size
    else {
      const part = chunk.subarray(0, size)
      const data = began === undefined ? part : Buffer.concat([began, part])
      const length = lengthOf(data)
      began = length === undefined ? Buffer.from(data) : undefined
      if (length === undefined) return true
      status = Number.parseInt(data.toString("latin1", 9, 12))
      missing = length - data.length
    }
    if (missing <= 0) {
      missing = 0
      answered(status)
    }
    return true
  }
  const broken = () => {
    const request = again
    again = undefined
    if (due !== undefined && request !== undefined && began === undefined && missing === 0) {
      socket = open()
      socket.write(request, "latin1")
      return
    }
    began = undefined
    missing = 0
    answered(0)
  }
  const open = (): Socket => {
    const opened = createConnection({
      port,
      host: "127.0.0.1",
      noDelay: true,
      onread: { buffer: chunk, callback: read }
    })
    const gone = () => opened === socket ? broken() : undefined
    return opened.on("error", gone).on("end", gone)
  }
  return {
    send: (request, at) => {
      due = at
      again = undefined
      if (socket === undefined || socket.destroyed || socket.readableEnded) socket = open()
      else again = request
      socket.write(request, "latin1")
    },
    close: () => socket?.destroy()
  }
}

const quantile = (values: ReadonlyArray<number>, part: number) =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))] ?? 0

/** The requests of one kind, with the connections that they take turns on. */
const lane = (port: number, { connections, name, part, request }: Kind) => {
  let number = 0
  let began = 0
  let ends = 0
  let made = 0
  let answers = 0
  let lastBad = 0
  let waiting: Array<number> = []
  let counts = { good: 0, refused: 0, other: 0 }
  let goods: Array<number> = []
  let refusals: Array<number> = []
  let strays = new Map<number, number>()
  const idle: Array<Line> = []
  const record = (status: number, due: number) => {
    const now = performance.now()
    const outcome = status >= 200 && status < 300 ? "good" : status === 503 ? "refused" : "other"
    answers += 1
    if (now <= ends) counts[outcome] += 1
    if (outcome === "good") goods.push(now - due)
    else lastBad = (now - began) / 1_000
    if (outcome === "refused") refusals.push(now - due)
    if (outcome === "other") strays.set(status, (strays.get(status) ?? 0) + 1)
  }
  for (let n = 0; n < connections; n++) {
    const one: Line = line(port, (status, due) => {
      idle.push(one)
      record(status, due)
    })
    idle.push(one)
  }
  const lines = [...idle]
  return {
    start: (now: number, seconds: number) => {
      began = now
      ends = now + seconds * 1_000
      made = answers = lastBad = 0
      waiting = []
      counts = { good: 0, refused: 0, other: 0 }
      goods = []
      refusals = []
      strays = new Map()
    },
    /** Sends what is due now of so many a second, and returns how many are unanswered or still to come. */
    send: (now: number, rate: number, total: number): number => {
      const perSecond = rate * part
      const most = Math.floor(total * part)
      for (; made < most && made < ((now - began) / 1_000) * perSecond; made++) {
        waiting.push(began + (made / perSecond) * 1_000)
      }
      let sent = 0
      for (; sent < waiting.length; sent++) {
        // The one that was used last: others may be about to be closed for their idleness.
        const free = idle.pop()
        if (free === undefined) break
        free.send(request(number++), waiting[sent] ?? now)
      }
      waiting.splice(0, sent)
      return most - answers
    },
    tally: (): Tally => ({
      kind: name,
      ...counts,
      goodP50: quantile(goods, 0.5),
      goodP99: quantile(goods, 0.99),
      refusedP50: quantile(refusals, 0.5),
      refusedP99: quantile(refusals, 0.99),
      lastBad,
      strays: [...strays],
      unanswered: made - answers
    }),
    close: () => {
      for (const { close } of lines) close()
    }
  }
}

// Sleeps a millisecond in every turn of the event loop, and not in wait for answers: each answer would wake the process, and the
// server would pay for that within its call to write, as it would not for a client on another machine.
const pause = new Int32Array(new SharedArrayBuffer(4))

/** Holds connections open over several loads. */
export const loader = (port: number, kinds: ReadonlyArray<Kind>) => {
  const lanes = kinds.map((kind) => lane(port, kind))

  /** Sends so many requests a second, answered or not, for so long, and then waits for what is unanswered. */
  const run = async (rate: number, seconds: number): Promise<ReadonlyArray<Tally>> => {
    const began = performance.now()
    for (const { start } of lanes) start(began, seconds)
    await new Promise<void>((settle) => {
      const turn = () => {
        const now = performance.now()
        const left = lanes.reduce((sum, { send }) => sum + send(now, rate, rate * seconds), 0)
        if (left === 0 || now - began > (seconds + 20) * 1_000) return settle()
        Atomics.wait(pause, 0, 0, 1)
        setImmediate(turn)
      }
      turn()
    })
    return lanes.map(({ tally }) => tally())
  }
  const close = () => {
    for (const { close } of lanes) close()
  }
  return { run, close }
}
