import type { IncomingMessage, ServerResponse } from "node:http"
import { refuseSlow } from "./MalformedHttp.ts"

/** What a connection costs beside the bytes of its body, so that very many tiny bodies are bounded too. */
const leastBytes = 16 * 1024
const bytesOfChunked = 64 * 1024

/** Bytes of all bodies that may be on the way at once: 4,096 small ones, or 64 of the largest that is taken. */
export const mostArriving = 64 * 1024 * 1024

/** The bytes to wait for; 0 when there is no body. */
const announced = ({ headers, method }: IncomingMessage): number => {
  const { "content-length": length, "transfer-encoding": coding } = headers
  if (method === "GET" || method === "HEAD") return 0
  if (coding !== undefined) return bytesOfChunked
  return length === undefined || length === "0" ? 0 : Math.max(leastBytes, Number(length))
}

/**
 * Requests whose bodies are still on the way. Nothing can be done for them yet, so they take nobody's room, and a
 * stranger who never sends the rest turns nobody away. What they do take is memory: when that is too much, the one that
 * has been on its way for longest is given up. Whoever sends the body with the head is never that one.
 */
export class Arriving {
  private readonly most: number
  private readonly arrived: (response: ServerResponse) => void
  /** In the order in which they came. */
  private readonly waiting = new Map<IncomingMessage, { readonly response: ServerResponse; readonly bytes: number }>()
  private bytes = 0

  constructor(most: number, arrived: (response: ServerResponse) => void) {
    this.most = most
    this.arrived = arrived
  }

  /** Whether this request is one to wait for. `arrived` is told once its body has been read, unless it is answered before. */
  awaits(request: IncomingMessage, response: ServerResponse): boolean {
    const bytes = announced(request)
    if (bytes === 0) return false
    this.waiting.set(request, { response, bytes })
    this.bytes += bytes
    request.on("end", () => this.end(request))
    response.on("close", () => this.remove(request))
    while (this.bytes > this.most && this.waiting.size > 1) this.giveUpOldest()
    return true
  }

  private remove(request: IncomingMessage): ServerResponse | undefined {
    const found = this.waiting.get(request)
    if (found === undefined) return undefined
    this.waiting.delete(request)
    this.bytes -= found.bytes
    return found.response
  }

  private end(request: IncomingMessage) {
    const response = this.remove(request)
    if (response !== undefined) this.arrived(response)
  }

  private giveUpOldest() {
    for (const request of this.waiting.keys()) {
      // All of it is there and waits to be read.
      if (request.complete) return this.end(request)
      const response = this.remove(request)
      return response === undefined ? undefined : refuseSlow(request, response)
    }
  }
}
