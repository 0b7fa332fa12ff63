import { Effect } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { freePorts, ready, start } from "./layers/DevServer.ts"

/**
 * `npm run test:timing`: whether the time of an answer tells that an address has an account. A server of its own; known and
 * unknown addresses by turns, so that whatever else the machine does falls on both; medians of 200 each. Ends with 1 when
 * they differ by more than a tenth.
 */
const rounds = 200
const accounts = 50
const allowed = 0.1

let callers = 0
/** Every request from an address of its own, so that no limit by address is met. */
const post = async (base: string, path: string, body: object) => {
  const from = `10.${++callers >> 16}.${(callers >> 8) & 255}.${callers & 255}`
  const began = performance.now()
  const answer = await fetch(`${base}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-forwarded-for": from },
    body: JSON.stringify(body)
  })
  const text = await answer.text()
  return { millis: performance.now() - began, status: answer.status, text }
}

const median = (values: ReadonlyArray<number>) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
// What names the request and not the account.
const impersonal = (text: string) => text.replaceAll(/"(request_id|trace_id)":"[^"]*"/g, "")

const compare = async (base: string, path: string, body: (email: string) => object) => {
  const times = { known: new Array<number>(), unknown: new Array<number>() }
  const answers = { known: new Set<string>(), unknown: new Set<string>() }
  for (let n = 0; n < rounds; n++) {
    for (const who of n % 2 === 0 ? ["known", "unknown"] as const : ["unknown", "known"] as const) {
      const { millis, status, text } = await post(base, path, body(`${who}${n % accounts}@example.com`))
      times[who].push(millis)
      answers[who].add(`${status} ${impersonal(text)}`)
    }
  }
  const [known, unknown] = [median(times.known), median(times.unknown)]
  const apart = Math.abs(known - unknown) / Math.max(known, unknown)
  const alike = answers.known.size === 1 && [...answers.known].join() === [...answers.unknown].join()
  const verdict = apart <= allowed && alike
  process.stdout.write(
    `${verdict ? "✓" : "✗"} ${path}: known ${known.toFixed(2)} ms, unknown ${unknown.toFixed(2)} ms, `
      + `${(apart * 100).toFixed(1)} % apart; ${alike ? "one answer for both" : "answers that differ"}\n`
  )
  return verdict
}

const home = mkdtempSync(join(tmpdir(), "midnight-timing-"))
const run = Effect.gen(function*() {
  const ports = yield* freePorts
  const environment = { ...ports, MIDNIGHT_HOME: home, TRUSTED_PROXIES: "loopback" }
  yield* ready(yield* start(environment))
  const base = `http://127.0.0.1:${ports.PORT}`
  const password = "a long enough passphrase"
  return yield* Effect.promise(async () => {
    for (let n = 0; n < accounts; n++) {
      const { status, text } = await post(base, "/api/auth/register", { email: `known${n}@example.com`, password })
      if (status !== 201) throw new Error(text)
    }
    const login = await compare(base, "/api/auth/login", (email) => ({ email, password: "another long passphrase" }))
    const forgot = await compare(base, "/api/auth/password/forgot", (email) => ({ email }))
    return login && forgot
  })
}).pipe(
  Effect.scoped,
  Effect.ensuring(Effect.sync(() => rmSync(home, { recursive: true, force: true, maxRetries: 10 })))
)

process.exitCode = await Effect.runPromise(run) ? 0 : 1
