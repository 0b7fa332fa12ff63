import { Effect, Schedule, Schema } from "effect"
import { createServer } from "node:net"

export class PortTaken extends Schema.TaggedError<PortTaken>()("PortTaken", {
  variable: Schema.String,
  port: Schema.Int,
  reason: Schema.String
}) {
  override get message(): string {
    return `Port ${this.port} cannot be used (${this.reason}). Choose another with ${this.variable}, for instance `
      + `\`${this.variable}=${
        this.port < 60_000 ? this.port + 1_000 : 3_000
      } npm start\`, or end the program that has it.`
  }
}

const tryPort = (variable: string, port: number, host: string) =>
  Effect.callback<void, PortTaken>((resume) => {
    const server = createServer()
    server.once("error", (error: NodeJS.ErrnoException) => {
      const reason = error.code === "EADDRINUSE" ? "another program listens there" : error.message
      resume(Effect.fail(new PortTaken({ variable, port, reason })))
    })
    server.listen(port, host, () => server.close(() => resume(Effect.void)))
  })

/** Says which port is taken and which variable changes it, before anything is started. */
export const requireFreePorts = (
  host: string,
  ports: Readonly<Record<string, number>>
): Effect.Effect<void, PortTaken> =>
  Effect.gen(function*() {
    const seen = new Map<number, string>()
    for (const [variable, port] of Object.entries(ports)) {
      const other = seen.get(port)
      if (other !== undefined) {
        return yield* new PortTaken({ variable, port, reason: `${other} has the same value` })
      }
      seen.set(port, variable)
      // The processes of a start that was killed need an instant to notice and to let go.
      yield* Effect.retry(tryPort(variable, port, host), { schedule: Schedule.spaced("100 millis"), times: 10 })
    }
  })
