import { Effect, Predicate, Schema } from "effect"
import { createServer } from "node:http"

/** What becomes of the rows of a list on their way: the same number, some of them changed. */
export type Mangle = (rows: ReadonlyArray<unknown>) => ReadonlyArray<unknown>

const Text = Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown))
const decode = Schema.decodeUnknownOption(Text)
const encode = Schema.encodeSync(Text)

const mangled = (text: string, mangle: Mangle): string => {
  const body = decode(text)
  if (body._tag === "None") return text
  const key = ["data", "items"].find((name) => Array.isArray(body.value[name]))
  const rows = key === undefined ? undefined : body.value[key]
  return key === undefined || !Array.isArray(rows) ? text : encode({ ...body.value, [key]: mangle(rows) })
}

/** Stands between an adapter and its provider, and changes the rows of every list; `query` may change what is asked. */
export const manglingProxy = Effect.fnUntraced(function*(
  target: string,
  mangle: Mangle,
  query: (search: string) => string = (search) => search
) {
  const server = createServer((request, response) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => {
      const { headers, method = "GET", url = "/" } = request
      const kept = Object.entries(headers).flatMap(([name, value]) =>
        typeof value === "string" && !["host", "connection", "content-length", "accept-encoding"].includes(name)
          ? [[name, value] as const]
          : []
      )
      const body = Buffer.concat(chunks)
      const asked = new URL(url, target)
      asked.search = query(asked.search)
      fetch(asked, { method, headers: Object.fromEntries(kept), ...(body.length > 0 ? { body } : {}) }).then(
        async (answer) => {
          const text = await answer.text()
          const type = answer.headers.get("content-type") ?? "application/json"
          return response.writeHead(answer.status, { "content-type": type }).end(
            method === "GET" ? mangled(text, mangle) : text
          )
        },
        () => response.destroy()
      )
    })
  })
  yield* Effect.acquireRelease(
    Effect.promise(() => new Promise<void>((listening) => server.listen(0, "127.0.0.1", () => listening()))),
    () => Effect.promise(() => new Promise((closed) => server.close(closed).closeAllConnections()))
  )
  const address = server.address()
  return `http://127.0.0.1:${Predicate.hasProperty(address, "port") ? String(address.port) : "0"}`
})

/** The rows that speak of this id, changed. */
export const spoiling = (id: string, change: (row: object) => unknown): Mangle => (rows) =>
  rows.map((row) => Predicate.isObject(row) && JSON.stringify(row).includes(id) ? change(row) : row)
