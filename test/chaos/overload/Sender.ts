import { setPriority } from "node:os"
import { transfer, wallet } from "../../../bench/members.ts"
import { type Kind, loader } from "./Load.ts"

// A process of its own, so that its cost is seen beside that of what answers. It stands for machines that the server does not
// share, and so it is the one that waits where there are fewer processors than work; its waiting counts as the server's.
setPriority(10)

const history = (head: string) => `GET /api/wallet/transactions?currency=NGN&limit=20 HTTP/1.1\r\n${head}\r\n`

/** One of ten is a payment, so that three times the capacity is not more payments than can be served. */
const kinds = (heads: ReadonlyArray<string>): ReadonlyArray<Kind> => {
  const member = (n: number) => (n * 7) % heads.length
  // Put together once: making the text of a request costs more than sending it.
  const wallets = heads.map((_, n) => wallet(heads, n))
  const histories = heads.map(history)
  return [
    { name: "payments", part: 0.1, connections: 1_000, request: (n) => transfer(heads, member(n), false) },
    { name: "wallets", part: 0.45, connections: 1_000, request: (n) => wallets[member(n)] ?? "" },
    { name: "histories", part: 0.45, connections: 1_000, request: (n) => histories[member(n)] ?? "" }
  ]
}

/** What the other process says: first where to send and as whom, then each load. */
export type Order =
  | { readonly port: number; readonly heads: ReadonlyArray<string> }
  | { readonly rate: number; readonly seconds: number }

let load: ReturnType<typeof loader> | undefined

process.on("message", async (order: Order) => {
  if ("port" in order) load = loader(order.port, kinds(order.heads))
  else process.send?.(await load?.run(order.rate, order.seconds))
})
process.on("disconnect", () => load?.close())
