import { connect } from "node:net"

export interface Answer {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly text: string
}

const unchunked = (text: Buffer): Buffer => {
  const parts: Array<Buffer> = []
  for (let at = 0;;) {
    const end = text.indexOf("\r\n", at)
    const length = Number.parseInt(text.toString("latin1", at, end), 16)
    if (end === -1 || !(length > 0)) return Buffer.concat(parts)
    parts.push(text.subarray(end + 2, end + 2 + length))
    at = end + 4 + length
  }
}

const parse = (data: Buffer): Answer | undefined => {
  const end = data.indexOf("\r\n\r\n")
  if (end === -1) return undefined
  const [first = "", ...lines] = data.toString("latin1", 0, end).split("\r\n")
  const status = Number(first.slice(9, 12))
  // An invitation to go on precedes the answer.
  if (status === 100) return parse(data.subarray(end + 4))
  const headers = new Map(lines.map((line) => {
    const colon = line.indexOf(":")
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
  }))
  const rest = data.subarray(end + 4)
  const body = headers.get("transfer-encoding") === "chunked" ? unchunked(rest) : rest
  return { status, headers, text: body.toString("utf8") }
}

/** Writes bytes to a connection of its own and reads until the server closes it; a text says what went wrong instead. */
export const exchange = (port: number, head: string, body: Buffer): Promise<Answer | string> =>
  new Promise((settle) => {
    const parts: Array<Buffer> = []
    let broken = ""
    const socket = connect({ port, host: "127.0.0.1", noDelay: true }, () => {
      socket.write(Buffer.concat([Buffer.from(head, "latin1"), body]))
    })
    socket.setTimeout(60_000, () => {
      broken = "no answer within a minute"
      socket.destroy()
    })
    socket.on("data", (data: Buffer) => parts.push(data))
    socket.on("error", (error) => {
      broken = String(error)
    })
    socket.on("close", () => {
      const answer = parse(Buffer.concat(parts))
      settle(answer ?? (broken === "" ? "closed without an answer" : broken))
    })
  })
