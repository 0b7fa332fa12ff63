import { Effect, Schema } from "effect"
import { randomUUID } from "node:crypto"

/** An answer that the demo did not expect, with what the server said. */
export class Unexpected extends Schema.TaggedError<Unexpected>()("Unexpected", { message: Schema.String }) {}

export interface Answer {
  readonly status: number
  readonly requestId: string
  readonly headers: Headers
  readonly body: unknown
}

export interface Call {
  readonly method?: "GET" | "POST" | "PUT"
  readonly token?: string
  readonly key?: string
  readonly json?: unknown
  readonly bytes?: Uint8Array<ArrayBuffer>
  readonly headers?: Readonly<Record<string, string>>
}

/** One HTTP call as any client would make it: the demo knows nothing of Midnight but its routes. */
export const call = (url: string, options: Call = {}): Effect.Effect<Answer, Unexpected> =>
  Effect.tryPromise({
    try: async (signal) => {
      const answer = await fetch(url, {
        signal,
        method: options.method ?? (options.json === undefined ? "GET" : "POST"),
        headers: {
          accept: "application/json",
          ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
          ...(options.key === undefined ? {} : { "idempotency-key": options.key }),
          ...(options.json === undefined ? {} : { "content-type": "application/json" }),
          ...options.headers
        },
        ...(options.bytes === undefined ? {} : { body: options.bytes }),
        ...(options.json === undefined ? {} : { body: JSON.stringify(options.json) })
      })
      const text = await answer.text()
      const body: unknown = text === "" ? undefined : JSON.parse(text)
      return {
        status: answer.status,
        requestId: answer.headers.get("x-request-id") ?? "",
        headers: answer.headers,
        body
      }
    },
    catch: (cause) => {
      const why = String(cause instanceof Error ? cause.cause ?? cause : cause)
      const hint = why.includes("ECONNREFUSED") ? " Is `npm start` running, with this PORT and MIDNIGHT_HOME?" : ""
      return new Unexpected({ message: `${url}: ${why}.${hint}` })
    }
  }).pipe(Effect.timeoutOrElse({
    duration: "20 seconds",
    orElse: () => Effect.fail(new Unexpected({ message: `${url} did not answer in 20 s` }))
  }))

/** A question that came too often is put again when the server says that it may be: who looks on is not to be what fails. */
const ask = Effect.fnUntraced(function*(url: string, options: Call) {
  const isQuestion = (options.method ?? "GET") === "GET" && options.json === undefined
  let answer = yield* call(url, options)
  for (let n = 0; n < 5 && isQuestion && answer.status === 429; n++) {
    yield* Effect.sleep(`${Number(answer.headers.get("retry-after") ?? 1)} seconds`)
    answer = yield* call(url, options)
  }
  return answer
})

/** The same, and what must come back. */
export const expect = <S extends Schema.Codec<unknown, unknown>>(
  url: string,
  status: number,
  schema: S,
  options: Call = {}
): Effect.Effect<{ readonly answer: Answer; readonly body: S["Type"] }, Unexpected> =>
  Effect.gen(function*() {
    const answer = yield* ask(url, options)
    if (answer.status !== status) {
      return yield* new Unexpected({
        message: `${options.method ?? "GET"} ${url} answered ${answer.status}: ${JSON.stringify(answer.body)}`
      })
    }
    const body = yield* Schema.decodeUnknownEffect(schema)(answer.body).pipe(
      Effect.mapError((error) => new Unexpected({ message: `${url}: ${error.message}` }))
    )
    return { answer, body }
  })

export const newKey = (): string => randomUUID()
