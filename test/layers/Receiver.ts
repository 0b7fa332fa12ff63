import { Effect, Schedule, Schema } from "effect"
import { createServer } from "node:http"
import { Webhook } from "standardwebhooks"

const Said = Schema.decodeUnknownSync(Schema.Struct({
  type: Schema.String,
  data: Schema.Record(Schema.String, Schema.Unknown)
}))
type Said = ReturnType<typeof Said>

/** A receiver on loopback that believes what the standard's own library verifies, and nothing else. */
export const receiver = Effect.gen(function*() {
  const said: Array<Said & { readonly id: string }> = []
  let refused = 0
  let verifier: Webhook | undefined
  const server = createServer((request, response) => {
    let body = ""
    request.on("data", (chunk: Buffer) => {
      body += chunk.toString()
    })
    request.on("end", () => {
      const header = (name: string) => String(request.headers[name] ?? "")
      const headers = {
        "webhook-id": header("webhook-id"),
        "webhook-timestamp": header("webhook-timestamp"),
        "webhook-signature": header("webhook-signature")
      }
      try {
        said.push({ ...Said(verifier?.verify(body, headers)), id: headers["webhook-id"] })
        response.writeHead(204).end()
      } catch {
        refused++
        response.writeHead(401).end()
      }
    })
  })
  const port = yield* Effect.acquireRelease(
    Effect.promise(() =>
      new Promise<number>((resolve) => {
        server.listen(0, "127.0.0.1", () => {
          const address = server.address()
          resolve(typeof address === "object" && address !== null ? address.port : 0)
        })
      })
    ),
    () =>
      Effect.sync(() => {
        server.closeAllConnections()
        server.close()
      })
  )
  return {
    url: `http://127.0.0.1:${port}/hooks`,
    knows: (secret: string) => {
      verifier = new Webhook(secret)
    },
    refused: () => refused,
    /** What was said of these types, once all of them came. */
    heard: (...types: ReadonlyArray<string>) =>
      Effect.sync(() => types.map((type) => said.find((one) => one.type === type))).pipe(
        Effect.repeat({
          schedule: Schedule.spaced("20 millis"),
          until: (all) => all.every((one) => one !== undefined)
        }),
        Effect.timeout("20 seconds"),
        Effect.map((all) => all.flatMap((one) => one === undefined ? [] : [one]))
      )
  }
})
