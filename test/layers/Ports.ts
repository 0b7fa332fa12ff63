import { Effect } from "effect"
import { randomInt } from "node:crypto"
import { createServer, type Server } from "node:net"

// Below 32768 and 49152, from where Linux and macOS give ports to whoever asks for any.
const first = 18_000
const count = 6_000

const listen = (port: number) =>
  new Promise<Server | undefined>((settle) => {
    const server = createServer((socket) => socket.destroy())
    server.once("error", () => settle(undefined))
    server.listen(port, "127.0.0.1", () => settle(server))
  })
const close = (server: Server) => new Promise<void>((settle) => void server.close(() => settle()))

const take = async () => {
  const start = randomInt(count)
  for (let n = 0; n < count; n++) {
    const port = first + (start + n) % count
    const keeper = await listen(port + count)
    if (keeper === undefined) continue
    const probe = await listen(port)
    if (probe === undefined) {
      await close(keeper)
      continue
    }
    await close(probe)
    keeper.unref()
    return { keeper, port }
  }
  throw new Error(`no port from ${first} on is free`)
}

/**
 * A port of 127.0.0.1 for a server that must be told which, kept until the scope closes. One that the kernel had free a moment
 * ago it gives to the next who asks for any, as other test files do all the time while the server is still being built. What
 * keeps this one is a listener on its twin, a fixed number above: nobody takes a port here whose twin is taken.
 */
export const ownPort = Effect.acquireRelease(Effect.promise(take), ({ keeper }) => Effect.promise(() => close(keeper)))
  .pipe(Effect.map(({ port }) => port))
