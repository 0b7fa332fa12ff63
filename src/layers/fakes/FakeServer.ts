import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http"
import type { Deliveries } from "./Deliveries.ts"
import { decodeSwitches, decodeTrouble, type Faults, type TroubleStatus } from "./Switches.ts"

export interface FakeRequest {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
  readonly body: string
  /** Where the caller reached the fake: what its own links begin with. */
  readonly base: string
}

export interface Answer {
  readonly status: number
  /** An object goes out as JSON, text as a page. */
  readonly body: object | string
  readonly headers?: Readonly<Record<string, string>>
}

export type SettleKind = "refund" | "payout" | "dispute"

export interface Fake {
  readonly faults: Faults
  readonly deliveries: Deliveries
  /** The provider's API and checkout page. */
  answer(request: FakeRequest): Answer
  /** What a bank or a person decides outside the API; false when there is no such thing, or it has ended. */
  settle(kind: SettleKind, id: string, outcome: string): boolean
  /** How the provider says that it is in trouble, or that it does not want to. */
  trouble(status: Exclude<TroubleStatus, 200>): Answer
  /** Forgets idempotency keys, as a provider does after a day. */
  forget(): void
}

/** One call of the API, as it came in. */
export interface Call {
  readonly method: string
  readonly path: string
  readonly key: string | undefined
  readonly body: string
}

const mostBytes = 1024 * 1024

const read = (message: IncomingMessage): Promise<string> =>
  new Promise((resolve, reject) => {
    const chunks: Array<Buffer> = []
    let bytes = 0
    message.on("data", (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > mostBytes) message.destroy()
      else chunks.push(chunk)
    })
    message.on("end", () => resolve(Buffer.concat(chunks).toString("utf8")))
    message.on("error", reject)
    message.on("close", () => reject(new Error("the request broke off")))
  })

const write = (response: ServerResponse, { body, headers, status }: Answer): void => {
  const isText = typeof body === "string"
  const type = isText ? "text/html; charset=utf-8" : "application/json"
  response.writeHead(status, { "content-type": type, ...headers }).end(isText ? body : JSON.stringify(body))
}

const parse = (text: string): Readonly<Record<string, unknown>> => {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === "object" && value !== null ? { ...value } : {}
  } catch {
    return {}
  }
}

const kinds: ReadonlyArray<SettleKind> = ["refund", "payout", "dispute"]

/** Under `/_fake`: the switches, what came in and went out, and what happens outside the API. Nothing goes wrong here. */
const control = (fake: Fake, calls: ReadonlyArray<Call>, { body, method, path }: FakeRequest): Answer => {
  if (path === "/_fake/switches" && method === "GET") return { status: 200, body: fake.faults.switches }
  if (path === "/_fake/switches" && method === "PUT") {
    const changes = decodeSwitches(body)
    return changes._tag === "Some" && fake.faults.set(changes.value)
      ? { status: 200, body: fake.faults.switches }
      : { status: 400, body: { error: "A switch is a name of GET /_fake/switches with a number in its range." } }
  }
  if (path === "/_fake/trouble" && method === "PUT") {
    const trouble = decodeTrouble(body)
    if (trouble._tag === "None") {
      return {
        status: 400,
        body: {
          error: "route (such as POST /v1/payouts), status (200, 400, 429 or 500), times, and cutFirst if need be"
        }
      }
    }
    fake.faults.troubleAt(trouble.value)
    return { status: 200, body: trouble.value }
  }
  if (path === "/_fake/forget" && method === "POST") {
    fake.forget()
    return { status: 200, body: { forgotten: true } }
  }
  if (path === "/_fake/calls" && method === "GET") return { status: 200, body: { calls } }
  if (path === "/_fake/events" && method === "GET") return { status: 200, body: { events: fake.deliveries.sent } }
  if (path === "/_fake/webhook" && method === "PUT") {
    const { url } = parse(body)
    fake.deliveries.url = typeof url === "string" ? url : undefined
    return { status: 200, body: { url: fake.deliveries.url ?? null } }
  }
  if (path === "/_fake/redeliver" && method === "POST") {
    for (const event of fake.deliveries.sent) fake.deliveries.again(event)
    return { status: 200, body: { delivered: fake.deliveries.sent.length } }
  }
  if (path === "/_fake/settle" && method === "POST") {
    const { id, kind, outcome } = parse(body)
    const known = kinds.find((one) => one === kind)
    return known !== undefined && fake.settle(known, String(id), String(outcome))
      ? { status: 200, body: { settled: true } }
      : { status: 404, body: { error: "There is nothing of that kind and id that waits for such an outcome." } }
  }
  return { status: 404, body: { error: "switches, trouble, forget, calls, events, webhook, redeliver, settle" } }
}

const serve = async (fake: Fake, calls: Array<Call>, message: IncomingMessage, response: ServerResponse) => {
  const base = `http://${message.headers.host ?? "127.0.0.1"}`
  const url = new URL(message.url ?? "/", base)
  const body = await read(message)
  const { headers, method = "GET" } = message
  const request: FakeRequest = { method, path: url.pathname, query: url.searchParams, headers, body, base }
  if (url.pathname.startsWith("/_fake")) return write(response, control(fake, calls, request))
  if (url.pathname.startsWith("/checkout")) return write(response, fake.answer(request))
  const key = headers["idempotency-key"]
  calls.push({ method, path: url.pathname, key: typeof key === "string" ? key : undefined, body })
  if (calls.length > 20_000) calls.shift()
  const { faults } = fake
  const trouble = faults.trouble(`${method} ${url.pathname}`)
  if (trouble === 200) return write(response, { status: 200, body: "<html>Sorry</html>" })
  if (trouble !== undefined && trouble !== "cut") return write(response, fake.trouble(trouble))
  if (faults.happens("rateLimit")) return write(response, fake.trouble(429))
  if (faults.happens("serverError")) return write(response, fake.trouble(500))
  const answer = fake.answer(request)
  if (trouble === "cut" || faults.happens("resetAfterAccepting")) return message.socket.destroy()
  if (faults.happens("hang")) return
  if (faults.happens("delay")) return setTimeout(() => write(response, answer), faults.switches.delayMillis)
  write(response, answer)
}

export interface RunningFake<F extends Fake = Fake> {
  readonly url: string
  readonly fake: F
  readonly calls: ReadonlyArray<Call>
  close(): Promise<void>
}

/** Serves a fake; port 0 takes any free one. */
export const startFake = <F extends Fake>(
  fake: F,
  { host, port }: { readonly host: string; readonly port: number }
) =>
  new Promise<RunningFake<F>>((resolve, reject) => {
    const calls: Array<Call> = []
    const server = createServer((message, response) => {
      serve(fake, calls, message, response).catch(() => response.destroy())
    })
    server.on("error", reject)
    server.listen(port, host, () => {
      const address = server.address()
      const bound = typeof address === "object" && address !== null ? address.port : port
      resolve({
        url: `http://${host}:${bound}`,
        fake,
        calls,
        close: () =>
          new Promise((closed) => {
            fake.deliveries.close()
            server.close(() => closed())
            server.closeAllConnections()
          })
      })
    })
  })
