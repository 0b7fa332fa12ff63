import { createConnection, type Socket } from "node:net"

/**
 * A load generator that costs little, since it shares the machine with what it measures: raw sockets with keep-alive, one
 * request at a time on each, whole requests as text, and of an answer only its status and its length are read.
 */
export interface Load {
  readonly port: number
  readonly connections: number
  /** The text of the next request on a connection. */
  readonly request: (connection: number) => string
  readonly warmupSeconds: number
  readonly seconds: number
  /** Requests per second, sent whether or not earlier ones were answered (open loop). None: each answer is followed at once. */
  readonly rate?: number
  /** Called when warm-up is over and counting begins. */
  readonly onStart?: () => void
  readonly onEnd?: () => void
}

export interface Measured {
  readonly requests: number
  readonly perSecond: number
  readonly p50: number
  readonly p99: number
  readonly max: number
  /** How many answers had a status other than 2xx, by that status; broken connections under "broken". */
  readonly errors: ReadonlyMap<string, number>
}

const empty: Buffer = Buffer.alloc(0)

/** The status of the first answer in `data`, and where the answer ends; undefined until it is complete. */
const parse = (data: Buffer): { readonly status: string; readonly end: number } | undefined => {
  const head = data.indexOf("\r\n\r\n")
  if (head === -1) return undefined
  const length = /\r\ncontent-length: *(\d+)/i.exec(data.toString("latin1", 0, head))
  const end = head + 4 + Number(length?.[1] ?? 0)
  return data.length < end ? undefined : { status: data.toString("latin1", 9, 12), end }
}

const connect = (port: number): Promise<Socket> =>
  new Promise((settle, fail) => {
    const socket = createConnection({ port, host: "127.0.0.1", noDelay: true })
    socket.once("error", fail)
    socket.once("connect", () => {
      socket.off("error", fail)
      settle(socket)
    })
  })

/** All connections, opened a few hundred at a time so that the backlog is never full. */
const connectAll = async ({ connections, port }: Load): Promise<ReadonlyArray<Socket>> => {
  const sockets: Array<Socket> = []
  while (sockets.length < connections) {
    const some = Math.min(256, connections - sockets.length)
    sockets.push(...await Promise.all(Array.from({ length: some }, () => connect(port))))
  }
  return sockets
}

const quantile = (sorted: Float64Array, part: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0

class Recorder {
  readonly latencies: Array<number> = []
  readonly errors = new Map<string, number>()
  counting = false

  failed(kind: string) {
    if (this.counting) this.errors.set(kind, (this.errors.get(kind) ?? 0) + 1)
  }

  answered(status: string, since: number) {
    if (!this.counting) return
    if (status.startsWith("2")) this.latencies.push(performance.now() - since)
    else this.failed(status)
  }

  result(seconds: number): Measured {
    const sorted = Float64Array.from(this.latencies).sort()
    return {
      requests: sorted.length,
      perSecond: sorted.length / seconds,
      p50: quantile(sorted, 0.5),
      p99: quantile(sorted, 0.99),
      max: quantile(sorted, 1),
      errors: this.errors
    }
  }
}

/** Gives each answer on a socket to `onAnswer`, and sends on its behalf. */
const talk = (socket: Socket, recorder: Recorder, onIdle: () => void, isOver: () => boolean) => {
  let data: Buffer = empty
  let since = 0
  socket.on("data", (chunk: Buffer) => {
    data = data.length === 0 ? chunk : Buffer.concat([data, chunk])
    const answer = parse(data)
    if (answer === undefined) return
    data = data.length === answer.end ? empty : data.subarray(answer.end)
    recorder.answered(answer.status, since)
    onIdle()
  })
  const broken = () => {
    if (!isOver()) recorder.failed("broken")
  }
  socket.on("error", broken)
  socket.on("end", broken)
  return (request: string, due: number) => {
    since = due
    socket.write(request, "latin1")
  }
}

const after = (seconds: number) => new Promise<void>((settle) => setTimeout(settle, seconds * 1_000))

/** Sends what is due every millisecond; a request that finds no free connection waits, and its wait counts. */
const dispatch = (rate: number, idle: Array<number>, send: (connection: number, due: number) => void) => {
  const started = performance.now()
  const waiting: Array<number> = []
  let sent = 0
  return setInterval(() => {
    const now = performance.now()
    for (const due = ((now - started) / 1_000) * rate; sent < due; sent++) {
      waiting.push(started + (sent / rate) * 1_000)
    }
    let taken = 0
    for (const due of waiting) {
      const connection = idle.shift()
      if (connection === undefined) break
      send(connection, due)
      taken++
    }
    waiting.splice(0, taken)
  }, 1)
}

export const run = async (load: Load): Promise<Measured> => {
  const sockets = await connectAll(load)
  const recorder = new Recorder()
  const idle: Array<number> = []
  let over = false
  const senders: Array<(request: string, due: number) => void> = []
  const send = (connection: number, due: number) => senders[connection]?.(load.request(connection), due)
  sockets.forEach((socket, connection) =>
    senders.push(talk(
      socket,
      recorder,
      load.rate === undefined
        ? () => {
          if (!over) send(connection, performance.now())
        }
        : () => idle.push(connection),
      () => over
    ))
  )
  const all = sockets.map((_, connection) => connection)
  let timer: NodeJS.Timeout | undefined
  if (load.rate === undefined) { for (const connection of all) send(connection, performance.now()) }
  else {
    idle.push(...all)
    timer = dispatch(load.rate, idle, send)
  }
  await after(load.warmupSeconds)
  load.onStart?.()
  recorder.counting = true
  const started = performance.now()
  await after(load.seconds)
  const seconds = (performance.now() - started) / 1_000
  recorder.counting = false
  load.onEnd?.()
  clearInterval(timer)
  over = true
  // What is still in flight is answered before its connection goes, so that the next side starts on a quiet machine.
  await after(0.3)
  for (const socket of sockets) socket.destroy()
  return recorder.result(seconds)
}
