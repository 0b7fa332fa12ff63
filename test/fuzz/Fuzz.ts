import { query } from "../../bench/database.ts"
import { type Random, random } from "../chaos/bank/Random.ts"
import { call, type Stage } from "../chaos/isolation/Stage.ts"
import { operationsOf, type Role, type Wanted, wanted } from "./Requests.ts"
import { type Json, listOf, objectOf, password, type Seen } from "./Values.ts"
import { verdict } from "./Verdict.ts"
import { type Answer, exchange } from "./Wire.ts"

export interface FuzzOptions {
  readonly seed: number
  /** Requests that count: those answered 429 do not. */
  readonly requests: number
  readonly concurrency?: number
  readonly onProgress?: (counted: number) => void
}

export interface Finding {
  readonly number: number
  readonly complaint: string
  readonly request: string
}

export interface FuzzReport {
  readonly sent: number
  readonly counted: number
  readonly statuses: ReadonlyMap<number, number>
  /** Operations of the document, and how many of them gave an answer below 400. */
  readonly operations: number
  readonly reached: number
  readonly findings: ReadonlyArray<Finding>
}

const remember = (list: Array<string>, value: unknown, most = 400) => {
  if (typeof value !== "string" || value === "") return
  list.push(value)
  if (list.length > most) list.shift()
}

let addresses = 0
const address = () => `10.${(++addresses >> 16) & 255}.${(addresses >> 8) & 255}.${addresses & 255}`

interface Account {
  readonly token: string
  left: number
}

/** People who sign in, by role. Each is replaced before a limit per user is met, and when it was disabled or erased. */
class Cast {
  readonly stage: Stage
  readonly seen: Seen
  readonly ready = new Map<Role, Promise<Account>>()

  constructor(stage: Stage, seen: Seen) {
    this.stage = stage
    this.seen = seen
  }

  async post(path: string, body: Json): Promise<Json> {
    const headers = { "content-type": "application/json", "x-forwarded-for": address() }
    const { text } = await call({
      port: this.stage.ports.api,
      method: "POST",
      path,
      headers,
      body: JSON.stringify(body)
    })
    return objectOf(JSON.parse(text))
  }

  async signUp(role: Role): Promise<Account> {
    const email = `fuzz-${role}-${++addresses}@example.com`
    const registered = await this.post("/api/auth/register", { email, password })
    const id = String(objectOf(registered["user"])["id"])
    let tokens = objectOf(registered["tokens"])
    if (role !== "member") {
      await query(this.stage.url, "UPDATE identity.users SET roles = ARRAY['member', $2] WHERE id = $1::uuid", [
        id,
        role
      ])
      tokens = objectOf((await this.post("/api/auth/refresh", { refreshToken: tokens["refreshToken"] }))["tokens"])
    }
    if (typeof tokens["accessToken"] !== "string") throw new Error(`${role} could not sign in`)
    remember(this.seen.emails, email, 40)
    remember(this.seen.ids, id)
    remember(this.seen.tokens, tokens["refreshToken"], 40)
    return { token: tokens["accessToken"], left: 150 }
  }

  async token(role: Role): Promise<string> {
    const known = await this.ready.get(role)
    if (known !== undefined && known.left-- > 0) return known.token
    // Whoever asks meanwhile waits for the same new account.
    const current = this.ready.get(role)
    const next = current === undefined || (await current) === known ? this.signUp(role) : current
    this.ready.set(role, next)
    return (await next).token
  }

  async forget(role: Role, token: string) {
    const known = await this.ready.get(role)
    if (known?.token === token) known.left = 0
  }
}

const learn = (seen: Seen, answer: Answer) => {
  if (answer.status >= 300 || !answer.text.startsWith("{")) return
  const json = objectOf(JSON.parse(answer.text))
  remember(seen.cursors, json["nextCursor"] ?? json["next_cursor"] ?? json["next"], 40)
  for (const one of [json, ...listOf(json["items"] ?? json["data"]).slice(0, 3).map(objectOf)]) {
    for (const [name, value] of Object.entries(one)) if (/^(.*I|i)d$/.test(name)) remember(seen.ids, value)
  }
}

const headOf = (random: Random, { body, headers, method, path }: Wanted, token: string | undefined): string => {
  const names = new Set(headers.map(([name]) => name.toLowerCase()))
  const lines = [...headers]
  if (!names.has("x-forwarded-for")) lines.push(["X-Forwarded-For", address()])
  if (token !== undefined && !names.has("authorization")) lines.push(["Authorization", `Bearer ${token}`])
  // A head whose body never comes would wait for its time limit; that is another test's.
  if (body.length > 0 || random.chance(0.8)) lines.push(["Content-Length", String(body.length)])
  return `${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n${
    lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")
  }\r\n`
}

const shown = (head: string, body: Buffer) =>
  `${head.replace(/Bearer [\w-]+\.[\w-]+\.[\w-]+/, "Bearer …").slice(0, 1_500)}${body.toString("utf8").slice(0, 500)}`

/** Sends random and malformed requests, all drawn from the document and the seed, and judges every answer by the document. */
export const fuzz = async (
  stage: Stage,
  { concurrency = 8, onProgress, requests, seed }: FuzzOptions
): Promise<FuzzReport> => {
  const { text } = await call({ port: stage.ports.api, method: "GET", path: "/openapi.json" })
  const document = objectOf(JSON.parse(text))
  const operations = operationsOf(document)
  const seen: Seen = { ids: [], cursors: [], emails: [], tokens: [] }
  const cast = new Cast(stage, seen)
  const all = random(seed)
  const statuses = new Map<number, number>()
  const findings: Array<Finding> = []
  const reached = new Set<string>()
  let sent = 0
  let counted = 0
  const worker = async () => {
    while (counted < requests && sent < requests * 3) {
      const number = sent++
      const own = all.fork(number)
      const next = wanted(own, operations, document, seen)
      const token = next.role === "nobody" ? undefined : await cast.token(next.role)
      const head = headOf(own, next, token)
      const answer = await exchange(stage.ports.api, head, next.body)
      const complaints = typeof answer === "string" ? [answer] : verdict(next, answer, document)
      for (const complaint of complaints) findings.push({ number, complaint, request: shown(head, next.body) })
      if (typeof answer !== "string") {
        statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1)
        if (answer.status < 400) reached.add(`${next.operation.method} ${next.operation.template}`)
        if (answer.status === 401 && token !== undefined) await cast.forget(next.role, token)
        learn(seen, answer)
        if (answer.status !== 429) counted++
      }
      onProgress?.(counted)
    }
  }
  await Promise.all(Array.from({ length: concurrency }, worker))
  return { sent, counted, statuses, operations: operations.length, reached: reached.size, findings }
}
