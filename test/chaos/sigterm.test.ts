import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { randomUUID } from "node:crypto"
import { Agent, request } from "node:http"
import { query, startPostgres } from "../../bench/database.ts"
import { makeHeads, makeKeys, memberId } from "../../bench/members.ts"
import { answers, endAll, ourDatabase, ours } from "../../bench/sides.ts"
import { temporaryFolder, until } from "../layers/Held.ts"

// Others may share the machine, and one that waits half a second for its turn is not what this is about.
const patient = { DATABASE_ACQUIRE_LIMIT: "3 seconds" }

interface Outcome {
  /** 0 when the connection could not be made or broke before a head came; -1 when it broke within an answer. */
  readonly status: number
  readonly body: string
  readonly draining: boolean
}

const clients = 16
// Each client sends for many, so that nobody meets the limit of one.
const members = 512

const transferer = (port: number, heads: ReadonlyArray<string>) => {
  const agent = new Agent({ keepAlive: true, maxSockets: clients })
  const send = (member: number) =>
    new Promise<Outcome>((settle) => {
      const body = JSON.stringify({ toUserId: memberId((member + 1) % heads.length), amount: 1, currency: "NGN" })
      const [, token = ""] = /Authorization: (.*)\r\n/.exec(heads[member] ?? "") ?? []
      const headers = {
        authorization: token,
        "idempotency-key": randomUUID(),
        "content-type": "application/json",
        "content-length": String(body.length)
      }
      const sent = request({ agent, host: "127.0.0.1", port, method: "POST", path: "/api/wallet/transfers", headers })
      const failed = () => settle({ status: 0, body: "", draining: false })
      sent.once("error", failed)
      sent.once("response", (answer) => {
        sent.off("error", failed).on("error", () => {})
        let text = ""
        answer.on("data", (data: Buffer) => void (text += data.toString())).once("close", () =>
          settle({
            status: answer.complete ? answer.statusCode ?? 0 : -1,
            body: text,
            draining: answer.headers.connection === "close"
          }))
      })
      sent.end(body)
    })
  return { send, close: () => agent.destroy() }
}

it.live(
  "loses nothing that it accepted when it is told to stop under load, and serves meanwhile as one that is not ready",
  () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const postgres = yield* Effect.acquireRelease(
        Effect.promise(() => startPostgres(folder)),
        (started) => Effect.promise(() => endAll().then(() => started.stop()))
      )
      const outcomes: Array<Outcome> = []
      const { ground, url } = yield* Effect.promise(async () => {
        const ground = { postgres, folder, keys: await makeKeys(), collector: "http://127.0.0.1:1" }
        return { ground, url: await ourDatabase(ground, "sigterm") }
      })
      const server = yield* Effect.promise(() =>
        ours(ground, "sigterm", url, { sampler: "always_off", grace: "5 seconds", environment: patient })
      )
      const heads = yield* Effect.promise(() => makeHeads(ground.keys, members))
      const { close, send } = transferer(server.port, heads)
      const client = async (first: number) => {
        for (let member = first;; member = (member + clients) % members) {
          const outcome = await send(member)
          outcomes.push(outcome)
          // Nobody listens any more.
          if (outcome.status === 0 && !await answers(`http://127.0.0.1:${server.port}/livez`)) return
        }
      }
      const all = Promise.all(Array.from({ length: clients }, (_, first) => client(first)))
      yield* until(() => outcomes.length > 200)
      const stopped = server.stop()
      let ready = 200
      while (ready === 200) {
        ready = yield* Effect.promise(() =>
          fetch(`http://127.0.0.1:${server.port}/readyz`).then(({ status }) => status, () => 0)
        )
      }
      yield* Effect.promise(() => Promise.all([all, stopped]))
      close()

      assert.strictEqual(ready, 503, "not ready, and still there to say so")
      assert.deepStrictEqual([...new Set(outcomes.map(({ status }) => status))].filter((one) => one !== 0), [201])
      assert.isTrue(outcomes.some(({ draining, status }) => draining && status === 201), "served while it drained")
      const acknowledged = outcomes.filter(({ status }) => status === 201).map(({ body }) =>
        String(JSON.parse(body).id)
      )
      const [row] = yield* Effect.promise(() =>
        query(url, "SELECT count(*)::int4 FROM wallet.transfers WHERE id = ANY($1::uuid[])", [acknowledged])
      )
      assert.strictEqual(row?.[0], acknowledged.length)
    }),
  300_000
)
