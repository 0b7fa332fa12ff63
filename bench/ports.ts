import { randomInt } from "node:crypto"
import { once } from "node:events"
import { createServer } from "node:net"

// Below what Linux (32768) and macOS (49152) hand out by themselves: a port that was free a moment ago, and that a server is to take
// later or again after a crash, is given meanwhile neither to whoever asks for any port nor to a connection that goes out. From 18,000 on the tests keep theirs.
const [from, to] = [10_240, 18_000]

const isFree = async (port: number): Promise<boolean> => {
  const server = createServer()
  try {
    await once(server.listen(port, "127.0.0.1"), "listening")
  } catch {
    return false
  }
  await once(server.close(), "close")
  return true
}

/** A port that nobody listens on. */
export const freePort = async (): Promise<number> => {
  for (;;) {
    const port = randomInt(from, to)
    if (await isFree(port)) return port
  }
}
